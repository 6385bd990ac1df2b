/**
 * Every message of the wire, in one place. Imports nothing of the domain: a wire type is written out even where
 * it looks the same. Bytes and rows are numbers up to 2^53, nanoseconds and inodes decimal strings, paths are
 * relative to the dataset root with `/`. `protocol.md` documents each message; a test holds the two together.
 */

export const PROTOCOL_VERSION = 1;

export interface InitializeParams {
  readonly processId?: number | null;
  readonly clientInfo?: { readonly name: string; readonly version?: string };
  readonly capabilities?: unknown;
  readonly initializationOptions?: {
    /** False where the client's workspace is not trusted: execute, undo and recover are refused. */
    readonly trusted?: boolean;
  };
}

export interface InitializeResult {
  readonly serverInfo: { readonly name: "tamp"; readonly version: string };
  readonly capabilities: {
    readonly tamp: {
      readonly protocolVersion: number;
      readonly operations: readonly "compact"[];
      readonly engines: readonly string[];
      readonly progress: true;
    };
  };
}

/** Thresholds as a user gives them: sizes as text (`128MB` = 10^6, `128MiB` = 2^20) or bytes. */
export interface WirePolicy {
  readonly targetSize?: string | number;
  readonly smallFile?: string | number;
  readonly targetRows?: number;
  readonly rowsPerGroup?: number;
  readonly minFiles?: number;
  readonly minAgeMs?: number;
  readonly settleMs?: number;
  readonly compression?: string;
  readonly allow?: readonly string[];
  readonly maxRunBytes?: string | number;
  readonly maxRunGroups?: number;
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
}

export type WireWatchState = {
  readonly kind: "watching" | "polling" | "degraded" | "off";
  readonly reason?: string;
  readonly remedy?: string;
};

export interface DatasetSummary {
  readonly dataset: string;
  readonly state: "ready" | "empty" | "missing" | "scanning";
  readonly generation: number;
  readonly fileCount: number;
  readonly totalBytes: number;
  readonly smallFileCount: number;
  readonly health: WireHealth;
  readonly watch: WireWatchState;
  readonly running: boolean;
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

export interface PlanParams extends DatasetParams {
  readonly operation: "compact";
  readonly partitionFilter?: readonly string[];
  readonly policy?: WirePolicy;
  readonly sync?: boolean;
}

/** The same keys in dry runs and real ones. */
export interface WireCanonicalStats {
  readonly beforeFileCount: number;
  readonly afterFileCount: number;
  readonly beforeTotalBytes: number;
  readonly afterTotalBytes: number;
  readonly compactedFileCount: number;
  readonly rewrittenBytes: number;
  readonly compressionCodec: string | null;
  readonly dryRun: boolean;
  readonly clusterColumns: readonly string[];
  readonly plannedGroups: readonly (readonly string[])[];
}

export interface PlanSummary {
  readonly kind: "planned" | "nothing_to_do" | "refused";
  /** Content hash: policy, groups and identity of their sources. */
  readonly planId: string;
  readonly dataset: string;
  readonly generation: number;
  readonly operation: "compact";
  readonly engine: string;
  readonly partitionFilter: readonly string[];
  /** `plannedGroups` is left empty here: the groups are paged. */
  readonly stats: WireCanonicalStats;
  readonly groupCount: number;
  readonly skippedCount: number;
  readonly skippedByReason: Readonly<Record<string, number>>;
  readonly estimate: WireEstimate;
  readonly benefit: WireBenefit;
  readonly health: WireHealth;
  /** What a rewrite loses or may lose although no meaning changes, e.g. page indexes. */
  readonly notes: readonly string[];
  /** Why nothing may be planned, for `refused`; why nothing pays, for `nothing_to_do`. */
  readonly reason?: string;
}

export interface WireEstimate {
  readonly basis: "inputs" | "runs";
  readonly ratio: number;
  readonly neededBytes: number;
  readonly freeBytes: number;
}

export interface WireBenefit {
  readonly filesBefore: number;
  readonly filesAfter: number;
  readonly rowGroupsBefore: number;
  readonly rowGroupsAfter: number;
}

export interface PlanPageParams extends PageParams {
  readonly planId: string;
}

export interface WireGroup {
  readonly partition: string;
  readonly schemaClass: string;
  readonly inputs: readonly WireGroupInput[];
  readonly outputRows: readonly number[];
  readonly codec: string;
  readonly reasons: readonly ("small_files" | "oversize" | "row_groups" | "codec")[];
  readonly inputBytes: number;
  readonly estimatedOutputBytes: number;
  readonly rowGroupsBefore: number;
  readonly rowGroupsAfter: number;
}

export interface WireGroupInput {
  readonly path: string;
  readonly sizeBytes: number;
  readonly rows: number;
  readonly mtimeNs: string;
  readonly inode: string;
}

export interface WireSkipped {
  readonly path: string;
  readonly reason: string;
  readonly detail: string;
}

/** A whole plan as a value: what `tamp plan --out` writes and `tamp execute` reads. */
export interface PlanDocument extends PlanSummary {
  readonly tampPlan: 1;
  readonly policy: Required<{ readonly [K in keyof WireResolvedPolicy]: WireResolvedPolicy[K] }>;
  readonly groups: readonly WireGroup[];
  readonly skipped: readonly WireSkipped[];
}

/** All limits of a plan after validation, in bytes and milliseconds. */
export interface WireResolvedPolicy {
  readonly targetBytes: number;
  readonly smallFileBytes: number;
  readonly oversizeBytes: number;
  readonly targetRows: number | null;
  readonly rowsPerGroup: number;
  readonly minFiles: number;
  readonly minAgeMs: number;
  readonly settleMs: number;
  readonly compression: string | null;
  readonly allow: readonly string[];
  readonly maxRunBytes: number | null;
  readonly maxRunGroups: number | null;
}

export interface ExecuteParams extends DatasetParams {
  /** The id of a plan that this daemon made, or … */
  readonly planId?: string;
  /** … the plan itself. */
  readonly plan?: PlanDocument;
  /** Bytes that the engine's process may hold. */
  readonly memoryLimit?: string | number;
  /** Milliseconds between adding outputs and retiring sources. */
  readonly overlapMs?: number;
  readonly workDoneToken?: string | number;
}

export interface RunResult {
  readonly kind:
    | "published"
    | "partly_published"
    | "nothing_to_do"
    | "rolled_back"
    | "cancelled"
    | "unknown"
    | "refused";
  readonly runId: string;
  readonly dataset: string;
  readonly planId: string;
  readonly engine: string;
  readonly stats: WireCanonicalStats;
  readonly groups: readonly RunGroup[];
  readonly validation: WireValidation;
  readonly durationMs: number;
  /** Where the time went, milliseconds summed over the groups. */
  readonly phases: Readonly<Record<"pin" | "rewrite" | "validate" | "sync" | "publish", number>>;
  /** The longest time that a group's rows stood in both old and new files. */
  readonly duplicateWindowMs: number;
  readonly estimate: WireEstimate;
  readonly reason?: string;
}

export interface RunGroup {
  readonly partition: string;
  readonly kind: "published" | "rolled_back" | "cancelled" | "unknown" | "skipped";
  readonly reason?: string;
  readonly inputs: number;
  readonly inputBytes: number;
  readonly outputs: readonly {
    readonly path: string;
    readonly sizeBytes: number;
    readonly rows: number;
    readonly rowGroups: number;
  }[];
}

export interface WireValidation {
  /** V0: footers, schema, one decoded row group; V2: digest of all rows in their order. */
  readonly level: "V2";
  readonly rowsCompared: number;
  readonly groupsPassed: number;
  readonly groupsFailed: number;
  readonly durationMs: number;
}

export interface WireRun {
  readonly runId: string;
  readonly state: "published" | "partly_published" | "undone" | "rolled_back" | "interrupted" | "quarantined";
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
  readonly reason?: string;
}

export interface RecoverResult {
  readonly kind: "recovered" | "nothing_to_do" | "quarantined";
  readonly groups: readonly {
    readonly runId: string;
    readonly group: number;
    readonly action: "discard" | "roll_back" | "roll_forward" | "undo" | "quarantine";
    readonly detail: string;
  }[];
}

export interface ChangedParams {
  readonly dataset: string;
  readonly generation: number;
  readonly summary: DatasetSummary;
  readonly added: number;
  readonly changed: number;
  readonly removed: number;
}

export interface ThresholdCrossedParams {
  readonly dataset: string;
  readonly generation: number;
  readonly health: WireHealth;
  readonly plan: PlanSummary;
}

export interface RunFinishedParams {
  readonly dataset: string;
  readonly result: RunResult;
}

/** The value of `$/progress` while a run is under way. */
export type WorkDoneProgress =
  | { readonly kind: "begin"; readonly title: string; readonly cancellable: true; readonly percentage: 0 }
  | { readonly kind: "report"; readonly message: string; readonly percentage: number }
  | { readonly kind: "end"; readonly message: string };

/** Request → params and result. `null` params: none. */
export interface Requests {
  readonly initialize: { params: InitializeParams; result: InitializeResult };
  readonly shutdown: { params: null; result: null };
  readonly "tamp/dataset/open": { params: OpenParams; result: DatasetSummary };
  readonly "tamp/dataset/close": { params: DatasetParams; result: null };
  readonly "tamp/dataset/list": { params: null; result: { readonly datasets: readonly DatasetSummary[] } };
  readonly "tamp/dataset/stats": { params: StatsParams; result: DatasetStats };
  readonly "tamp/dataset/files": { params: FilesParams; result: Page<WireFile> };
  readonly "tamp/plan": { params: PlanParams; result: PlanSummary };
  readonly "tamp/plan/groups": { params: PlanPageParams; result: Page<WireGroup> };
  readonly "tamp/plan/skipped": { params: PlanPageParams; result: Page<WireSkipped> };
  readonly "tamp/plan/document": { params: { readonly planId: string }; result: PlanDocument };
  readonly "tamp/execute": { params: ExecuteParams; result: RunResult };
  readonly "tamp/runs": { params: DatasetParams; result: { readonly runs: readonly WireRun[] } };
  readonly "tamp/undo": { params: UndoParams; result: UndoResult };
  readonly "tamp/recover": { params: DatasetParams; result: RecoverResult };
}

export const REQUEST_METHODS = [
  "initialize",
  "shutdown",
  "tamp/dataset/open",
  "tamp/dataset/close",
  "tamp/dataset/list",
  "tamp/dataset/stats",
  "tamp/dataset/files",
  "tamp/plan",
  "tamp/plan/groups",
  "tamp/plan/skipped",
  "tamp/plan/document",
  "tamp/execute",
  "tamp/runs",
  "tamp/undo",
  "tamp/recover",
] as const satisfies readonly (keyof Requests)[];

/** Notifications from client to server. */
export const CLIENT_NOTIFICATIONS = ["initialized", "exit", "$/cancelRequest", "$/setTrace"] as const;

/** Notifications from server to client. */
export interface ServerNotifications {
  readonly "tamp/dataset/changed": ChangedParams;
  readonly "tamp/dataset/thresholdCrossed": ThresholdCrossedParams;
  readonly "tamp/run/finished": RunFinishedParams;
  readonly "$/progress": { readonly token: string | number; readonly value: WorkDoneProgress };
}

export const SERVER_NOTIFICATIONS = [
  "tamp/dataset/changed",
  "tamp/dataset/thresholdCrossed",
  "tamp/run/finished",
  "$/progress",
] as const satisfies readonly (keyof ServerNotifications)[];

/** Number on the wire of every error, outside the ranges of LSP, JSON-RPC and MCP but for the two standard ones. */
export const ERROR_CODES = {
  InvalidParams: -32602,
  DatasetNotFound: 1001,
  NoMatchingFiles: 1002,
  InvalidPolicy: 1003,
  InvalidFilter: 1004,
  ForeignFormat: 1005,
  DatasetNotOpen: 1006,
  PlanNotFound: 1007,
  PlanStale: 1008,
  Locked: 1009,
  WorkspaceUnusable: 1010,
  RunNotFound: 1011,
  UndoRefused: 1012,
  EngineUnavailable: 1013,
  EngineFailed: 1014,
  ValidationFailed: 1015,
  RunInProgress: 1016,
  NotEnoughSpace: 1017,
  Cancelled: 1018,
  Untrusted: 1019,
  IoError: 1020,
  InternalError: -32603,
} as const;

export type ErrorCode = keyof typeof ERROR_CODES;

/** `data` of every JSON-RPC error that Tamp answers with. */
export interface WireErrorData {
  readonly code: ErrorCode;
  /** The next step. */
  readonly hint: string;
  readonly notDone: string;
}
