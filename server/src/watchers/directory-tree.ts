import { type FSWatcher, lstatSync, opendirSync, type Stats, watch } from "node:fs";
import { basename, join } from "node:path";
import { isOwnName } from "./hints.ts";
import type { Tree, TreeEvents, TreeOptions } from "./tree.ts";

/** Work on the tree is done in slices of this length, so that the kernel's queue of events is read in between. */
const SLICE_MS = 10;
/** Entries of one directory that are read without a look at the clock. */
const ENTRIES_A_STEP = 500;
/** Events are gathered for this long before the disk is asked what they mean; longer where asking takes long. */
const LOOK_MS = 5;
const MOST_REST_MS = 1000;
/** With more changed names than this in one directory it is cheaper to read the directory. */
const MOST_NAMES = 64;
/** A time of change this close to now may stand for a later change too: time stamps are coarse. */
const COARSE_MS = 2000;

/** Watches the directories below a root with one `fs.watch` each (one inotify watch), none for files. Linux only. */
export function openDirectoryTree(options: TreeOptions): Tree {
  return new DirectoryTree(options);
}

/** Kept small: there is one for every directory. */
interface Watched {
  readonly name: string;
  readonly parent: Watched | null;
  /** Most directories hold none. */
  children: Map<string, Watched> | null;
  watcher: FSWatcher | null;
  /** Inode and time of birth: an inode alone is given to the next directory at once. */
  identity: string;
  /** Time of change when it was read last; null where that cannot tell a later change. */
  mtimeMs: number | null;
  /** It told of its own removal: the watch is dead, or follows a directory that has left. */
  suspect: boolean;
  released: boolean;
}

/**
 * What makes it right: a directory is read only once its watch stands, and told of after that, so nothing that
 * was put into it before is missed. Any event that may mean another directory (made, moved in, removed and made
 * again) arms that name anew, since inotify follows the directory and not the name. All changes of the tree are
 * made by one generator, `#work`; events only add to what it has to do. Files are never looked at.
 */
class DirectoryTree implements Tree {
  readonly ready: Promise<void>;
  readonly #rootPath: string;
  readonly #events: TreeEvents;
  readonly #now: () => number;
  readonly #root: Watched;
  readonly #onError: (error: unknown) => void;
  /** Armed and still to be read. */
  readonly #unread: Watched[] = [];
  /** Names to look at by directory; null for all of them. */
  #dirty = new Map<Watched, Set<string> | null>();
  #work: Generator<void, void> | null = null;
  #lookTimer: NodeJS.Timeout | null = null;
  /** Looking takes at most a tenth of the thread's time, however busy the tree is. */
  #restUntilMs = 0;
  /** Directories found by the first walk are not told. */
  #walked = false;
  #closed = false;
  #onReady: () => void = () => {};
  #onIdle: (() => void)[] = [];

  constructor({ root, events, now }: TreeOptions) {
    this.#rootPath = root;
    this.#events = events;
    this.#now = now;
    this.#onError = (error) => events.onError(error);
    this.#root = newWatched(basename(root), null);
    this.ready = new Promise((resolve) => {
      this.#onReady = resolve;
    });
    this.#lookSoon(this.#root, null);
  }

  async sweep(paths: readonly string[]): Promise<void> {
    const given = new Set(paths);
    let count = 0;
    for (const node of everyBelow(this.#root)) {
      count += 1;
      if (count % ENTRIES_A_STEP === 0) await new Promise((resolve) => setImmediate(resolve));
      if (this.#closed) return;
      if (!node.released) this.#sweepOne(node, given);
    }
    if (this.#dirty.size > 0) await new Promise<void>((resolve) => this.#onIdle.push(resolve));
  }

  #sweepOne(node: Watched, given: ReadonlySet<string>): void {
    const path = this.#pathOf(node);
    const stats = statsOf(path);
    const replaced = given.has(path) || stats === null || identityOf(stats) !== node.identity;
    if (replaced) node.suspect = true;
    if (replaced && node.parent !== null) this.#lookSoon(node.parent, node.name);
    else if (replaced || stats?.mtimeMs !== node.mtimeMs) this.#lookSoon(node, null);
  }

  outgrown(): boolean {
    return false;
  }

  async dispose(): Promise<void> {
    this.#closed = true;
    if (this.#lookTimer !== null) clearTimeout(this.#lookTimer);
    this.#release(this.#root);
    this.#idle();
  }

  #onEvent(node: Watched, type: string, name: string | null): void {
    if (this.#closed || node.released) return;
    if (name !== null && isOwnName(name)) {
      this.#events.onChange(null);
      return;
    }
    this.#events.onChange(relativeOf(node));
    // Of the directory itself (or of an entry of its own name: no harm done).
    if (name === node.name) this.#onSelf(node, type);
    else if (type === "rename") this.#lookSoon(node, name);
  }

  /** It was removed, moved or given other permissions. */
  #onSelf(node: Watched, type: string): void {
    if (type === "rename") {
      node.suspect = true;
      if (node.parent === null) this.#events.onRoot();
      else this.#lookSoon(node.parent, node.name);
    }
    this.#lookSoon(node, null);
  }

  #lookSoon(node: Watched, name: string | null): void {
    const names = this.#dirty.get(node);
    if (name === null || (names?.size ?? 0) >= MOST_NAMES) this.#dirty.set(node, null);
    else if (names !== null) this.#dirty.set(node, (names ?? new Set()).add(name));
    if (this.#work === null) this.#schedule();
  }

  #schedule(): void {
    if (this.#closed || this.#lookTimer !== null) return;
    const waitMs = this.#walked ? Math.max(LOOK_MS, this.#restUntilMs - performance.now()) : 0;
    this.#lookTimer = setTimeout(() => this.#look(), waitMs);
  }

  #look(): void {
    this.#lookTimer = null;
    this.#work = this.#steps();
    this.#drive(0);
  }

  #drive(spentMs: number): void {
    if (this.#closed) {
      // Closes the directory that is being read.
      this.#work?.return();
      return;
    }
    const beganMs = performance.now();
    let done = false;
    while (!done && !this.#closed && performance.now() - beganMs < SLICE_MS)
      done = this.#work?.next().done ?? true;
    const totalMs = spentMs + performance.now() - beganMs;
    if (!done) {
      setImmediate(() => this.#drive(totalMs));
      return;
    }
    this.#work = null;
    this.#restUntilMs = performance.now() + Math.min(MOST_REST_MS, 9 * totalMs);
    if (this.#dirty.size > 0) this.#schedule();
    else this.#idle();
  }

  *#steps(): Generator<void, void> {
    if (this.#root.watcher === null) this.#arm(this.#root);
    const dirty = this.#dirty;
    this.#dirty = new Map();
    // What has left goes first: a directory that was moved must not be found under its old name's watch.
    const stay: [Watched, string][] = [];
    for (const [node, names] of dirty) {
      if (names === null) this.#unread.push(node);
      for (const name of names ?? []) {
        if (!node.released && !this.#dropIfGone(node, name)) stay.push([node, name]);
        yield;
      }
    }
    for (const [node, name] of stay) {
      this.#renew(node, name);
      yield;
    }
    for (let node = this.#unread.pop(); node !== undefined; node = this.#unread.pop()) {
      yield* this.#read(node);
      yield;
    }
    this.#walked = true;
    this.#onReady();
  }

  #dropIfGone(parent: Watched, name: string): boolean {
    const stats = statsOf(join(this.#pathOf(parent), name));
    if (stats?.isDirectory()) return false;
    const child = parent.children?.get(name);
    if (child !== undefined) this.#release(child);
    return true;
  }

  /** Watches what stands under this name now, whatever was watched there before. */
  #renew(parent: Watched, name: string): void {
    if (parent.released) return;
    const before = parent.children?.get(name);
    if (before !== undefined) this.#release(before);
    const node = newWatched(name, parent);
    parent.children ??= new Map();
    parent.children.set(name, node);
    this.#arm(node);
  }

  #arm(node: Watched): void {
    const path = this.#pathOf(node);
    node.suspect = false;
    try {
      node.watcher = watch(path, (type, name) => this.#onEvent(node, type, name));
      node.watcher.on("error", this.#onError);
    } catch (error) {
      if (this.#isGone(node, error)) return;
      this.#onError(error);
    }
    // After the watch, which would have followed a link.
    const stats = statsOf(path);
    if (!stats?.isDirectory()) {
      this.#leave(node);
      return;
    }
    node.identity = identityOf(stats);
    this.#unread.push(node);
  }

  *#read(node: Watched): Generator<void, void> {
    if (node.released || this.#closed) return;
    const path = this.#pathOf(node);
    if (node.suspect && node.parent === null) {
      node.watcher?.close();
      node.watcher = null;
      this.#arm(node);
      return;
    }
    const seen = new Set<string>();
    try {
      // Also far ahead of a clock that was set back.
      const mtimeMs = statsOf(path)?.mtimeMs ?? Number.NaN;
      node.mtimeMs = Math.abs(this.#now() - mtimeMs) > COARSE_MS ? mtimeMs : null;
      yield* this.#readEntries(node, path, seen);
    } catch (error) {
      // What was seen so far is not all there is: nothing is dropped.
      if (!this.#isGone(node, error)) this.#onError(withPath(error, path));
      return;
    }
    for (const name of [...(node.children?.keys() ?? [])]) if (!seen.has(name)) this.#dropIfGone(node, name);
    if (this.#walked) this.#events.onChange(relativeOf(node));
  }

  *#readEntries(node: Watched, path: string, seen: Set<string>): Generator<void, void> {
    const directory = opendirSync(path, { bufferSize: ENTRIES_A_STEP });
    try {
      let count = 0;
      for (let entry = directory.readSync(); entry !== null; entry = directory.readSync()) {
        count += 1;
        if (entry.isDirectory() && !isOwnName(entry.name)) {
          seen.add(entry.name);
          if (!this.#isKnown(node, path, entry.name)) this.#renew(node, entry.name);
        }
        if (count % ENTRIES_A_STEP === 0) yield;
        if (node.released || this.#closed) return;
      }
    } finally {
      directory.closeSync();
    }
  }

  #isKnown(parent: Watched, path: string, name: string): boolean {
    const child = parent.children?.get(name);
    if (child === undefined || child.suspect || child.watcher === null) return false;
    const stats = statsOf(join(path, name));
    return stats !== null && identityOf(stats) === child.identity;
  }

  /** A directory that went while it was looked at is nothing to tell: its parent tells. */
  #isGone(node: Watched, error: unknown): boolean {
    const code = error instanceof Error && "code" in error ? error.code : null;
    if (code !== "ENOENT" && code !== "ENOTDIR" && code !== "ELOOP") return false;
    this.#leave(node);
    return true;
  }

  #leave(node: Watched): void {
    if (node.parent !== null) this.#release(node);
    else this.#events.onRoot();
  }

  /** Gives the watches of a directory and of all below it back. */
  #release(node: Watched): void {
    for (const below of everyBelow(node)) {
      below.released = true;
      below.watcher?.close();
      below.watcher = null;
    }
    const siblings = node.parent?.children;
    if (siblings?.get(node.name) === node) siblings.delete(node.name);
  }

  #idle(): void {
    for (const resolve of this.#onIdle.splice(0)) resolve();
  }

  #pathOf(node: Watched): string {
    return node.parent === null ? this.#rootPath : join(this.#rootPath, relativeOf(node));
  }
}

function newWatched(name: string, parent: Watched | null): Watched {
  return {
    name,
    parent,
    children: null,
    watcher: null,
    identity: "",
    mtimeMs: null,
    suspect: false,
    released: false,
  };
}

/** Node's error of `opendirSync` does not say of which directory. */
function withPath(error: unknown, path: string): unknown {
  return error instanceof Error ? Object.assign(error, { path }) : error;
}

/** The directory itself first. */
function everyBelow(node: Watched): readonly Watched[] {
  const all = [node];
  // Grows while it is gone through.
  for (const each of all) for (const child of each.children?.values() ?? []) all.push(child);
  return all;
}

function relativeOf(node: Watched): string {
  if (node.parent === null) return "";
  const above = relativeOf(node.parent);
  return above === "" ? node.name : `${above}/${node.name}`;
}

function identityOf({ dev, ino, birthtimeMs }: Stats): string {
  return `${dev}:${ino}:${birthtimeMs}`;
}

/** Null for what is not there or cannot be reached. */
function statsOf(path: string): Stats | null {
  try {
    return lstatSync(path, { throwIfNoEntry: false }) ?? null;
  } catch {
    return null;
  }
}
