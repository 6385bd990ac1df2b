import { PassThrough, type Readable, type Writable } from "node:stream";
import { readParams } from "./check.ts";
import type { Daemon, DaemonEvent } from "./daemon.ts";
import { EngineError } from "./engine-error.ts";
import { TampError } from "./errors.ts";
import { ioAdvice } from "./failure-text.ts";
import type { HandlerContext } from "./handlers/context.ts";
import { closeDataset, datasetFiles, datasetStats, listDatasets, openDataset } from "./handlers/datasets.ts";
import { executePlan } from "./handlers/execute.ts";
import { check, datasetChanges, datasetHistory } from "./handlers/health.ts";
import { purge, recover, runs, undo } from "./handlers/history.ts";
import { makePlan, planDocument, planGroups, planSkipped } from "./handlers/plans.ts";
import { datasetPolicy, trustedPolicies, trustPolicy } from "./handlers/policy.ts";
import { summarize, worstCrossings } from "./plan-summary.ts";
import {
  ERROR_CODES,
  type InitializeResult,
  PROTOCOL_VERSION,
  type Requests,
  type WireErrorData,
} from "./protocol.ts";
import {
  type CancellationToken,
  createRpc,
  createWriter,
  ErrorCodes,
  type MessageConnection,
  type MessageWriter,
  ResponseError,
} from "./rpc.ts";
import { FrameGuard } from "./wire.ts";

type Method = Exclude<keyof Requests, "initialize" | "shutdown">;
type Handler<M extends Method> = (context: HandlerContext) => Promise<Requests[M]["result"]>;

/** Every method has its own entry: nothing else knows which handler answers what. */
export const HANDLERS: { readonly [M in Method]: Handler<M> } = {
  "tamp/dataset/open": openDataset,
  "tamp/dataset/close": closeDataset,
  "tamp/dataset/list": listDatasets,
  "tamp/dataset/stats": datasetStats,
  "tamp/dataset/files": datasetFiles,
  "tamp/plan": makePlan,
  "tamp/plan/groups": planGroups,
  "tamp/plan/skipped": planSkipped,
  "tamp/plan/document": planDocument,
  "tamp/execute": executePlan,
  "tamp/runs": runs,
  "tamp/undo": undo,
  "tamp/recover": recover,
  "tamp/purge": purge,
  "tamp/dataset/changes": datasetChanges,
  "tamp/dataset/history": datasetHistory,
  "tamp/check": check,
  "tamp/policy": datasetPolicy,
  "tamp/policy/trust": trustPolicy,
  "tamp/policy/trusted": trustedPolicies,
};

export interface ServeOptions {
  readonly daemon: Daemon;
  readonly input: Readable;
  readonly output: Writable;
  /** Called with the process to watch once the client has told it. */
  readonly onClientProcess: (pid: number) => void;
}

/** LSP: requests before `initialize` get -32002, requests after `shutdown` -32600. */
interface ClientState {
  lifecycle: "new" | "running" | "shut_down";
  trusted: boolean;
}

const NOT_INITIALIZED = -32002;
const REQUEST_CANCELLED = -32800;

/**
 * Serves one client until `exit` or the end of its stream. Resolves with the exit code: 0 after `shutdown`, else
 * 1, once every run has finished or was undone.
 */
export async function serveConnection(options: ServeOptions): Promise<number> {
  const { daemon, input, output } = options;
  const writer = createWriter(output);
  const connection = createRpc(guardedInput(input, writer), writer);
  const client: ClientState = { lifecycle: "new", trusted: true };
  const ended = new Promise<void>((resolve) => {
    connection.onNotification("exit", resolve);
    connection.onClose(resolve);
    input.once("end", resolve);
    input.once("close", resolve);
    input.on("error", () => resolve());
    output.on("error", () => resolve());
  });
  connection.onRequest("initialize", (...args: unknown[]) =>
    answered(() => initialize(options, client, readCall(args).params)),
  );
  connection.onRequest("shutdown", () => {
    requireRunning(client);
    client.lifecycle = "shut_down";
    return null;
  });
  connection.onNotification("initialized", () => {});
  connection.onNotification("$/setTrace", () => {});
  const answers = new Set<Promise<unknown>>();
  const binding = { connection, daemon, client, answers };
  for (const method of Object.keys(HANDLERS) as Method[]) bind(binding, method);
  daemon.onEvent((event) => forward(connection, daemon, event));
  connection.listen();
  await ended;
  await daemon.dispose();
  // A client that only asked us to end still hears what became of its run.
  await Promise.allSettled(answers);
  await writer.flush();
  connection.dispose();
  return client.lifecycle === "shut_down" ? 0 : 1;
}

function initialize(options: ServeOptions, client: ClientState, params: unknown): InitializeResult {
  if (client.lifecycle !== "new") {
    throw new ResponseError(ErrorCodes.InvalidRequest, "initialize was sent twice");
  }
  const read = readParams(params);
  const initial = readParams(read.optionalObject("initializationOptions"));
  const trusted = initial.optionalBoolean("trusted") ?? true;
  const pid = read.optionalNumber("processId");
  client.lifecycle = "running";
  client.trusted = trusted;
  if (pid !== undefined) options.onClientProcess(pid);
  return initializeResult(options.daemon);
}

function requireRunning({ lifecycle }: ClientState): void {
  if (lifecycle === "new") throw new ResponseError(NOT_INITIALIZED, "initialize must be sent first");
  if (lifecycle === "shut_down") {
    throw new ResponseError(ErrorCodes.InvalidRequest, "the server was shut down");
  }
}

interface Binding {
  readonly connection: MessageConnection;
  readonly daemon: Daemon;
  readonly client: ClientState;
  /** Of the calls under way. */
  readonly answers: Set<Promise<unknown>>;
}

function bind({ connection, daemon, client, answers }: Binding, method: Method): void {
  connection.onRequest(method, (...args: unknown[]) => {
    const answer = answered(async (): Promise<unknown> => {
      requireRunning(client);
      const { params, token } = readCall(args);
      const abort = new AbortController();
      if (token.isCancellationRequested) abort.abort();
      const cancelled = token.onCancellationRequested(() => abort.abort());
      const notify: HandlerContext["notify"] = (name, value) => void send(connection, name, value);
      const { trusted } = client;
      const context = { daemon, params: readParams(params), signal: abort.signal, trusted, notify };
      return HANDLERS[method](context).finally(() => cancelled.dispose());
    });
    answers.add(answer);
    const forget = (): void => void answers.delete(answer);
    answer.then(forget, forget);
    return answer;
  });
}

/** What vscode-jsonrpc calls a handler with: no params are left out, positional ones spread; the token is last. */
function readCall(args: readonly unknown[]): { readonly params: unknown; readonly token: CancellationToken } {
  const params = args.length > 2 ? args.slice(0, -1) : args.length === 2 ? args[0] : undefined;
  return { params, token: args.at(-1) as CancellationToken };
}

async function answered<T>(work: () => T | Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw toResponseError(error);
  }
}

function initializeResult(daemon: Daemon): InitializeResult {
  const { engine, version } = daemon.deps;
  return {
    serverInfo: { name: "tamp", version },
    capabilities: {
      tamp: {
        protocolVersion: PROTOCOL_VERSION,
        operations: ["compact"],
        engines: [engine.name],
        progress: true,
      },
    },
  };
}

function forward(connection: MessageConnection, daemon: Daemon, event: DaemonEvent): void {
  const { dataset } = event;
  if (event.kind === "changed") {
    const { generation, added, changed, removed } = event.change;
    const summary = dataset.summary();
    void send(connection, "tamp/dataset/changed", {
      dataset: dataset.root,
      generation,
      summary,
      added,
      changed,
      removed,
    });
    return;
  }
  if (event.kind === "finished") {
    void send(connection, "tamp/run/finished", { dataset: dataset.root, result: event.result });
    return;
  }
  const { made, action } = event;
  const { generation, health } = made;
  const crossings = worstCrossings(made.plan);
  const crossingCount = made.plan.crossings.length;
  summarize(daemon, dataset, made).then(
    (plan) => {
      const params = { dataset: dataset.root, generation, health, plan, action, crossings, crossingCount };
      return send(connection, "tamp/dataset/thresholdCrossed", params);
    },
    () => {},
  );
}

/** A client that has gone away hears nothing, and no run fails of it: the end of its stream ends the daemon. */
async function send(connection: MessageConnection, method: string, params: unknown): Promise<void> {
  try {
    await connection.sendNotification(method, params);
  } catch {
    // A closed connection throws, a broken one rejects.
  }
}

/** Frames that are not JSON-RPC get their error here; a lost framing ends the connection. */
function guardedInput(input: Readable, writer: MessageWriter): Readable {
  const guard = new FrameGuard(({ code, message, fatal }) => {
    const answer: ErrorAnswer = { jsonrpc: "2.0", id: null, error: { code, message } };
    const end = (): void => {
      if (fatal) input.destroy();
    };
    writer.write(answer).then(end, end);
  });
  return input.pipe(guard).pipe(new PassThrough());
}

interface ErrorAnswer {
  readonly jsonrpc: "2.0";
  readonly id: null;
  readonly error: { readonly code: number; readonly message: string };
}

/** The one place where errors become numbers of the wire. */
function toResponseError(error: unknown): ResponseError<WireErrorData | undefined> {
  if (error instanceof ResponseError) return error;
  if (error instanceof TampError) {
    const { code, message, hint, notDone } = error;
    const number = code === "Cancelled" ? REQUEST_CANCELLED : ERROR_CODES[code];
    return new ResponseError(number, message, { code, hint, notDone });
  }
  const message = error instanceof Error ? error.message : String(error);
  const data = { ...dataOf(error), notDone: "the request was not carried out to its end" };
  return new ResponseError(ERROR_CODES[data.code], message, data);
}

function dataOf(error: unknown): Pick<WireErrorData, "code" | "hint"> {
  const advice = ioAdvice(error);
  if (advice !== null) return { code: "IoError", hint: advice.hint };
  if (!(error instanceof EngineError))
    return { code: "InternalError", hint: "report this with what you did" };
  const code = error.code === "EngineUnavailable" ? "EngineUnavailable" : "EngineFailed";
  return { code, hint: "see the message; the dataset was not changed by the failed step" };
}
