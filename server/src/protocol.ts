/**
 * Every message of the wire, in one place; the types of each kind of request lie in `protocol/`. Imports nothing of
 * the domain: a wire type is written out even where it looks the same. Bytes and rows are numbers up to 2^53,
 * nanoseconds and inodes decimal strings, paths are relative to the dataset root with `/`. `protocol.md` documents
 * each message; a test holds the two together.
 */

import type {
  ChangedParams,
  DatasetParams,
  DatasetStats,
  DatasetSummary,
  FilesParams,
  OpenParams,
  Page,
  StatsParams,
  WireFile,
} from "./protocol/datasets.ts";
import type {
  ChangesParams,
  ChangesResult,
  CheckParams,
  CheckResult,
  HistoryParams,
  HistoryResult,
} from "./protocol/health.ts";
import type {
  PurgeParams,
  PurgeResult,
  RecoverResult,
  UndoParams,
  UndoResult,
  WireRun,
} from "./protocol/history.ts";
import type { InitializeParams, InitializeResult } from "./protocol/lifecycle.ts";
import type {
  PlanDocument,
  PlanPageParams,
  PlanParams,
  PlanSummary,
  ThresholdCrossedParams,
  WireGroup,
  WireSkipped,
} from "./protocol/plans.ts";
import type {
  PolicyParams,
  TrustParams,
  TrustResult,
  WireDatasetPolicy,
  WireTrustedFile,
} from "./protocol/policy.ts";
import type { ExecuteParams, RunFinishedParams, RunResult, WorkDoneProgress } from "./protocol/runs.ts";

export type * from "./protocol/datasets.ts";
export type * from "./protocol/health.ts";
export type * from "./protocol/history.ts";
export type * from "./protocol/lifecycle.ts";
export type * from "./protocol/plans.ts";
export type * from "./protocol/policy.ts";
export type * from "./protocol/runs.ts";

export const PROTOCOL_VERSION = 1;

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
  readonly "tamp/purge": { params: PurgeParams; result: PurgeResult };
  readonly "tamp/dataset/changes": { params: ChangesParams; result: ChangesResult };
  readonly "tamp/dataset/history": { params: HistoryParams; result: HistoryResult };
  readonly "tamp/check": { params: CheckParams; result: CheckResult };
  readonly "tamp/policy": { params: PolicyParams; result: WireDatasetPolicy };
  readonly "tamp/policy/trust": { params: TrustParams; result: TrustResult };
  readonly "tamp/policy/trusted": { params: null; result: { readonly files: readonly WireTrustedFile[] } };
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
  "tamp/purge",
  "tamp/dataset/changes",
  "tamp/dataset/history",
  "tamp/check",
  "tamp/policy",
  "tamp/policy/trust",
  "tamp/policy/trusted",
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
