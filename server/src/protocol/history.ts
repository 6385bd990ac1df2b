import type { DatasetParams } from "./datasets.ts";

/** One group of an interrupted run, and what became of it. */
export interface WireRecovered {
  readonly runId: string;
  readonly group: number;
  readonly action: "discard" | "roll_back" | "roll_forward" | "undo" | "quarantine";
  readonly detail: string;
  /** At most this long did rows stand in both old and new files, from the interrupted swap to now. */
  readonly duplicateWindowMs: number;
}

export interface WireRun {
  readonly runId: string;
  readonly state:
    | "running"
    | "published"
    | "partly_published"
    | "undone"
    | "purged"
    | "rolled_back"
    | "interrupted"
    | "quarantined";
  readonly operation: "compact";
  readonly startedAt: string;
  readonly engine: string;
  readonly groups: number;
  readonly inputFiles: number;
  readonly inputBytes: number;
  readonly outputFiles: number;
  readonly outputBytes: number;
  readonly rows: number;
  readonly partitions: readonly string[];
  /** Bytes of originals that are kept for undo. */
  readonly retainedBytes: number;
  /** When its latest group came into the state it is in. */
  readonly stateSince: string;
  /** The longest time that a group's rows stood in both old and new files. */
  readonly duplicateWindowMs: number;
  /** Folder that holds its journals and originals. */
  readonly folder: string;
  readonly reason?: string;
}

export interface UndoParams extends DatasetParams {
  /** Default: the latest published run. */
  readonly runId?: string;
}

export interface UndoResult {
  readonly kind: "undone" | "nothing_to_do" | "refused";
  readonly runId: string | null;
  readonly restoredFiles: number;
  readonly withdrawnFiles: number;
  /** The longest time that a group's rows stood in both old and new files. */
  readonly duplicateWindowMs: number;
  readonly recovered: readonly WireRecovered[];
  readonly reason?: string;
}

export interface RecoverResult {
  readonly kind: "recovered" | "nothing_to_do" | "quarantined";
  readonly groups: readonly WireRecovered[];
}

/** Without `runId` and `all`: the runs past their retention, and the oldest ones above its cap. */
export interface PurgeParams extends DatasetParams {
  readonly runId?: string;
  /** Every run, however young. */
  readonly all?: boolean;
  /** Tell what would be deleted and delete nothing; default false. */
  readonly dryRun?: boolean;
}

export interface PurgeResult {
  readonly kind: "purged" | "nothing_to_do" | "refused";
  readonly dryRun: boolean;
  readonly runs: readonly WirePurgedRun[];
  /** Runs that were asked for or are due, and keep their originals, with the reason. */
  readonly kept: readonly { readonly runId: string; readonly reason: string }[];
  readonly purgedFiles: number;
  readonly purgedBytes: number;
  /** Originals of all runs that are still kept. */
  readonly retainedBytes: number;
  readonly recovered: readonly WireRecovered[];
  readonly reason?: string;
}

export interface WirePurgedRun {
  readonly runId: string;
  readonly files: number;
  readonly bytes: number;
  /** Outputs that are gone or changed: the originals were the only copy of their rows that is known. */
  readonly lostOutputs: readonly string[];
  readonly lostRows: number;
}
