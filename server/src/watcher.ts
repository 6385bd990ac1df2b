/**
 * The watcher port. Events are hints that something below a root may have changed; the disk is the truth.
 * A watcher knows directories, never Parquet.
 */
export interface WatchEvents {
  /** Directories (relative to the root, `""` for the root) in which something may have changed. */
  readonly onHint: (directories: readonly string[]) => void;
  /**
   * Hints were lost or may have been (burst, watcher error, root gone and back, polling): reconcile everything.
   * A promise tells when that is done; one that takes long is asked for less often while polling.
   */
  readonly onOverflow: (reason: string) => Promise<void> | void;
  readonly onState: (state: WatchState) => void;
}

/** `polling` and `degraded` carry the reason and the remedy as data, until resolved. */
export type WatchState =
  | { readonly kind: "watching" }
  | { readonly kind: "polling"; readonly reason: string; readonly remedy: string }
  | { readonly kind: "degraded"; readonly reason: string; readonly remedy: string };

export interface Watch {
  dispose(): Promise<void>;
}

export interface Watcher {
  /**
   * Resolves once the initial directory walk is done, or at once where there is nothing to walk: a root that
   * does not exist yet (state `degraded`; overflow when it comes), or one that is polled.
   */
  watch(root: string, events: WatchEvents): Promise<Watch>;
  dispose(): Promise<void>;
}
