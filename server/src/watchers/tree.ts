import { lstat, readdir } from "node:fs/promises";
import { basename, join, sep } from "node:path";
import { FSWatcher } from "chokidar";
import { directoryBelow, isOwnName } from "./hints.ts";

export interface TreeEvents {
  /** Something happened in this directory; null for events on our own names, which only count. */
  readonly onChange: (directory: string | null) => void;
  /** The root itself may be gone or replaced. */
  readonly onRoot: () => void;
  readonly onError: (error: unknown) => void;
}

export interface Tree {
  /** Settles when the first walk is done. May never settle when the root is replaced while walked. */
  readonly ready: Promise<void>;
  /** Arms anew every directory changed since: for events that were lost. */
  readonly sweep: (sinceMs: number) => Promise<void>;
  readonly dispose: () => Promise<void>;
}

export type OpenTree = (root: string, events: TreeEvents) => Tree;

/** A directory that appeared or was replaced is looked at again after this long. */
const REVIEW_MS = 500;

/** Watches the directories below `root`, a real path: one inotify watch per directory, none per file. */
export function openTree(root: string, events: TreeEvents): Tree {
  return new ChokidarTree(root, events);
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
  readonly #known = new Set<string>();
  readonly #fresh = new Set<string>();
  readonly #replaced = new Set<string>();
  #reviewTimer: NodeJS.Timeout | null = null;
  #walked = false;
  #closed = false;

  constructor(root: string, events: TreeEvents) {
    this.#root = root;
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

  async sweep(sinceMs: number): Promise<void> {
    for (const path of [...this.#known]) {
      const stats = await lstat(path).catch(() => null);
      if (this.#closed) return;
      if (stats?.isDirectory() && stats.mtimeMs >= sinceMs) this.#renew(path);
    }
  }

  async dispose(): Promise<void> {
    this.#closed = true;
    if (this.#reviewTimer !== null) clearTimeout(this.#reviewTimer);
    await this.#watcher.close();
  }

  #onAdded(path: string): void {
    this.#known.add(path);
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
      // The directory itself was removed or moved (or holds an entry of its own name: no harm done).
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
      if (stats?.isDirectory()) this.#renew(path);
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
    return super._readdirp(root, {
      ...options,
      type: "directories",
      alwaysStat: false,
      fileFilter: () => false,
      directoryFilter: (entry) => {
        // chokidar asks the stats for the kind of the entry and for nothing else, which the listing knows.
        Object.assign(entry, { stats: entry.dirent });
        const filter = options?.directoryFilter;
        return entry.dirent?.isDirectory() === true && typeof filter === "function" && filter(entry);
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

function watchedPath(details: unknown): string | null {
  if (typeof details !== "object" || details === null || !("watchedPath" in details)) return null;
  return typeof details.watchedPath === "string" ? details.watchedPath : null;
}

function take(paths: Set<string>): readonly string[] {
  const taken = [...paths];
  paths.clear();
  return taken;
}
