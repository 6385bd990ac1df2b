import type { DatasetParams } from "./datasets.ts";
import type { WirePurgedRun, WireRecovered } from "./history.ts";
import type { PlanDocument, WireCanonicalStats, WireEstimate } from "./plans.ts";

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
  /** Leftovers of interrupted runs that were dealt with before this one began. */
  readonly recovered: readonly WireRecovered[];
  /** Runs whose originals were deleted before this one began: past their retention, or to stay below its cap. */
  readonly purged: readonly WirePurgedRun[];
  readonly reason?: string;
}

export interface RunGroup {
  readonly partition: string;
  /** `skipped`: an earlier run of the same plan has published it. */
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

export interface RunFinishedParams {
  readonly dataset: string;
  readonly result: RunResult;
}

/** The value of `$/progress` while a run is under way. */
export type WorkDoneProgress =
  | { readonly kind: "begin"; readonly title: string; readonly cancellable: true; readonly percentage: 0 }
  | { readonly kind: "report"; readonly message: string; readonly percentage: number }
  | { readonly kind: "end"; readonly message: string };
