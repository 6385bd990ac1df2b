import { Worker } from "node:worker_threads";
import { assertNever } from "@tamp/core";
import type { Watch, WatchEvents, Watcher } from "../watcher.ts";
import type { TreeKind } from "./choose-tree.ts";
import type { FromWorker, ToWorker, WorkerSettings } from "./messages.ts";
import { Poll, pollReason } from "./poll.ts";

export interface ThreadedWatcherOptions {
  /** The built `watch-worker`. */
  readonly workerEntry: URL | string;
  /** Time between full looks while events cannot be had. */
  readonly pollMs?: number;
  /** In place of the adapter that fits each root. */
  readonly tree?: TreeKind;
}

/** A watcher in a thread of its own with bounded memory: a huge tree costs the watch, never the daemon. */
export function createThreadedWatcher(options: ThreadedWatcherOptions): Watcher {
  return new ThreadedWatcher(options.workerEntry, {
    pollMs: options.pollMs ?? 10_000,
    tree: options.tree ?? null,
  });
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

/** Enough for about 100,000 directories; what needs more is polled. */
const MOST_HEAP_MB = 192;
/** A worker that dies again within this time is not started a third time at once. */
const QUICK_DEATH_MS = 60_000;
/** A worker that was given up is tried again after this. */
const SECOND_CHANCE_MS = 10 * 60_000;

class ThreadedWatcher implements Watcher {
  readonly #workerEntry: URL | string;
  readonly #settings: WorkerSettings;
  readonly #roots = new Map<number, Root>();
  readonly #closing = new Map<number, Root>();
  #worker: Worker | null = null;
  #lastId = 0;
  /** Requests that wait for an answer: only they keep the process alive. */
  #awaited = 0;
  /** Set from a restart until the worker has lived for a while. */
  #probation: NodeJS.Timeout | null = null;
  /** Set while this side polls in place of a worker that would not live. */
  #given: { readonly poll: Poll; readonly retry: NodeJS.Timeout } | null = null;
  #disposed = false;

  constructor(workerEntry: URL | string, settings: WorkerSettings) {
    this.#workerEntry = workerEntry;
    this.#settings = settings;
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
    const gaveUp = this.#given !== null;
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
    this.#probation = null;
    if (this.#given === null) return;
    this.#given.poll.dispose();
    clearTimeout(this.#given.retry);
    this.#given = null;
    for (const root of this.#roots.values()) root.restartCause = "it had been given up";
  }

  #ensureWorker(root: Root): void {
    if (this.#worker === null) this.#start();
    else this.#post({ kind: "watch", id: root.id, root: root.path });
  }

  #start(): void {
    const worker = new Worker(this.#workerEntry, {
      name: "watcher",
      workerData: this.#settings,
      execArgv: [],
      // stdout of the daemon belongs to the protocol.
      stdout: true,
      resourceLimits: { maxOldGenerationSizeMb: MOST_HEAP_MB, maxYoungGenerationSizeMb: 8 },
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
    if (message.kind === "overflow") {
      const { id, look } = message;
      const looked = (): void => this.#post({ kind: "looked", id, look });
      // A look that failed is over too.
      Promise.resolve(root?.events.onOverflow(message.reason)).then(looked, looked);
    } else if (root !== undefined) deliver(root, message);
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
    this.#onTrial();
    const reason = `The watcher stopped: ${cause}.`;
    const remedy = "Nothing: it is started again, and everything is compared then.";
    for (const root of this.#roots.values()) {
      root.restartCause = cause;
      root.events.onState({ kind: "degraded", reason, remedy });
    }
    this.#start();
  }

  #onTrial(): void {
    this.#probation = setTimeout(() => {
      this.#probation = null;
    }, QUICK_DEATH_MS).unref();
  }

  #pollInstead(cause: string): void {
    this.#forgive();
    const reason = `The watcher stopped twice: ${cause}.`;
    const remedy = "Watch fewer or smaller folders; it is tried again after ten minutes.";
    const tell = (intervalMs: number): void => {
      for (const { events } of this.#roots.values())
        events.onState({ kind: "polling", reason: pollReason(reason, intervalMs), remedy });
    };
    const poll = new Poll({
      baseMs: this.#settings.pollMs,
      clock: () => performance.now(),
      look: () => this.#lookAtAll("poll"),
      onInterval: tell,
    });
    const retry = setTimeout(() => this.#secondChance(), SECOND_CHANCE_MS).unref();
    this.#given = { poll, retry };
    for (const { events } of this.#roots.values()) events.onState({ kind: "degraded", reason, remedy });
    void this.#lookAtAll(`watcher stopped: ${cause}`);
    tell(poll.intervalMs);
    for (const root of this.#roots.values()) root.onReady();
  }

  #secondChance(): void {
    this.#forgive();
    this.#onTrial();
    this.#start();
  }

  async #lookAtAll(reason: string): Promise<void> {
    const looks = [...this.#roots.values()].map(async ({ events }) => events.onOverflow(reason));
    await Promise.allSettled(looks);
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

function deliver(root: Root, message: Exclude<FromWorker, { kind: "closed" | "overflow" }>): void {
  switch (message.kind) {
    case "ready":
      if (root.restartCause !== null) void root.events.onOverflow(`watcher restarted: ${root.restartCause}`);
      root.restartCause = null;
      root.onReady();
      break;
    case "hint":
      root.events.onHint(message.directories);
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
