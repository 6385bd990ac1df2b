import type { DatasetParams, WireFile, WireHealth } from "./datasets.ts";

export interface ChangesParams extends DatasetParams {
  /** A generation that this connection was told since the dataset was opened. */
  readonly since: number;
  /** Rescan the disk before answering. */
  readonly sync?: boolean;
}

export interface ChangesResult {
  readonly generation: number;
  /** What changed is not known any more, or is too much: read everything with `tamp/dataset/files`. */
  readonly fresh: boolean;
  /** New or different since then, as they are now; sorted by path. */
  readonly changed: readonly WireFile[];
  readonly removed: readonly string[];
}

export interface HistoryParams extends DatasetParams {
  /** Milliseconds since the epoch; default: from the beginning. */
  readonly sinceMs?: number;
  /** The newest so many points, and runs; at most 2,000, which is the default. */
  readonly limit?: number;
}

export interface HistoryResult {
  readonly dataset: string;
  readonly points: readonly WireHistoryPoint[];
  readonly runs: readonly WireHistoryRun[];
  /** Bytes written for each that came in, over the time asked for; null where nothing came in. */
  readonly amplification: number | null;
}

export interface WireHistoryPoint {
  /** Milliseconds since the epoch. */
  readonly atMs: number;
  readonly files: number;
  readonly bytes: number;
  readonly rows: number;
  readonly smallFiles: number;
  /** Of the health. */
  readonly score: number;
  /** Of new files that no run wrote, since the history began. */
  readonly arrivedBytes: number;
  /** Of files that runs wrote, since the history began. */
  readonly rewrittenBytes: number;
}

export interface WireHistoryRun {
  /** When it ended: milliseconds since the epoch. */
  readonly atMs: number;
  readonly runId: string;
  readonly kind: "published" | "partly_published" | "undone" | "recovered" | "purged";
  readonly filesBefore: number;
  readonly filesAfter: number;
  readonly bytesBefore: number;
  readonly bytesAfter: number;
  /** What its plan took `bytesAfter` to become; null where there was no plan. */
  readonly estimatedBytes: number | null;
  readonly rewrittenBytes: number;
}

export interface CheckParams extends DatasetParams {
  /** Prefixes of whole path components; several are ORed. */
  readonly partitionFilter?: readonly string[];
  /** Rescan the disk before answering. */
  readonly sync?: boolean;
}

export interface CheckResult {
  readonly dataset: string;
  readonly generation: number;
  readonly crossed: boolean;
  readonly crossings: readonly WireCrossing[];
  readonly health: WireHealth;
  readonly counts: {
    readonly fileCount: number;
    readonly totalBytes: number;
    readonly partitionCount: number;
    readonly smallFileCount: number;
    readonly unsettledCount: number;
    readonly quarantinedCount: number;
  };
  /** The first 1,000 files that cannot be read, sorted by path. */
  readonly quarantined: readonly { readonly path: string; readonly detail: string }[];
  /** Why nothing may be rewritten here; then nothing is judged. */
  readonly refused?: string;
  /** Why not all that was asked for could be judged: `crossed: false` does not mean that nothing is crossed then. */
  readonly incomplete?: string;
  /** Those of the dataset's summary. */
  readonly warnings: readonly string[];
}

/** A partition over a threshold, by the first of them that it is over. */
export interface WireCrossing {
  readonly partition: string;
  readonly trigger: "count" | "bytes" | "age" | "row_groups" | "oversize" | "codec";
  /** Files that would be rewritten, and their bytes. */
  readonly files: number;
  readonly bytes: number;
  /** The threshold, and what stands against it: files, bytes, milliseconds or a factor. */
  readonly limit: number;
  readonly value: number;
}
