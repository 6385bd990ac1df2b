import { type FSWatcher, watch } from "node:fs";
import { nearestAncestor } from "./root.ts";

/** Waits for a root that is missing: watches the nearest directory above that exists; any event there is a reason to look. */
export class AncestorWatch {
  readonly #root: string;
  readonly #gatherMs: number;
  readonly #onEvent: () => void;
  #at: { readonly path: string; readonly watcher: FSWatcher | null } | null = null;
  #timer: NodeJS.Timeout | null = null;
  #disposed = false;

  constructor(root: string, gatherMs: number, onEvent: () => void) {
    this.#root = root;
    this.#gatherMs = gatherMs;
    this.#onEvent = onEvent;
  }

  /** Goes to where the nearest directory stands now. */
  async follow(): Promise<void> {
    const path = await nearestAncestor(this.#root);
    if (this.#disposed || this.#at?.path === path) return;
    this.#at?.watcher?.close();
    this.#at = { path, watcher: watchOne(path, () => this.#soon()) };
    // The root may have come between the look and the watch.
    this.#soon();
  }

  dispose(): void {
    this.#disposed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#at?.watcher?.close();
  }

  /** The directory above may be a busy one. */
  #soon(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = null;
      if (!this.#disposed) this.#onEvent();
    }, this.#gatherMs);
  }
}

/** Null where no watch can be had: the timer of the root looks too. */
function watchOne(path: string, onEvent: () => void): FSWatcher | null {
  try {
    const watcher = watch(path, onEvent);
    watcher.on("error", onEvent);
    return watcher;
  } catch {
    return null;
  }
}
