import { type ChildProcess, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { DigestTask, Engine, EngineLimits, RewriteTask, RowDigest, RunningEngine } from "../engine.ts";
import { EngineError } from "../engine-error.ts";
import {
  DUCKDB_CODECS,
  DUCKDB_VERSION,
  describeDuckdbLosses,
  predictDuckdbChanges,
} from "./duckdb-capabilities.ts";

export type ChildRequest = ChildTask | { readonly kind: "close" };

export type ChildTask =
  | {
      readonly kind: "rewrite";
      readonly id: number;
      readonly limits: EngineLimits;
      readonly task: RewriteTask;
    }
  | {
      readonly kind: "digest";
      readonly id: number;
      readonly limits: EngineLimits;
      readonly task: DigestTask;
    };

export type ChildResult = RowDigest | null;

export type ChildMessage =
  | { readonly kind: "ready"; readonly version: string }
  | { readonly kind: "progress"; readonly id: number; readonly fraction: number }
  | { readonly kind: "result"; readonly id: number; readonly result: ChildResult }
  | { readonly kind: "failure"; readonly id: number; readonly message: string };

export interface DuckdbEngineOptions {
  readonly childEntry: URL | string;
  /** Node, or Electron with ELECTRON_RUN_AS_NODE set in `env` or in the daemon's own environment. */
  readonly nodePath: string;
  /** Default: the daemon's own environment. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** How long the child may take until it answers. Default: 30 s. */
  readonly startMs?: number;
}

const STDERR_TAIL = 4000;
const START_MS = 30_000;
/** How long an orderly end may take. */
const DISPOSE_MS = 3000;

export function createDuckdbEngine(options: DuckdbEngineOptions): Engine {
  return {
    name: "duckdb",
    version: DUCKDB_VERSION,
    codecs: DUCKDB_CODECS,
    predictChanges: predictDuckdbChanges,
    describeLosses: describeDuckdbLosses,
    start: async (limits, signal) => {
      const running = new RunningDuckdb(launch(options), limits, options.startMs ?? START_MS);
      const kill = (): void => running.kill();
      signal?.addEventListener("abort", kill);
      if (signal?.aborted) kill();
      try {
        await running.ready();
      } finally {
        signal?.removeEventListener("abort", kill);
      }
      return running;
    },
  };
}

function launch({ childEntry, nodePath, env }: DuckdbEngineOptions): ChildProcess {
  const entry = typeof childEntry === "string" ? childEntry : fileURLToPath(childEntry);
  return spawn(nodePath, [entry], {
    stdio: ["ignore", "ignore", "pipe", "ipc"],
    ...(env === undefined ? {} : { env }),
    windowsHide: true,
  });
}

interface PendingCall {
  readonly resolve: (result: ChildResult) => void;
  readonly reject: (error: EngineError) => void;
  readonly onProgress: (fraction: number) => void;
  readonly timer: NodeJS.Timeout;
}

/** Id under which the child's readiness is awaited; requests count from 1. */
const READY = 0;

class RunningDuckdb implements RunningEngine {
  readonly #child: ChildProcess;
  readonly #limits: EngineLimits;
  readonly #pending = new Map<number, PendingCall>();
  readonly #ready: Promise<ChildResult>;
  readonly #ended: Promise<void>;
  #nextId = READY;
  #stderr = "";
  /** Why no call can succeed any more. */
  #failure: EngineError | null = null;

  constructor(child: ChildProcess, limits: EngineLimits, startMs: number) {
    this.#child = child;
    this.#limits = limits;
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-STDERR_TAIL);
    });
    child.on("message", (message: ChildMessage) => this.#receive(message));
    this.#ended = new Promise((resolve) => {
      child.on("error", (error) => {
        this.#fail(
          new EngineError("EngineUnavailable", `The engine's process could not be run: ${error.message}`),
        );
        resolve();
      });
      // "close" comes after the last of stderr, "exit" may not.
      child.once("close", (code, signal) => {
        this.#fail(this.#died(code, signal));
        resolve();
      });
    });
    this.#ready = this.#wait(() => {}, startMs);
    this.#ready.catch(() => {});
  }

  async ready(): Promise<void> {
    await this.#ready;
  }

  async rewrite(task: RewriteTask, onProgress: (fraction: number) => void): Promise<void> {
    await this.#call((id) => ({ kind: "rewrite", id, limits: this.#limits, task }), onProgress);
  }

  async digest(task: DigestTask): Promise<RowDigest> {
    const result = await this.#call(
      (id) => ({ kind: "digest", id, limits: this.#limits, task }),
      () => {},
    );
    if (result === null) throw new EngineError("EngineFailed", "The engine answered a digest without one.");
    return result;
  }

  kill(): void {
    this.#stop(new EngineError("Cancelled", "The engine was stopped; staged files may be incomplete."));
  }

  async dispose(): Promise<void> {
    const reason = new EngineError("Cancelled", "The engine has been closed.");
    if (this.#pending.size > 0) this.#stop(reason);
    this.#fail(reason);
    // Not by disconnecting: "close" would never come then.
    if (this.#child.connected) this.#child.send({ kind: "close" } satisfies ChildRequest, () => {});
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), DISPOSE_MS);
    await this.#ended;
    clearTimeout(timer);
  }

  async #call(
    request: (id: number) => ChildTask,
    onProgress: (fraction: number) => void,
  ): Promise<ChildResult> {
    if (this.#failure !== null) throw this.#failure;
    const message = request(this.#nextId);
    const result = this.#wait(onProgress, this.#limits.deadlineMs);
    this.#child.send(message, (error) => {
      // The end of the process says more than this, and follows.
      if (error !== null) this.#child.kill("SIGKILL");
    });
    return result;
  }

  #wait(onProgress: (fraction: number) => void, mostMs: number): Promise<ChildResult> {
    const id = this.#nextId;
    this.#nextId += 1;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#overdue(id, mostMs), mostMs);
      this.#pending.set(id, { resolve, reject, onProgress, timer });
    });
  }

  #receive(message: ChildMessage): void {
    if (message.kind === "ready") {
      this.#hello(message.version);
      return;
    }
    const call = this.#pending.get(message.id);
    if (call === undefined) return;
    switch (message.kind) {
      case "progress":
        call.onProgress(message.fraction);
        return;
      case "result":
        this.#take(message.id)?.resolve(message.result);
        return;
      case "failure":
        this.#take(message.id)?.reject(new EngineError("EngineFailed", `DuckDB: ${message.message}`));
    }
  }

  #hello(version: string): void {
    if (version === `v${DUCKDB_VERSION}`) {
      this.#take(READY)?.resolve(null);
      return;
    }
    const text = `DuckDB ${version} is installed where v${DUCKDB_VERSION} is needed: reinstall the dependencies.`;
    this.#stop(new EngineError("EngineUnavailable", text));
  }

  #take(id: number): PendingCall | undefined {
    const call = this.#pending.get(id);
    this.#pending.delete(id);
    clearTimeout(call?.timer);
    return call;
  }

  #overdue(id: number, mostMs: number): void {
    const code = id === READY ? "EngineUnavailable" : "DeadlineExceeded";
    const what = id === READY ? "start" : "answer";
    this.#stop(
      new EngineError(code, `The engine did not ${what} within ${mostMs / 1000} s and was stopped.`),
    );
  }

  #stop(reason: EngineError): void {
    this.#fail(reason);
    this.#child.kill("SIGKILL");
  }

  /** The first reason stands: what follows from it says less. */
  #fail(reason: EngineError): void {
    this.#failure ??= reason;
    for (const id of [...this.#pending.keys()]) this.#take(id)?.reject(this.#failure);
  }

  #died(code: number | null, signal: NodeJS.Signals | null): EngineError {
    const how = signal === null ? `exit code ${code}` : `signal ${signal}`;
    const tail = this.#stderr.trim();
    const said = tail === "" ? "" : ` Its last words: ${tail}`;
    if (this.#pending.has(READY)) {
      return new EngineError("EngineUnavailable", `The engine's process ended at its start (${how}).${said}`);
    }
    return new EngineError("EngineFailed", `The engine's process ended unexpectedly (${how}).${said}`);
  }
}
