import type { WatchEvents, WatchState } from "../watcher.ts";
import { AncestorWatch } from "./ancestor-watch.ts";
import { createHintBuffer, type HintBuffer, type HintLimits } from "./hints.ts";
import { Poll, pollReason, REST } from "./poll.ts";
import { type Directory, type Found, isSame, reasonToPoll } from "./root.ts";
import type { OpenTree, Tree } from "./tree.ts";
import { classifyWatchError } from "./trouble.ts";

/** What is asked of the file system besides watching. */
export interface RootDisk {
  /** What stands at the path of the root now. */
  readonly find: (root: string) => Promise<Found>;
  /** Whether a directory may be listed and entered, or is gone. */
  readonly canRead: (path: string) => Promise<boolean>;
}

export interface RootWatchOptions {
  readonly root: string;
  readonly events: WatchEvents;
  readonly openTree: OpenTree;
  readonly disk: RootDisk;
  readonly limits: HintLimits;
  readonly pollMs: number;
  /** Monotonic milliseconds: nothing here waits for the time of day. */
  readonly clock: () => number;
  /** Milliseconds since the epoch, as file time stamps have them. */
  readonly now: () => number;
  /** A raw event of any kind came. */
  readonly onRaw: () => void;
}

/** The root, and folders that may not be read, are looked at so often while a poll compares once. */
const TICKS_A_POLL = 2;
/** After so many looks a watched root is swept, … */
const TICKS_BETWEEN_REPAIRS = 30 * TICKS_A_POLL;
/** … and one that was out of watches tries again: a walk up to the first watch that is refused. */
const TICKS_BETWEEN_RETRIES = 6 * TICKS_A_POLL;
/** A walk that has not ended by then is not waited for; it goes on. After some errors it never ends. */
const WALK_PATIENCE_MS = 30_000;
/** So many directories that may not be read are looked at again; the first is named. */
const MOST_DENIED = 100;

interface Cause {
  readonly reason: string;
  readonly remedy: string;
}

const ASK_FOR_ACCESS = "Let the user that runs tamp read and enter it; it is tried again by itself.";

const LONG_WALK: Cause = {
  reason: "The first walk over the folders takes long; until it is done not every change is seen at once.",
  remedy: "Nothing: watching begins when the walk is done.",
};

/**
 * One root through its life: waited for, walked, watched, gone, back; or polled where events cannot be had.
 * Everything that may have changed the root leads to `check`, which looks at the disk and never at the event.
 *
 * What is lost, and when the inventory is right again (`pollMs` is 10 s; a reconcile takes what it takes):
 *
 * | lost                                          | right again                                            |
 * |-----------------------------------------------|--------------------------------------------------------|
 * | events of a burst (a quarter of the kernel's queue read at once) | at once for all roots, again a second later while it lasts |
 * | an error of the watcher, a death of its worker | at once, and when it watches again                    |
 * | a directory that could not be read            | 5 s after it can be, and at every full comparison      |
 * | the root removed, replaced, renamed, mounted  | at its event, else after 5 s                           |
 * | the root not to be read (`degraded` meanwhile) | at the event of its return, else 5 s after it can be   |
 * | no watches left, network file system          | every 10 s; up to 5 min where a look takes over a second |
 * | the same, and watches are granted again       | watched 60 s later; more where a try takes over 6 s    |
 * | anything else, without a sign                 | at the full comparison of the dataset, every 5 min     |
 */
export class RootWatch {
  readonly #options: RootWatchOptions;
  readonly #buffer: HintBuffer;
  readonly #tick: NodeJS.Timeout;
  #tree: Tree | null = null;
  #found: Found | null = null;
  #ancestor: AncestorWatch | null = null;
  #told: string | null = null;
  #ticks = 0;
  #flushTimer: NodeJS.Timeout | null = null;
  #sweepTimer: NodeJS.Timeout | null = null;
  #running: Promise<void> | null = null;
  #again = false;
  #rootEvent = false;
  /** Set while events cannot be had; `retry`: for want of watches, which the user may grant at any time. */
  #polling: { readonly cause: Cause; readonly retry: boolean; readonly poll: Poll } | null = null;
  #repair = false;
  /** A try that fails has armed all the watches there are: seconds, where there are many. */
  #noRetryBeforeMs = Number.NEGATIVE_INFINITY;
  #isWalkLong = false;
  readonly #denied = new Map<string, string>();
  #closed = false;
  #stop: () => void = () => {};
  #giveUpWalk: () => void = () => {};
  readonly #stopped = new Promise<void>((resolve) => {
    this.#stop = resolve;
  });

  constructor(options: RootWatchOptions) {
    this.#options = options;
    this.#buffer = createHintBuffer(options.limits);
    this.#tick = setInterval(() => this.#onTick(), options.pollMs / TICKS_A_POLL);
  }

  /** Brings the watch in line with the disk; calls while one is under way make it look once more. */
  check(): Promise<void> {
    this.#again = true;
    this.#running ??= this.#checkAll().finally(() => {
      this.#running = null;
    });
    return this.#running;
  }

  /** Events may have been lost. */
  lose(reason: string): void {
    if (this.#tree !== null) this.#note((nowMs) => this.#buffer.lose(reason, nowMs));
  }

  async dispose(): Promise<void> {
    this.#closed = true;
    this.#stop();
    clearInterval(this.#tick);
    if (this.#flushTimer !== null) clearTimeout(this.#flushTimer);
    this.#stopPolling();
    await this.#closeTree();
    this.#stopWaiting();
    await this.#running;
  }

  async #checkAll(): Promise<void> {
    while (this.#again && !this.#closed) {
      this.#again = false;
      const rootEvent = this.#rootEvent;
      const repair = this.#repair;
      this.#rootEvent = false;
      this.#repair = false;
      const found = await this.#look();
      if (this.#closed) return;
      if (found.kind !== "directory") await this.#onAbsent(found);
      else if (!isSame(this.#found, found, rootEvent)) await this.#arm(found);
      else if (repair) await this.#repairWatch(found);
    }
  }

  async #look(): Promise<Found> {
    const { disk, root } = this.#options;
    const found = await disk.find(root);
    if (found.kind !== "directory" || (await disk.canRead(found.path))) return found;
    return { kind: "denied", reason: `The folder cannot be read: ${found.path}.` };
  }

  async #onAbsent(found: Exclude<Found, Directory>): Promise<void> {
    const before = this.#found?.kind ?? "missing";
    this.#found = found;
    if (before === "directory") {
      this.#stopPolling();
      await this.#closeTree();
      if (this.#closed) return;
    }
    // What cannot be read is not gone, and there is nothing to look at.
    if (before !== "missing" && found.kind === "missing") this.#overflow("root is gone");
    this.#tell();
    this.#ancestor ??= new AncestorWatch(
      this.#options.root,
      this.#options.limits.windowMs,
      () => void this.check(),
    );
    void this.#ancestor.follow();
  }

  async #arm(found: Directory): Promise<void> {
    const before = this.#found?.kind ?? null;
    this.#found = found;
    this.#stopWaiting();
    this.#stopPolling();
    const distrust = reasonToPoll(found);
    if (distrust === null) await this.#walk(found.path);
    else {
      await this.#closeTree();
      const remedy = "Keep the folder on a local disk to have changes seen at once.";
      this.#startPolling({ reason: distrust, remedy }, false);
    }
    if (before === null || this.#closed) return;
    this.#overflow(before === "denied" ? "root can be read again" : "root came back");
  }

  /** Now and then: watches may have been granted, a directory may have slipped through, the tree may have grown. */
  async #repairWatch(found: Directory): Promise<void> {
    if (this.#polling?.retry === true) await this.#retry(found.path);
    else if (this.#tree?.outgrown() === true) {
      if (await this.#walk(found.path)) this.#overflow("the folder has grown");
    } else this.#sweepSoon(0);
  }

  async #retry(path: string): Promise<void> {
    const { clock } = this.#options;
    const beganMs = clock();
    if (beganMs < this.#noRetryBeforeMs) return;
    if (await this.#walk(path)) this.#overflow("events can be had again");
    this.#noRetryBeforeMs = clock() + REST * (clock() - beganMs);
  }

  /** Whether the tree is watched now. */
  async #walk(path: string): Promise<boolean> {
    await this.#closeTree();
    if (this.#closed) return false;
    // Errors may come before the tree is known.
    const early: unknown[] = [];
    let opened: Tree | null = null;
    const tree = this.#options.openTree({
      root: path,
      now: this.#options.now,
      events: {
        onChange: (directory) => {
          this.#options.onRaw();
          this.#note((nowMs) => this.#buffer.add(directory, nowMs));
        },
        onRoot: () => {
          this.#rootEvent = true;
          void this.check();
        },
        onError: (error) => {
          if (opened === null) early.push(error);
          else this.#onError(opened, error);
        },
      },
    });
    opened = tree;
    this.#tree = tree;
    const inTime = this.#patience(tree);
    for (const error of early) this.#onError(tree, error);
    await inTime;
    if (this.#tree !== tree || this.#closed) return false;
    this.#stopPolling();
    this.#tell();
    // Directories made while the walk ran may have slipped through it.
    this.#sweepSoon(0);
    return true;
  }

  /** Resolves when the walk is done, when the tree is given up, or late; then with a look at everything. */
  async #patience(tree: Tree): Promise<void> {
    let timer: NodeJS.Timeout | null = null;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(() => {
        this.#isWalkLong = true;
        void tree.ready.then(() => this.#onLateWalk(tree));
        resolve();
      }, WALK_PATIENCE_MS);
    });
    const givenUp = new Promise<void>((resolve) => {
      this.#giveUpWalk = resolve;
    });
    await Promise.race([tree.ready, late, givenUp, this.#stopped]);
    if (timer !== null) clearTimeout(timer);
  }

  #onLateWalk(tree: Tree): void {
    if (this.#tree !== tree) return;
    this.#isWalkLong = false;
    this.#tell();
    this.lose("first walk took long");
  }

  #onError(tree: Tree, error: unknown): void {
    if (this.#tree !== tree || this.#closed) return;
    const trouble = classifyWatchError(error);
    if (trouble.kind === "lost") this.lose(trouble.reason);
    else if (trouble.kind === "denied") {
      if (this.#denied.size < MOST_DENIED) this.#denied.set(trouble.path, trouble.code);
      this.#tell();
      // Watches of a root that cannot be read may be dead when it can be: it is armed as a whole then.
      if (this.#found?.kind === "directory" && trouble.path === this.#found.path) void this.check();
    } else {
      const isNew = this.#polling === null;
      if (isNew) this.#say({ kind: "degraded", reason: trouble.reason, remedy: trouble.remedy });
      void this.#closeTree();
      this.#giveUpWalk();
      if (isNew) this.#overflow(trouble.reason);
      this.#startPolling(trouble, true);
    }
  }

  #onTick(): void {
    this.#ticks += 1;
    const wait = this.#polling?.retry === true ? TICKS_BETWEEN_RETRIES : TICKS_BETWEEN_REPAIRS;
    if (this.#ticks % wait === 0) this.#repair = true;
    void this.check();
    if (this.#denied.size > 0) void this.#askAgain();
  }

  async #askAgain(): Promise<void> {
    const tree = this.#tree;
    const granted: string[] = [];
    for (const path of this.#denied.keys()) if (await this.#options.disk.canRead(path)) granted.push(path);
    if (granted.length === 0 || this.#closed || tree === null || this.#tree !== tree) return;
    for (const path of granted) this.#denied.delete(path);
    this.#tell();
    await tree.sweep(granted);
    this.lose("a folder can be read again");
  }

  #note(record: (nowMs: number) => void): void {
    if (this.#closed) return;
    const nowMs = this.#options.clock();
    record(nowMs);
    const dueMs = this.#buffer.dueMs();
    if (dueMs === null || this.#flushTimer !== null) return;
    this.#flushTimer = setTimeout(() => this.#flush(), Math.max(0, dueMs - nowMs));
  }

  #flush(): void {
    this.#flushTimer = null;
    const drained = this.#buffer.drain(this.#options.clock());
    if (drained.kind === "hints") this.#options.events.onHint(drained.directories);
    if (drained.kind !== "overflow") return;
    this.#overflow(drained.reason);
    this.#sweepSoon(this.#options.limits.calmMs);
  }

  #overflow(reason: string): void {
    void this.#options.events.onOverflow(reason);
  }

  #sweepSoon(delayMs: number): void {
    const tree = this.#tree;
    if (tree === null || this.#sweepTimer !== null) return;
    this.#sweepTimer = setTimeout(() => {
      this.#sweepTimer = null;
      void tree.sweep([]);
    }, delayMs);
  }

  #startPolling(cause: Cause, retry: boolean): void {
    if (this.#closed) return;
    const { pollMs, clock, events } = this.#options;
    this.#polling ??= {
      cause,
      retry,
      poll: new Poll({
        baseMs: pollMs,
        clock,
        look: async () => events.onOverflow("poll"),
        onInterval: () => this.#tell(),
      }),
    };
    this.#tell();
  }

  #stopPolling(): void {
    this.#polling?.poll.dispose();
    this.#polling = null;
  }

  #stopWaiting(): void {
    this.#ancestor?.dispose();
    this.#ancestor = null;
  }

  async #closeTree(): Promise<void> {
    const tree = this.#tree;
    this.#tree = null;
    this.#isWalkLong = false;
    this.#denied.clear();
    if (this.#sweepTimer !== null) clearTimeout(this.#sweepTimer);
    this.#sweepTimer = null;
    await tree?.dispose();
  }

  /** Tells the state that what is known amounts to; it holds until another one is told. */
  #tell(): void {
    if (this.#found?.kind === "missing") {
      const remedy = "Watching starts by itself when the folder is there.";
      this.#say({ kind: "degraded", reason: this.#found.reason, remedy });
    } else if (this.#found?.kind === "denied") {
      this.#say({ kind: "degraded", reason: this.#found.reason, remedy: ASK_FOR_ACCESS });
    } else if (this.#polling !== null) {
      const { cause, poll } = this.#polling;
      this.#say({ kind: "polling", reason: pollReason(cause.reason, poll.intervalMs), remedy: cause.remedy });
    } else if (this.#denied.size > 0) this.#say({ kind: "degraded", ...deniedCause(this.#denied) });
    else if (this.#isWalkLong) this.#say({ kind: "degraded", ...LONG_WALK });
    else if (this.#tree !== null) this.#say({ kind: "watching" });
  }

  #say(state: WatchState): void {
    const text = JSON.stringify(state);
    if (this.#closed || text === this.#told) return;
    this.#told = text;
    this.#options.events.onState(state);
  }
}

function deniedCause(denied: ReadonlyMap<string, string>): Cause {
  const [[path = "", code = ""] = []] = denied;
  const more = denied.size > 1 ? ` and ${denied.size - 1} more` : "";
  return {
    reason: `A folder cannot be watched (${code}): ${path}${more}.`,
    remedy: ASK_FOR_ACCESS,
  };
}
