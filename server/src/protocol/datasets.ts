import type { WireRecovered } from "./history.ts";

/** Thresholds as a user gives them: sizes as text (`128MB` = 10^6, `128MiB` = 2^20) or bytes. */
export interface WirePolicy {
  readonly targetSize?: string | number;
  readonly smallFile?: string | number;
  readonly targetRows?: number;
  readonly rowsPerGroup?: number;
  readonly minFiles?: number;
  readonly minAgeMs?: number;
  readonly minBytes?: string | number;
  readonly rowGroupFactor?: number;
  readonly tierFactor?: number;
  readonly cooldownMs?: number;
  readonly settleMs?: number;
  readonly compression?: string;
  readonly allow?: readonly string[];
  readonly maxRunBytes?: string | number;
  readonly maxRunGroups?: number;
  readonly retentionMs?: number;
  readonly maxRetained?: string | number;
}

/** Names a dataset by its root; every dataset method takes it. */
export interface DatasetParams {
  readonly dataset: string;
}

export interface OpenParams extends DatasetParams {
  readonly policy?: WirePolicy;
  /** Folder for staging, journal and trash, where the sibling of the root cannot hold it. */
  readonly workspace?: string;
  /** Keep watching after the first scan; default true. */
  readonly watch?: boolean;
  /** Refuse a missing or empty root instead of waiting for it; default false. */
  readonly mustExist?: boolean;
  /** Finish or undo what an interrupted run left, where nobody maintains the dataset; default false. */
  readonly recover?: boolean;
  /** Run what the policy file says to `execute` once a threshold is crossed; default false. */
  readonly automate?: boolean;
}

export type WireWatchState = {
  readonly kind: "watching" | "polling" | "degraded" | "off";
  readonly reason?: string;
  readonly remedy?: string;
};

/** What happens where a threshold is crossed, and what execution waits for. */
export interface WireAutomation {
  readonly onThreshold: "off" | "notify" | "execute";
  readonly state: "idle" | "running" | "waiting";
  /** Why it waits. */
  readonly reason?: string;
  /** Milliseconds since the epoch: it waits at most until then. */
  readonly untilMs?: number;
}

export interface DatasetSummary {
  readonly dataset: string;
  readonly state: "ready" | "empty" | "missing" | "scanning";
  readonly generation: number;
  readonly fileCount: number;
  readonly totalBytes: number;
  readonly totalRows: number;
  readonly smallFileCount: number;
  /** Files that may still be written. */
  readonly unsettledCount: number;
  /** Settled files that cannot be read or rewritten, each with its reason in `tamp/dataset/files`. */
  readonly quarantinedCount: number;
  readonly health: WireHealth;
  readonly watch: WireWatchState;
  readonly automation: WireAutomation;
  readonly running: boolean;
  /** Groups of interrupted runs that `tamp/recover` would judge. */
  readonly interruptedGroups: number;
  /** What recovery did when the dataset was opened with `recover`. */
  readonly recovered: readonly WireRecovered[];
  readonly warnings: readonly string[];
}

export interface WireHealth {
  /** 0 to 100; 100 exactly when a plan would be `nothing_to_do`. */
  readonly score: number;
  readonly reasons: readonly {
    readonly kind: "small_files" | "oversize" | "row_groups" | "codec" | "foreign_format";
    readonly files: number;
    readonly bytes: number;
    readonly partitions: number;
  }[];
}

export interface StatsParams extends DatasetParams {
  /** Prefixes of whole path components; several are ORed. */
  readonly partitionFilter?: readonly string[];
  /** Rescan the disk before answering. */
  readonly sync?: boolean;
}

export interface DatasetStats {
  readonly dataset: string;
  readonly generation: number;
  readonly fileCount: number;
  readonly totalBytes: number;
  readonly totalRows: number;
  readonly partitionCount: number;
  readonly rowGroupCount: number;
  readonly smallFileCount: number;
  readonly smallFileBytes: number;
  readonly schemaClassCount: number;
  readonly uncompressedBytes: number;
  readonly quarantinedCount: number;
  readonly unsettledCount: number;
  readonly codecs: Readonly<Record<string, number>>;
  readonly sizeHistogram: readonly { readonly belowBytes: number | null; readonly files: number }[];
  readonly partitions: readonly WirePartition[];
  readonly health: WireHealth;
  readonly watch: WireWatchState;
  readonly warnings: readonly string[];
}

/** The 20 partitions with most small files. */
export interface WirePartition {
  readonly partition: string;
  readonly keys: readonly { readonly key: string; readonly value: string | null }[];
  readonly files: number;
  readonly smallFiles: number;
  readonly bytes: number;
}

export interface PageParams {
  readonly offset?: number;
  /** At most 10,000; default 1,000. */
  readonly limit?: number;
}

export interface Page<T> {
  readonly total: number;
  readonly items: readonly T[];
  readonly nextOffset: number | null;
}

export interface FilesParams extends DatasetParams, PageParams {}

export interface WireFile {
  readonly path: string;
  readonly sizeBytes: number;
  readonly mtimeNs: string;
  readonly inode: string;
  readonly state: "settled" | "unsettled" | "quarantined" | "unsupported";
  readonly detail: string;
  readonly rows: number;
  readonly rowGroupCount: number;
  readonly rowsPerGroup: number;
  readonly compressedBytes: number;
  readonly uncompressedBytes: number;
  readonly codecs: readonly string[];
  readonly createdBy: string;
  readonly schemaClass: string;
}

export interface ChangedParams {
  readonly dataset: string;
  readonly generation: number;
  readonly summary: DatasetSummary;
  readonly added: number;
  readonly changed: number;
  readonly removed: number;
}
