import { type FSWatcher, watch } from "node:fs";
import type { WatchEvents, WatchState } from "../watcher.ts";
import { classifyWatchError, createHintBuffer, type HintBuffer, type HintLimits } from "./hints.ts";
import { type Directory, type Found, find, isSame, nearestAncestor, reasonToPoll } from "./root.ts";
import type { OpenTree, Tree } from "./tree.ts";

export interface RootWatchOptions {
  readonly root: string;
  readonly events: WatchEvents;
  readonly openTree: OpenTree;
  readonly limits: HintLimits;
  readonly pollMs: number;
  readonly now: () => number;
}

/** Every so many polls a root that was out of watches tries again, and a watched one sweeps. */
const TICKS_BETWEEN_REPAIRS = 30;
/** File time stamps are coarser than the clock, and lag behind it. */
const CLOCK_SLACK_MS = 2000;
/** A walk that has not ended by then is not waited for; it goes on. After some errors it never ends. */
const WALK_PATIENCE_MS = 30_000;

/**
 * One root through its life: waited for, walked, watched, gone, back; or polled where events cannot be had.
 * Everything that may have changed the root leads to `check`, which looks at the disk and never at the event.
 */
export class RootWatch {
  readonly #options: RootWatchOptions;
  readonly #buffer: HintBuffer;
  readonly #tick: NodeJS.Timeout;
  #tree: Tree | null = null;
  #found: Found | null = null;
  #ancestor: { readonly path: string; readonly watcher: FSWatcher | null } | null = null;
  #state: WatchState | null = null;
  #sweptMs = 0;
  #ticks = 0;
  #flushTimer: NodeJS.Timeout | null = null;
  #sweepTimer: NodeJS.Timeout | null = null;
  #checkTimer: NodeJS.Timeout | null = null;
  #running: Promise<void> | null = null;
  #again = false;
  #rootEvent = false;
  /** Polling for want of watches, which the user may grant at any time. */
  #limited = false;
  #retry = false;
  #closed = false;
  #stop: () => void = () => {};
  #giveUpWalk: () => void = () => {};
  readonly #stopped = new Promise<void>((resolve) => {
    this.#stop = resolve;
  });

  constructor(options: RootWatchOptions) {
    this.#options = options;
    this.#buffer = createHintBuffer(options.limits);
    this.#tick = setInterval(() => this.#onTick(), options.pollMs);
  }

  /** Brings the watch in line with the disk; calls while one is under way make it look once more. */
  check(): Promise<void> {
    this.#again = true;
    this.#running ??= this.#checkAll().finally(() => {
      this.#running = null;
    });
    return this.#running;
  }

  async dispose(): Promise<void> {
    this.#closed = true;
    this.#stop();
    clearInterval(this.#tick);
    if (this.#flushTimer !== null) clearTimeout(this.#flushTimer);
    await this.#closeTree();
    this.#stopWaiting();
    await this.#running;
  }

  async #checkAll(): Promise<void> {
    while (this.#again && !this.#closed) {
      this.#again = false;
      const rootEvent = this.#rootEvent;
      const retry = this.#retry;
      this.#rootEvent = false;
      this.#retry = false;
      const found = await find(this.#options.root);
      if (this.#closed) return;
      if (found.kind === "missing") await this.#onMissing(found.reason);
      else if (!isSame(this.#found, found, rootEvent)) await this.#arm(found);
      else if (retry) await this.#retryWatching(found);
    }
  }

  async #onMissing(reason: string): Promise<void> {
    const wasThere = this.#found?.kind === "directory";
    this.#found = { kind: "missing", reason };
    if (wasThere) {
      await this.#closeTree();
      this.#options.events.onOverflow("root is gone");
    }
    this.#tell({ kind: "degraded", reason, remedy: "Watching starts by itself when the folder is there." });
    this.#waitForRoot();
  }

  async #arm(found: Directory): Promise<void> {
    const isFirst = this.#found === null;
    this.#found = found;
    this.#stopWaiting();
    await this.#closeTree();
    if (this.#closed) return;
    const distrust = reasonToPoll(found);
    if (distrust === null) await this.#walk(found.path);
    else
      this.#tell({
        kind: "polling",
        reason: distrust,
        remedy: "Keep the folder on a local disk to have changes seen at once.",
      });
    if (!isFirst && !this.#closed) this.#options.events.onOverflow("root came back");
  }

  async #retryWatching(found: Directory): Promise<void> {
    await this.#walk(found.path);
    if (!this.#limited && !this.#closed) this.#options.events.onOverflow("events can be had again");
  }

  async #walk(path: string): Promise<void> {
    const startMs = this.#options.now();
    this.#limited = false;
    const tree = this.#options.openTree(path, {
      onChange: (directory) => this.#note((nowMs) => this.#buffer.add(directory, nowMs)),
      onRoot: () => {
        this.#rootEvent = true;
        void this.check();
      },
      onError: (error) => this.#onError(tree, error),
    });
    this.#tree = tree;
    await this.#patience(tree.ready);
    if (this.#tree !== tree || this.#closed) return;
    this.#tell({ kind: "watching" });
    // Directories made while the walk ran may have slipped through it.
    this.#sweptMs = startMs;
    this.#sweepSoon(0);
  }

  /** Resolves when the walk is done, when the tree is given up, or late; then with a look at everything. */
  async #patience(ready: Promise<void>): Promise<void> {
    let timer: NodeJS.Timeout | null = null;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(() => {
        void ready.then(() => this.#note((nowMs) => this.#buffer.lose("first walk took long", nowMs)));
        resolve();
      }, WALK_PATIENCE_MS);
    });
    const givenUp = new Promise<void>((resolve) => {
      this.#giveUpWalk = resolve;
    });
    await Promise.race([ready, late, givenUp, this.#stopped]);
    if (timer !== null) clearTimeout(timer);
  }

  #onError(tree: Tree, error: unknown): void {
    if (this.#tree !== tree || this.#closed) return;
    const trouble = classifyWatchError(error);
    if (trouble.kind === "lost") {
      this.#note((nowMs) => this.#buffer.lose(trouble.reason, nowMs));
      return;
    }
    this.#limited = true;
    this.#tell({ kind: "degraded", reason: trouble.reason, remedy: trouble.remedy });
    void this.#closeTree();
    this.#giveUpWalk();
    this.#options.events.onOverflow(trouble.reason);
    this.#tell({ kind: "polling", reason: trouble.reason, remedy: trouble.remedy });
  }

  #onTick(): void {
    this.#ticks += 1;
    const repair = this.#ticks % TICKS_BETWEEN_REPAIRS === 0;
    if (this.#state?.kind === "polling") {
      this.#options.events.onOverflow("poll");
      this.#retry = repair && this.#limited;
    } else if (repair && this.#tree !== null) {
      this.#sweepSoon(0);
    }
    void this.check();
  }

  #note(record: (nowMs: number) => void): void {
    if (this.#closed) return;
    const nowMs = this.#options.now();
    record(nowMs);
    const dueMs = this.#buffer.dueMs();
    if (dueMs === null || this.#flushTimer !== null) return;
    this.#flushTimer = setTimeout(() => this.#flush(), Math.max(0, dueMs - nowMs));
  }

  #flush(): void {
    this.#flushTimer = null;
    const drained = this.#buffer.drain();
    if (drained.kind === "hints") this.#options.events.onHint(drained.directories);
    if (drained.kind !== "overflow") return;
    this.#options.events.onOverflow(drained.reason);
    this.#sweepSoon(this.#options.limits.calmMs);
  }

  #sweepSoon(delayMs: number): void {
    const tree = this.#tree;
    if (tree === null || this.#sweepTimer !== null) return;
    this.#sweepTimer = setTimeout(() => {
      this.#sweepTimer = null;
      const sinceMs = this.#sweptMs - CLOCK_SLACK_MS;
      this.#sweptMs = this.#options.now();
      void tree.sweep(sinceMs);
    }, delayMs);
  }

  /** Watches the nearest directory above that exists; any event there is a reason to look. */
  #waitForRoot(): void {
    void nearestAncestor(this.#options.root).then((path) => {
      if (this.#closed || this.#found?.kind !== "missing" || this.#ancestor?.path === path) return;
      this.#stopWaiting();
      this.#ancestor = { path, watcher: watchOne(path, () => this.#checkSoon()) };
      // The root may have come between the look and the watch.
      void this.check();
    });
  }

  /** The directory above may be a busy one. */
  #checkSoon(): void {
    this.#checkTimer ??= setTimeout(() => {
      this.#checkTimer = null;
      void this.check();
    }, this.#options.limits.windowMs);
  }

  #stopWaiting(): void {
    if (this.#checkTimer !== null) clearTimeout(this.#checkTimer);
    this.#checkTimer = null;
    this.#ancestor?.watcher?.close();
    this.#ancestor = null;
  }

  async #closeTree(): Promise<void> {
    const tree = this.#tree;
    this.#tree = null;
    if (this.#sweepTimer !== null) clearTimeout(this.#sweepTimer);
    this.#sweepTimer = null;
    await tree?.dispose();
  }

  #tell(state: WatchState): void {
    if (this.#closed || JSON.stringify(state) === JSON.stringify(this.#state)) return;
    this.#state = state;
    this.#options.events.onState(state);
  }
}

/** Null where no watch can be had: the timer looks too. */
function watchOne(path: string, onEvent: () => void): FSWatcher | null {
  try {
    const watcher = watch(path, onEvent);
    watcher.on("error", onEvent);
    return watcher;
  } catch {
    return null;
  }
}
