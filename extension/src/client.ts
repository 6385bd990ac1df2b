import { createInterface } from "node:readline";
import type {
  ChangedParams,
  ExecuteParams,
  InitializeParams,
  Requests,
  RunFinishedParams,
  RunResult,
  ServerNotifications,
  ThresholdCrossedParams,
  WorkDoneProgress,
} from "@tamp/server/protocol";
import {
  type CancellationToken,
  type Disposable,
  EventEmitter,
  type LogOutputChannel,
  workspace,
} from "vscode";
import {
  LanguageClient,
  type LanguageClientOptions,
  ProgressType,
  RevealOutputChannelOn,
  type ServerOptions,
  State,
  TransportKind,
} from "vscode-languageclient/node";
import type { DaemonState } from "./status-text.ts";

export interface DaemonOptions {
  /** The server's bundled entry file. */
  readonly entry: string;
  readonly log: LogOutputChannel;
}

const PROGRESS = new ProgressType<WorkDoneProgress>();

/**
 * The connection to the daemon. It starts with the first request, so that a window without datasets costs no
 * process, and the language client starts it again after a crash, five times in three minutes at most.
 */
export class Daemon implements Disposable {
  readonly #options: DaemonOptions;
  readonly #changed = new EventEmitter<ChangedParams>();
  readonly #thresholdCrossed = new EventEmitter<ThresholdCrossedParams>();
  readonly #runFinished = new EventEmitter<RunFinishedParams>();
  readonly #stateChanged = new EventEmitter<DaemonState>();
  readonly #restarted = new EventEmitter<void>();
  #client: LanguageClient | null = null;
  #state: DaemonState = "stopped";
  /** What the process was, or will be, told of the workspace when it starts. */
  #isTrusted = false;
  #hasRun = false;
  #isStopping = false;
  #tokens = 0;

  readonly onChanged = this.#changed.event;
  readonly onThresholdCrossed = this.#thresholdCrossed.event;
  readonly onRunFinished = this.#runFinished.event;
  readonly onStateChanged = this.#stateChanged.event;
  /** A new process answers, which knows no dataset yet. */
  readonly onRestarted = this.#restarted.event;

  constructor(options: DaemonOptions) {
    this.#options = options;
  }

  get state(): DaemonState {
    return this.#state;
  }

  /** Whether the daemon may change files: trust that is granted later counts from its next start. */
  get isTrusted(): boolean {
    return this.#client === null ? workspace.isTrusted : this.#isTrusted;
  }

  async request<M extends keyof Requests>(
    method: M,
    params: Requests[M]["params"],
    token?: CancellationToken,
  ): Promise<Requests[M]["result"]> {
    const client = this.#ensureClient();
    type Result = Requests[M]["result"];
    // What is passed, undefined and null too, goes onto the wire as one of several positional parameters.
    if (params === null) {
      return token === undefined
        ? client.sendRequest<Result>(method)
        : client.sendRequest<Result>(method, token);
    }
    return token === undefined
      ? client.sendRequest<Result>(method, params)
      : client.sendRequest<Result>(method, params, token);
  }

  async execute(
    params: Omit<ExecuteParams, "workDoneToken">,
    listener: { readonly token: CancellationToken; readonly onProgress: (value: WorkDoneProgress) => void },
  ): Promise<RunResult> {
    this.#tokens += 1;
    const workDoneToken = `tamp-run-${this.#tokens}`;
    const subscription = this.#ensureClient().onProgress(PROGRESS, workDoneToken, listener.onProgress);
    try {
      return await this.request("tamp/execute", { ...params, workDoneToken }, listener.token);
    } finally {
      subscription.dispose();
    }
  }

  /** Ends the process if there is one, and starts another. */
  async restart(): Promise<void> {
    await this.#stop();
    await this.#ensureClient().start();
  }

  get hasStarted(): boolean {
    return this.#client !== null;
  }

  async stop(): Promise<void> {
    await this.#stop();
    this.#setState("stopped");
  }

  dispose(): void {
    for (const emitter of [
      this.#changed,
      this.#thresholdCrossed,
      this.#runFinished,
      this.#stateChanged,
      this.#restarted,
    ]) {
      emitter.dispose();
    }
  }

  #ensureClient(): LanguageClient {
    this.#client ??= this.#createClient();
    return this.#client;
  }

  #createClient(): LanguageClient {
    this.#isTrusted = workspace.isTrusted;
    const client = new LanguageClient(
      "tamp",
      "Tamp",
      serverOptions(this.#options.entry),
      clientOptions(this.#options.log, this.#isTrusted),
    );
    const forward = <M extends keyof ServerNotifications>(
      method: M,
      emitter: EventEmitter<ServerNotifications[M]>,
    ): void => {
      client.onNotification(method, (params: ServerNotifications[M]) => emitter.fire(params));
    };
    forward("tamp/dataset/changed", this.#changed);
    forward("tamp/dataset/thresholdCrossed", this.#thresholdCrossed);
    forward("tamp/run/finished", this.#runFinished);
    client.onDidChangeState(({ newState }) => {
      if (client === this.#client && !this.#isStopping) this.#follow(newState);
    });
    return client;
  }

  #follow(state: State): void {
    // A crash passes through "failed" as well, for the moment before the language client starts again.
    this.#setState(state === State.Starting ? "starting" : state === State.Running ? "running" : "failed");
    if (state !== State.Running) return;
    if (this.#hasRun) this.#restarted.fire();
    this.#hasRun = true;
  }

  #setState(state: DaemonState): void {
    if (this.#state === state) return;
    this.#state = state;
    this.#stateChanged.fire(state);
  }

  async #stop(): Promise<void> {
    const client = this.#client;
    if (client === null) return;
    this.#isStopping = true;
    try {
      await client.dispose();
    } catch (error) {
      // A client that never ran, or whose daemon did not answer in time, cannot be stopped in order.
      this.#options.log.warn(
        `Stopping the daemon: ${error instanceof Error ? error.message : String(error)}`,
      );
    } finally {
      this.#client = null;
      this.#isStopping = false;
    }
  }
}

function serverOptions(entry: string): ServerOptions {
  return {
    // The editor's own runtime, never a Node from PATH. The language client appends `--stdio`.
    command: process.execPath,
    args: [entry, "serve"],
    transport: TransportKind.stdio,
    options: { env: { ...process.env, ELECTRON_RUN_AS_NODE: "1" } },
  };
}

function clientOptions(log: LogOutputChannel, trusted: boolean): LanguageClientOptions {
  const initializationOptions: InitializeParams["initializationOptions"] = { trusted };
  return {
    documentSelector: [],
    outputChannel: log,
    revealOutputChannelOn: RevealOutputChannelOn.Never,
    initializationOptions,
    // What the daemon says on stderr is its log, not a list of errors.
    stdioOptions: {
      stdout: () => undefined,
      stderr: (input, channel) => {
        createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY }).on("line", (line) =>
          channel.info(line),
        );
      },
    },
  };
}
