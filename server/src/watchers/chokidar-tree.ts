import { lstatSync } from "node:fs";
import { lstat, readdir } from "node:fs/promises";
import { basename, join, sep } from "node:path";
import { FSWatcher } from "chokidar";
import { directoryBelow, isOwnName } from "./hints.ts";
import { canRead } from "./root.ts";
import type { Tree, TreeEvents, TreeOptions } from "./tree.ts";

/**
 * Trees with more directories than this are too many for chokidar where there is a cheaper way: with 100 directories
 * of 100 files it needs 45 ms and 7 MB more than `fs.watch`, with 1,000 0.2 s and 17 MB (`npm run bench -- watch`).
 */
export const FEW_DIRECTORIES = 100;

/** A directory that appeared or was replaced is looked at again after this long. */
const REVIEW_MS = 500;

/** File time stamps are coarser than the clock, and lag behind it. */
const CLOCK_SLACK_MS = 2000;

/** Watches the directories below a root with chokidar: one watch per directory, none per file. */
export function openChokidarTree(options: TreeOptions): Tree {
  return new ChokidarTree(options);
}

/**
 * chokidar reads a directory first and arms its watch afterwards, and does not notice a directory that was
 * removed and made again between two of its reads. Hence `review`: every new directory is read a second time
 * once its watch stands, and a directory that reported its own removal but exists is armed anew.
 */
class ChokidarTree implements Tree {
  readonly ready: Promise<void>;
  readonly #root: string;
  readonly #events: TreeEvents;
  readonly #watcher: FSWatcher;
  readonly #openedMs: number;
  /** Every directory, with its time of change as the last sweep saw it. */
  readonly #known = new Map<string, number | null>();
  readonly #fresh = new Set<string>();
  readonly #replaced = new Set<string>();
  #reviewTimer: NodeJS.Timeout | null = null;
  #walked = false;
  #closed = false;

  constructor({ root, events, now }: TreeOptions) {
    this.#root = root;
    this.#openedMs = now() - CLOCK_SLACK_MS;
    this.#events = events;
    this.#watcher = new DirectoryWatcher({
      persistent: true,
      // Directories found by the first walk are told too: `#known` is made of them.
      ignoreInitial: false,
      followSymlinks: false,
      usePolling: false,
      awaitWriteFinish: false,
      // Else chokidar would hide names that look like those of editors.
      atomic: false,
      ignored: ignoreRule(root),
    });
    this.#watcher.on("addDir", (path) => this.#onAdded(path));
    this.#watcher.on("unlinkDir", (path) => this.#onRemoved(path));
    this.#watcher.on("raw", (_event, name, details) => this.#onRaw(name, watchedPath(details)));
    this.#watcher.on("error", (error) => events.onError(error));
    this.ready = new Promise((resolve) => {
      this.#watcher.once("ready", () => {
        this.#walked = true;
        resolve();
      });
    });
    this.#watcher.add(root);
  }

  async sweep(paths: readonly string[]): Promise<void> {
    for (const path of paths) this.#renew(path);
    for (const [path, sweptMs] of [...this.#known]) {
      const stats = await lstat(path).catch(() => null);
      if (this.#closed) return;
      if (!stats?.isDirectory()) continue;
      this.#known.set(path, stats.mtimeMs);
      // The first sweep is for what was made while the walk ran.
      const changed = sweptMs === null ? stats.mtimeMs >= this.#openedMs : stats.mtimeMs !== sweptMs;
      if (changed) this.#renew(path);
    }
  }

  outgrown(): boolean {
    return process.platform === "linux" && this.#known.size > 4 * FEW_DIRECTORIES;
  }

  async dispose(): Promise<void> {
    this.#closed = true;
    if (this.#reviewTimer !== null) clearTimeout(this.#reviewTimer);
    await this.#watcher.close();
  }

  #onAdded(path: string): void {
    if (!this.#known.has(path)) this.#known.set(path, null);
    if (!this.#walked) return;
    this.#events.onChange(directoryBelow(this.#root, path, sep));
    this.#reviewLater(this.#fresh, path);
  }

  #onRemoved(path: string): void {
    this.#known.delete(path);
    if (path === this.#root) this.#events.onRoot();
    else this.#events.onChange(directoryBelow(this.#root, path, sep));
  }

  #onRaw(name: string | null, watched: string | null): void {
    const directory = watched === null ? null : directoryBelow(this.#root, watched, sep);
    if (watched !== null && directory !== null && name === basename(watched)) {
      // It was removed, moved or given other permissions (or holds an entry of its own name: no harm done).
      if (directory === "") this.#events.onRoot();
      else this.#reviewLater(this.#replaced, watched);
    }
    this.#events.onChange(name !== null && isOwnName(name) ? null : directory);
  }

  #reviewLater(paths: Set<string>, path: string): void {
    paths.add(path);
    this.#reviewTimer ??= setTimeout(() => {
      this.#reviewTimer = null;
      void this.#review();
    }, REVIEW_MS);
  }

  async #review(): Promise<void> {
    const replaced = take(this.#replaced);
    const fresh = take(this.#fresh);
    for (const path of replaced) {
      const stats = await lstat(path).catch(() => null);
      if (this.#closed) return;
      if (!stats?.isDirectory()) continue;
      this.#renew(path);
      // chokidar takes a directory that it may not list for an empty one, and needs no leave to enter it.
      if (!(await canRead(path))) this.#events.onError(denied(path));
    }
    for (const path of fresh) {
      const entries = await readdir(path, { withFileTypes: true }).catch(() => []);
      if (this.#closed) return;
      for (const entry of entries) {
        const below = join(path, entry.name);
        if (entry.isDirectory() && !isOwnName(entry.name) && !this.#known.has(below))
          this.#watcher.add(below);
      }
      this.#events.onChange(directoryBelow(this.#root, path, sep));
    }
  }

  /** `addDir` follows, and with it a hint and a review: nothing that happens in between is missed. */
  #renew(path: string): void {
    this.#watcher.unwatch(path);
    this.#watcher.add(path);
  }
}

/**
 * chokidar reads a directory again at every event in it and asks for the stats of every file: a folder of
 * 10,000 files with five writes a second kept a core busy. Only directories matter here, and the listing
 * itself tells which entries are. The method is not part of chokidar's interface: `override` makes the
 * compiler refuse a version without it, and the version is pinned.
 */
class DirectoryWatcher extends FSWatcher {
  override _readdirp(
    ...[root, options]: Parameters<FSWatcher["_readdirp"]>
  ): ReturnType<FSWatcher["_readdirp"]> {
    // A directory that was replaced by a link would be read through the link.
    const isLink = isSymbolicLink(root);
    return super._readdirp(root, {
      ...options,
      type: "directories",
      alwaysStat: false,
      fileFilter: () => false,
      directoryFilter: (entry) => {
        // chokidar asks the stats for the kind of the entry and for nothing else, which the listing knows.
        Object.assign(entry, { stats: entry.dirent });
        const filter = options?.directoryFilter;
        return (
          !isLink && entry.dirent?.isDirectory() === true && typeof filter === "function" && filter(entry)
        );
      },
    });
  }
}

/** Asked with and without stats. Only directories at or below the root, none of our own, are let through. */
function ignoreRule(root: string): (path: string, stats?: { isDirectory(): boolean }) => boolean {
  // chokidar hands paths to this rule with forward slashes on every platform.
  const slashRoot = root.split(sep).join("/");
  return (path, stats) => {
    const directory = directoryBelow(slashRoot, path, "/");
    if (directory === null) return true;
    if (directory !== "" && isOwnName(basename(path))) return true;
    return stats !== undefined && !stats.isDirectory();
  };
}

function denied(path: string): Error {
  return Object.assign(new Error(`EACCES: ${path}`), { code: "EACCES", path });
}

function isSymbolicLink(path: string): boolean {
  try {
    return lstatSync(path).isSymbolicLink();
  } catch {
    return false;
  }
}

function watchedPath(details: unknown): string | null {
  if (typeof details !== "object" || details === null || !("watchedPath" in details)) return null;
  return typeof details.watchedPath === "string" ? details.watchedPath : null;
}

function take(paths: Set<string>): readonly string[] {
  const taken = [...paths];
  paths.clear();
  return taken;
}
