import type { Policy } from "./policy.ts";
import type { CanonicalStats } from "./stats.ts";

/** A source in a plan's snapshot: what identifies it and what it holds. */
export interface PlannedFile {
  readonly path: string;
  readonly sizeBytes: number;
  readonly rows: number;
  readonly mtimeNs: string;
  readonly inode: string;
}

/** Why a group pays: what is wrong with its files now. */
export type GroupReason = "small_files" | "oversize" | "row_groups" | "codec";

/** Files of one partition and one schema class that are rewritten together. */
export interface FileGroup {
  readonly partition: string;
  readonly schemaClass: string;
  readonly inputs: readonly PlannedFile[];
  /** Rows of each output file; one entry but for splits. They add up to the rows of the inputs. */
  readonly outputRows: readonly number[];
  /** Codec to write, lower case. */
  readonly codec: string;
  readonly reasons: readonly GroupReason[];
  readonly inputBytes: number;
  readonly estimatedOutputBytes: number;
  readonly rowGroupsBefore: number;
  readonly rowGroupsAfter: number;
}

export const SKIP_REASONS = [
  "at_target",
  "no_gain",
  "too_few_files",
  "too_young",
  "unsettled",
  "unsupported",
  "hard_linked",
  "other_device",
  "foreign_schema",
  "quarantined",
  "filtered_out",
  "over_budget",
  "excluded",
] as const;
export type SkipReason = (typeof SKIP_REASONS)[number];

export interface SkippedFile {
  readonly path: string;
  readonly reason: SkipReason;
  /** What in this file led to the reason; `""` where the reason says all. */
  readonly detail: string;
}

/** How sure the `after…` values of a plan are, and what they were derived from. */
export interface PlanEstimate {
  /** `inputs`: outputs taken to be as large as their inputs; `runs`: ratio learned from this dataset's runs. */
  readonly basis: "inputs" | "runs";
  /** Output bytes per input byte. */
  readonly ratio: number;
  /** Free bytes a run needs beside the dataset: outputs, while the originals are kept for undo. */
  readonly neededBytes: number;
}

/** Files a reader opens and row groups it may read, over the planned scope. */
export interface PlanBenefit {
  readonly filesBefore: number;
  readonly filesAfter: number;
  readonly rowGroupsBefore: number;
  readonly rowGroupsAfter: number;
}

/** A partition over a threshold, by the first of them that it is over. */
export interface Crossing {
  readonly partition: string;
  readonly trigger: "count" | "bytes" | "age" | "row_groups" | "oversize" | "codec";
  /** Files that would be rewritten, and their bytes. */
  readonly files: number;
  readonly bytes: number;
  /** The threshold, and what stands against it: files, bytes, milliseconds or a factor. */
  readonly limit: number;
  readonly value: number;
}

export interface PlanBody {
  readonly operation: "compact";
  readonly policy: Policy;
  readonly partitionFilter: readonly string[];
  readonly groups: readonly FileGroup[];
  /** In path order; empty where the list was not asked for. */
  readonly skipped: readonly SkippedFile[];
  /** How many files were skipped for each reason that occurs. */
  readonly skippedByReason: Readonly<Partial<Record<SkipReason, number>>>;
  /** Partitions for which a rewrite pays, in path order; empty exactly where there is nothing to do but for a budget. */
  readonly crossings: readonly Crossing[];
  /**
   * The earliest time at which nothing but time may change the plan: a file settles, an age is reached, a rest
   * ends. Milliseconds since the epoch; null where time alone changes nothing.
   */
  readonly nextDueMs: number | null;
  readonly stats: CanonicalStats;
  readonly estimate: PlanEstimate;
  readonly benefit: PlanBenefit;
}

/** An immutable value. `nothing_to_do` has no groups; `refused` says why nothing may be planned. */
export type Plan =
  | (PlanBody & { readonly kind: "planned" })
  | (PlanBody & { readonly kind: "nothing_to_do" })
  | (PlanBody & { readonly kind: "refused" } & PlanRefusal);

/** Why nothing may be planned: somebody else's format, or a policy that cannot be followed. */
export interface PlanRefusal {
  readonly because: "foreign_format" | "policy";
  readonly reason: string;
}

/**
 * The bytes that a plan's id is the hash of, in pieces: policy, groups and identity of the sources; neither the
 * time, nor estimates, nor skipped files. Two plans with the same bytes do the same.
 */
export function* planContent(plan: Pick<PlanBody, "operation" | "policy" | "groups">): Generator<string> {
  yield `tamp-plan-1\n${plan.operation}\n${JSON.stringify(sortedEntries(plan.policy))}\n`;
  for (const group of plan.groups) {
    yield `group ${JSON.stringify([group.partition, group.schemaClass, group.codec, group.outputRows])}\n`;
    let lines = "";
    for (const { path, sizeBytes, rows, mtimeNs, inode } of group.inputs) {
      lines += `${JSON.stringify(path)} ${sizeBytes} ${rows} ${mtimeNs} ${inode}\n`;
      if (lines.length > 65_536) {
        yield lines;
        lines = "";
      }
    }
    yield lines;
  }
}

function sortedEntries(policy: Policy): readonly (readonly [string, unknown])[] {
  return Object.entries(policy).sort(([a], [b]) => (a < b ? -1 : 1));
}

/** What is on disk now under a planned path; null where nothing is. */
export type FoundFile = Pick<PlannedFile, "sizeBytes" | "mtimeNs" | "inode">;

export type Drift =
  | { readonly kind: "missing"; readonly path: string }
  | { readonly kind: "changed"; readonly path: string; readonly what: "size" | "mtime" | "inode" };

/** Every source of the groups that differs from the snapshot. Files that were added are no drift. */
export function findDrift(
  groups: readonly FileGroup[],
  find: (path: string) => FoundFile | null,
): readonly Drift[] {
  return groups.flatMap((group) =>
    group.inputs.flatMap((planned): readonly Drift[] => {
      const found = find(planned.path);
      if (found === null) return [{ kind: "missing", path: planned.path }];
      const what = firstDifference(planned, found);
      return what === null ? [] : [{ kind: "changed", path: planned.path, what }];
    }),
  );
}

function firstDifference(planned: PlannedFile, found: FoundFile): "size" | "mtime" | "inode" | null {
  if (planned.inode !== found.inode) return "inode";
  if (planned.sizeBytes !== found.sizeBytes) return "size";
  return planned.mtimeNs === found.mtimeNs ? null : "mtime";
}
