import type { WatchState } from "../watcher.ts";
import type { TreeKind } from "./choose-tree.ts";

/** Between the watcher and its worker thread. `id` names one watched root; ids are never used again. */
export type ToWorker =
  | { readonly kind: "watch"; readonly id: number; readonly root: string }
  | { readonly kind: "unwatch"; readonly id: number }
  /** The full look that an `overflow` asked for is done. */
  | { readonly kind: "looked"; readonly id: number; readonly look: number };

export type FromWorker =
  /** The first walk is done, or the root is waited for or polled. Sent once per `watch`. */
  | { readonly kind: "ready"; readonly id: number }
  /** The answer to `unwatch`; no message with this id follows. */
  | { readonly kind: "closed"; readonly id: number }
  | { readonly kind: "hint"; readonly id: number; readonly directories: readonly string[] }
  | { readonly kind: "overflow"; readonly id: number; readonly look: number; readonly reason: string }
  | { readonly kind: "state"; readonly id: number; readonly state: WatchState };

/** `workerData` of the thread. */
export interface WorkerSettings {
  readonly pollMs: number;
  /** Null: what fits each root. */
  readonly tree: TreeKind | null;
}
