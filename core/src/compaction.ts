import { judgeCrossing } from "./crossing.ts";
import { type DataFile, type FileStats, fileFacts, type PartitionFiles } from "./dataset.ts";
import { sealGroup } from "./group.ts";
import { groupPartition } from "./merge.ts";
import { findNamesakes } from "./namesakes.ts";
import { matchesFilters, type PartitionFilter } from "./partition.ts";
import type { Crossing, FileGroup, Plan } from "./plan.ts";
import type { Policy } from "./policy.ts";
import { projectStats, type ScopeCount } from "./projection.ts";
import { countsOf, createSkips, type Skips, skip } from "./skips.ts";
import { compareText, drain, STRETCH, sortSteps } from "./steps.ts";

export interface CompactionInput {
  /** Every data file of the dataset, each path once; walked twice, three times where files seem hard-linked. */
  readonly partitions: Iterable<PartitionFiles>;
  readonly policy: Policy;
  /** Milliseconds since the epoch. */
  readonly nowMs: number;
  /** Schema classes that no allowed engine keeps, each with the column and the change. */
  readonly unsupportedClasses: ReadonlyMap<string, string>;
  /** A file under any of them is planned for; none: all files. */
  readonly filters: readonly PartitionFilter[];
  /** Files that the policy leaves out, by path; none: all are in. */
  readonly isExcluded?: (path: string) => boolean;
  /** Output bytes per input byte as learned from this dataset's runs; null before the first. */
  readonly learnedRatio: number | null;
  /** False: skipped files are only counted, which for a million of them is much memory less. Default true. */
  readonly listSkipped?: boolean;
}

/**
 * Plans compaction: which files of which partition are rewritten together, and for every other file the one
 * reason why not. The same input gives the same plan, in whatever order the files are listed.
 *
 * Planning over what plans produce ends, because each group lowers, lexicographically, the pair (number of
 * oversize, ill-grouped or wrongly coded files; number of files), provided that outputs have the planned rows, row
 * groups and codec, are no larger than their inputs and split by rows as they do by bytes:
 * - a split takes one faulty file away and its parts are within both bounds (`splitCount`);
 * - any other group makes one output within both bounds, so that it has no fault: either an input had one, and the
 *   first number falls, or none had, and two or more files become one.
 *
 * The plan right after its own run is empty (but for a budget, which leaves groups over): outputs rest; a gate opens
 * for files that no run published or for the time that has passed since the last change, and there are no more of the
 * former, nor more of the latter; and what was left over in a partition is what no packing of any tier could pair or
 * mend, which packing alone again does not change.
 */
export function planCompaction(input: CompactionInput): Plan {
  return drain(planCompactionSteps(input));
}

/**
 * `planCompaction` in steps, none of which handles more than some thousand files, so that whoever drives it may do
 * other things between them. Of each partition nothing is kept but its groups and skipped files.
 */
export function* planCompactionSteps(input: CompactionInput): Generator<void, Plan> {
  const { policy, nowMs, learnedRatio } = input;
  const work: Work = {
    input,
    namesakes: yield* findNamesakes(input.partitions),
    skips: createSkips(input.listSkipped ?? true),
    before: { files: 0, bytes: 0, rowGroups: 0 },
    groups: [],
    crossings: [],
    nextDueMs: null,
    due: (atMs) => {
      if (atMs > nowMs && atMs < (work.nextDueMs ?? Infinity)) work.nextDueMs = atMs;
    },
  };
  let open: OpenPartition | null = null;
  for (const { partition, files } of input.partitions) {
    if (open === null || open.path !== partition) {
      if (open !== null) yield* closePartition(open, work);
      open = {
        path: partition,
        wanted: matchesFilters(partition, input.filters),
        files: [],
        arrivalMs: -Infinity,
      };
    }
    yield* admitFiles(open, files, work);
  }
  if (open !== null) yield* closePartition(open, work);
  const groups = yield* sortSteps(work.groups, (a, b) => compareText(a.partition, b.partition));
  const kept = yield* withinBudget(groups, policy, work.skips);
  const { list } = work.skips;
  return {
    kind: kept.length > 0 ? "planned" : "nothing_to_do",
    operation: "compact",
    policy,
    partitionFilter: input.filters.map((filter) => filter.text),
    groups: kept,
    skipped: yield* sortSteps(list ?? [], (a, b) => compareText(a.path, b.path)),
    skippedByReason: countsOf(work.skips),
    crossings: yield* sortSteps(work.crossings, (a, b) => compareText(a.partition, b.partition)),
    nextDueMs: work.nextDueMs,
    ...(yield* projectStats(work.before, kept, learnedRatio)),
  };
}

interface Work {
  readonly input: CompactionInput;
  readonly namesakes: ReadonlyMap<string, string>;
  readonly skips: Skips;
  readonly before: ScopeCount;
  readonly groups: FileGroup[];
  readonly crossings: Crossing[];
  nextDueMs: number | null;
  readonly due: (atMs: number) => void;
}

interface OpenPartition {
  readonly path: string;
  /** Under one of the filters. */
  readonly wanted: boolean;
  readonly files: FileStats[];
  /** The latest change of a file that may still be written. */
  arrivalMs: number;
}

/** Takes in the files that may be rewritten; all others are skipped with their reason. */
function* admitFiles(open: OpenPartition, files: readonly DataFile[], work: Work): Generator<void> {
  const { input, skips, before, namesakes } = work;
  for (const [index, file] of files.entries()) {
    if (index % STRETCH === STRETCH - 1) yield;
    const { path, sizeBytes } = fileFacts(file);
    if (!open.wanted) {
      skip(skips, path, "filtered_out");
      continue;
    }
    before.files += 1;
    before.bytes += sizeBytes;
    if (file.kind === "readable") before.rowGroups += file.stats.rowGroupCount;
    if (input.isExcluded?.(path) === true) {
      skip(skips, path, "excluded", "left out by the policy");
      continue;
    }
    if (isUnsettled(file, open, work)) continue;
    const stats = admit(file, input, skips);
    const other = stats === null ? undefined : namesakes.get(path);
    if (other !== undefined) skip(skips, path, "hard_linked", `the same file as ${other}`);
    else if (stats !== null) open.files.push(stats);
  }
  yield;
}

/**
 * Whether a file is skipped because it may still be written. A change time in the future is no proof of age: such a
 * file is taken for unsettled while settling is asked.
 */
function isUnsettled(file: DataFile, open: OpenPartition, { input, skips, due }: Work): boolean {
  const { nowMs, policy } = input;
  const { path, changedMs } = fileFacts(file);
  if (policy.settleMs === 0 || nowMs - changedMs >= policy.settleMs) return false;
  skip(skips, path, "unsettled", file.kind === "unreadable" ? file.file.detail : "may still be written");
  due(changedMs + policy.settleMs);
  if (changedMs > nowMs) due(changedMs);
  else open.arrivalMs = Math.max(open.arrivalMs, changedMs);
  return true;
}

/** The stats of a file that may be read and rewritten, or null after skipping it. */
function admit(file: DataFile, { unsupportedClasses }: CompactionInput, skips: Skips): FileStats | null {
  if (file.kind === "unreadable") {
    const { path, reason, detail } = file.file;
    skip(skips, path, reason, detail);
    return null;
  }
  const { stats } = file;
  const detail = unsupportedClasses.get(stats.schemaClass);
  if (detail === undefined && !stats.otherDevice) return stats;
  if (detail !== undefined) skip(skips, stats.path, "unsupported", detail);
  else skip(skips, stats.path, "other_device", "lies on another device than the dataset");
  return null;
}

function* closePartition({ path, files, arrivalMs }: OpenPartition, work: Work): Generator<void> {
  const { skips, due } = work;
  const { policy, nowMs, learnedRatio } = work.input;
  const sorted = yield* sortSteps(files, (a, b) => compareText(a.path, b.path));
  const found = yield* groupPartition(sorted, { policy, nowMs, skips, due, arrivalMs });
  const crossing = yield* judgeCrossing(path, found, policy);
  if (crossing !== null) work.crossings.push(crossing);
  const ratio = learnedRatio ?? 1;
  for (const group of found.groups) work.groups.push(yield* sealGroup(path, group, { policy, ratio }));
}

/** Takes the groups that save most files per byte first; what does not fit the budget is told. */
function* withinBudget(
  groups: readonly FileGroup[],
  policy: Policy,
  skips: Skips,
): Generator<void, readonly FileGroup[]> {
  const { maxRunBytes, maxRunGroups } = policy;
  if (maxRunBytes === null && maxRunGroups === null) return groups;
  const worth = (group: FileGroup): number =>
    (group.inputs.length - group.outputRows.length + 1) / Math.max(1, group.inputBytes);
  const taken = new Set<FileGroup>();
  let bytes = 0;
  for (const group of yield* sortSteps(groups, (a, b) => worth(b) - worth(a))) {
    if (bytes + group.inputBytes <= (maxRunBytes ?? Infinity) && taken.size < (maxRunGroups ?? Infinity)) {
      taken.add(group);
      bytes += group.inputBytes;
      continue;
    }
    const never = maxRunBytes !== null && group.inputBytes > maxRunBytes;
    const detail = never ? `its group of ${group.inputBytes} bytes exceeds maxRunBytes` : "would be next";
    for (const file of group.inputs) skip(skips, file.path, "over_budget", detail);
    yield;
  }
  return groups.filter((group) => taken.has(group));
}
