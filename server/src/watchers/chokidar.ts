import { Worker } from "node:worker_threads";
import { assertNever } from "@tamp/core";
import type { Watch, WatchEvents, Watcher } from "../watcher.ts";
import type { FromWorker, ToWorker, WorkerSettings } from "./messages.ts";

export interface ChokidarWatcherOptions {
  /** The built `watch-worker`. */
  readonly workerEntry: URL | string;
  /** Time between full looks while events cannot be had. */
  readonly pollMs?: number;
}

/** A watcher in a thread of its own with bounded memory: a huge tree costs the watch, never the daemon. */
export function createChokidarWatcher(options: ChokidarWatcherOptions): Watcher {
  return new ChokidarWatcher(options.workerEntry, options.pollMs ?? 10_000);
}

interface Root {
  readonly id: number;
  readonly path: string;
  readonly events: WatchEvents;
  readonly onReady: () => void;
  /** Why the worker was started anew: told once the new worker watches, when nothing more can be missed. */
  restartCause: string | null;
  onClosed: () => void;
}

/** A worker that dies again within this time is not started a third time for the same roots. */
const QUICK_DEATH_MS = 60_000;

class ChokidarWatcher implements Watcher {
  readonly #workerEntry: URL | string;
  readonly #pollMs: number;
  readonly #roots = new Map<number, Root>();
  readonly #closing = new Map<number, Root>();
  #worker: Worker | null = null;
  #lastId = 0;
  /** Requests that wait for an answer: only they keep the process alive. */
  #awaited = 0;
  /** Set from a restart until the worker has lived for a while. */
  #probation: NodeJS.Timeout | null = null;
  /** Set while this side polls in place of a worker that would not live. */
  #poll: NodeJS.Timeout | null = null;
  #disposed = false;

  constructor(workerEntry: URL | string, pollMs: number) {
    this.#workerEntry = workerEntry;
    this.#pollMs = pollMs;
  }

  async watch(path: string, events: WatchEvents): Promise<Watch> {
    if (this.#disposed) throw new Error("the watcher is disposed");
    this.#lastId += 1;
    const id = this.#lastId;
    this.#forgive();
    await this.#await((onReady) => {
      const root: Root = { id, path, events, onReady, restartCause: null, onClosed: () => {} };
      this.#roots.set(id, root);
      this.#ensureWorker(root);
    });
    return { dispose: () => this.#unwatch(id) };
  }

  async dispose(): Promise<void> {
    this.#disposed = true;
    const worker = this.#worker;
    this.#worker = null;
    this.#forgive();
    const waiting = [...this.#roots.values(), ...this.#closing.values()];
    this.#roots.clear();
    this.#closing.clear();
    await worker?.terminate();
    for (const root of waiting) settle(root);
  }

  async #unwatch(id: number): Promise<void> {
    const root = this.#roots.get(id);
    if (root === undefined) return;
    this.#roots.delete(id);
    const gaveUp = this.#poll !== null;
    this.#forgive();
    if (this.#worker !== null) {
      await this.#await((onClosed) => {
        root.onClosed = onClosed;
        this.#closing.set(id, root);
        this.#post({ kind: "unwatch", id });
      });
    } else if (gaveUp && this.#roots.size > 0) {
      // The root that is gone may have been the one that was too much.
      this.#start();
    }
  }

  /** A new set of roots gets a new chance. */
  #forgive(): void {
    if (this.#probation !== null) clearTimeout(this.#probation);
    if (this.#poll !== null) {
      clearInterval(this.#poll);
      for (const root of this.#roots.values()) root.restartCause = "the watched folders changed";
    }
    this.#probation = null;
    this.#poll = null;
  }

  #ensureWorker(root: Root): void {
    if (this.#worker === null) this.#start();
    else this.#post({ kind: "watch", id: root.id, root: root.path });
  }

  #start(): void {
    const settings: WorkerSettings = { pollMs: this.#pollMs };
    const worker = new Worker(this.#workerEntry, {
      name: "watcher",
      workerData: settings,
      execArgv: [],
      // stdout of the daemon belongs to the protocol.
      stdout: true,
      resourceLimits: { maxOldGenerationSizeMb: 64, maxYoungGenerationSizeMb: 8 },
    });
    let cause = "it ended by itself";
    worker.on("message", (message: FromWorker) => this.#onMessage(message));
    worker.on("error", (error) => {
      cause = error instanceof Error ? error.message : String(error);
    });
    worker.on("exit", () => this.#onExit(worker, cause));
    this.#worker = worker;
    this.#hold();
    for (const root of this.#roots.values()) this.#post({ kind: "watch", id: root.id, root: root.path });
  }

  #onMessage(message: FromWorker): void {
    if (message.kind === "closed") {
      this.#closing.get(message.id)?.onClosed();
      this.#closing.delete(message.id);
      return;
    }
    const root = this.#roots.get(message.id);
    if (root !== undefined) deliver(root, message);
  }

  #onExit(worker: Worker, cause: string): void {
    if (this.#worker !== worker) return;
    this.#worker = null;
    for (const root of this.#closing.values()) root.onClosed();
    this.#closing.clear();
    if (this.#roots.size === 0) return;
    if (this.#probation === null) this.#restart(cause);
    else this.#pollInstead(cause);
  }

  #restart(cause: string): void {
    this.#probation = setTimeout(() => {
      this.#probation = null;
    }, QUICK_DEATH_MS).unref();
    for (const root of this.#roots.values()) root.restartCause = cause;
    this.#start();
  }

  #pollInstead(cause: string): void {
    this.#forgive();
    const because = {
      reason: `The watcher stopped twice: ${cause}.`,
      remedy: "Watch fewer or smaller folders.",
    };
    this.#poll = setInterval(() => {
      for (const root of this.#roots.values()) root.events.onOverflow("poll");
    }, this.#pollMs).unref();
    for (const root of this.#roots.values()) {
      root.events.onState({ kind: "degraded", ...because });
      root.events.onOverflow(`watcher stopped: ${cause}`);
      root.events.onState({ kind: "polling", ...because });
      root.onReady();
    }
  }

  async #await(begin: (done: () => void) => void): Promise<void> {
    this.#awaited += 1;
    try {
      const answered = new Promise<void>(begin);
      this.#hold();
      await answered;
    } finally {
      this.#awaited -= 1;
      this.#hold();
    }
  }

  #hold(): void {
    if (this.#awaited > 0) this.#worker?.ref();
    else this.#worker?.unref();
  }

  #post(message: ToWorker): void {
    this.#worker?.postMessage(message);
  }
}

function deliver(root: Root, message: Exclude<FromWorker, { kind: "closed" }>): void {
  switch (message.kind) {
    case "ready":
      if (root.restartCause !== null) root.events.onOverflow(`watcher restarted: ${root.restartCause}`);
      root.restartCause = null;
      root.onReady();
      break;
    case "hint":
      root.events.onHint(message.directories);
      break;
    case "overflow":
      root.events.onOverflow(message.reason);
      break;
    case "state":
      root.events.onState(message.state);
      break;
    default:
      assertNever(message);
  }
}

function settle(root: Root): void {
  root.onReady();
  root.onClosed();
}
