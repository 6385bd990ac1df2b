import type { DatasetParams, PageParams, WireHealth, WirePolicy } from "./datasets.ts";
import type { WireCrossing } from "./health.ts";

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
  /** Originals that the run would keep for undo. */
  readonly retainedBytes: number;
  /** Originals of earlier runs, past their retention, that are deleted before the run begins. */
  readonly purgeBytes: number;
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
  readonly minBytes: number;
  readonly rowGroupFactor: number;
  readonly tierFactor: number;
  readonly cooldownMs: number;
  readonly settleMs: number;
  readonly compression: string | null;
  readonly allow: readonly string[];
  readonly maxRunBytes: number | null;
  readonly maxRunGroups: number | null;
  readonly retentionMs: number;
  readonly maxRetainedBytes: number | null;
}

export interface ThresholdCrossedParams {
  readonly dataset: string;
  readonly generation: number;
  readonly health: WireHealth;
  readonly plan: PlanSummary;
  /** `execute`: it is run by itself, as soon as quiet hours and budget allow. */
  readonly action: "notify" | "execute";
  /** The 20 with most files; all of them by `tamp/check`. */
  readonly crossings: readonly WireCrossing[];
  readonly crossingCount: number;
}
