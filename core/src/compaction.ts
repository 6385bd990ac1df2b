import { type Candidate, isMendable, toCandidate } from "./candidate.ts";
import { type DataFile, type FileStats, fileFacts, isPublishedName } from "./dataset.ts";
import { sealGroup, splitCount } from "./group.ts";
import { findNamesakes } from "./namesakes.ts";
import { type PackBounds, packLightest, packNeighbours } from "./pack.ts";
import { matchesFilters, type PartitionFilter, partitionOf } from "./partition.ts";
import type { FileGroup, Plan, SkippedFile, SkipReason } from "./plan.ts";
import type { Policy } from "./policy.ts";
import { projectStats } from "./projection.ts";

export interface CompactionInput {
  /** Every data file of the dataset, each path once, in any order. */
  readonly files: readonly DataFile[];
  readonly policy: Policy;
  /** Milliseconds since the epoch. */
  readonly nowMs: number;
  /** Schema classes that no allowed engine keeps, each with the column and the change. */
  readonly unsupportedClasses: ReadonlyMap<string, string>;
  /** A file under any of them is planned for; none: all files. */
  readonly filters: readonly PartitionFilter[];
  /** Output bytes per input byte as learned from this dataset's runs; null before the first. */
  readonly learnedRatio: number | null;
}

interface Partition {
  readonly path: string;
  /** Under one of the filters. */
  readonly wanted: boolean;
  readonly files: FileStats[];
}

type Skip = (path: string, reason: SkipReason, detail?: string) => void;

/** No file is split into more outputs than this: such a row bound is taken for a mistake. */
const MOST_OUTPUTS = 10_000;

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
 * The plan right after its own run is empty (but for a budget, which leaves groups over): outputs rest; gates
 * count files at rest not at all, so that none opens; and what was left over in a partition is what packing could
 * neither pair nor mend, which packing alone again does not change.
 */
export function planCompaction(input: CompactionInput): Plan {
  const skipped: SkippedFile[] = [];
  const skip: Skip = (path, reason, detail = "") => skipped.push({ path, reason, detail });
  const ratio = input.learnedRatio ?? 1;
  const groups: FileGroup[] = [];
  for (const partition of partitionsOf(input, skip)) {
    for (const group of groupPartition(partition, input, skip))
      groups.push(sealGroup(partition.path, group, input.policy, ratio));
  }
  const kept = withinBudget(groups, input.policy, skip);
  return {
    kind: kept.length > 0 ? "planned" : "nothing_to_do",
    operation: "compact",
    policy: input.policy,
    partitionFilter: input.filters.map((filter) => filter.text),
    groups: kept,
    skipped: sortBy(skipped, (file) => file.path),
    ...projectStats(input, kept),
  };
}

/** Splits files that may be rewritten by partition, in path order; all others are skipped with their reason. */
function partitionsOf(input: CompactionInput, skip: Skip): readonly Partition[] {
  const byPath = new Map<string, Partition>();
  // Scans deliver a directory's files together: one look-up serves them all.
  let current: Partition | null = null;
  const namesakes = findNamesakes(input.files);
  for (const file of input.files) {
    const { path } = fileFacts(file);
    if (current === null || !isDirectlyIn(path, current.path)) current = partitionAt(byPath, path, input);
    if (!current.wanted) skip(path, "filtered_out");
    const stats = current.wanted ? admit(file, input, skip) : null;
    const other = stats === null ? undefined : namesakes.get(path);
    if (other !== undefined) skip(path, "hard_linked", `the same file as ${other}`);
    else if (stats !== null) current.files.push(stats);
  }
  const partitions = [...byPath.values()];
  for (const { files } of partitions) sortBy(files, (file) => file.path);
  return sortBy(partitions, ({ path }) => path);
}

function partitionAt(byPath: Map<string, Partition>, file: string, { filters }: CompactionInput): Partition {
  const path = partitionOf(file);
  const known = byPath.get(path);
  if (known !== undefined) return known;
  const added = { path, wanted: matchesFilters(path, filters), files: [] };
  byPath.set(path, added);
  return added;
}

/** Whether `partitionOf(path)` is `directory`, without making that string. */
function isDirectlyIn(path: string, directory: string): boolean {
  if (directory === "") return !path.includes("/");
  return path.lastIndexOf("/") === directory.length && path.startsWith(directory);
}

/** The stats of a file that may be read and rewritten now, or null after skipping it. */
function admit(file: DataFile, input: CompactionInput, skip: Skip): FileStats | null {
  if (file.kind === "unreadable") {
    const { path, reason, detail } = file.file;
    skip(path, unsettled(file.file.changedMs, input) ? "unsettled" : reason, detail);
    return null;
  }
  const { stats } = file;
  if (unsettled(stats.changedMs, input)) {
    skip(stats.path, "unsettled", "may still be written");
    return null;
  }
  const detail = input.unsupportedClasses.get(stats.schemaClass);
  if (detail === undefined && !stats.otherDevice) return stats;
  if (detail !== undefined) skip(stats.path, "unsupported", detail);
  else skip(stats.path, "other_device", "lies on another device than the dataset");
  return null;
}

/** A change time in the future is no proof of age: such a file is taken for unsettled while settling is asked. */
function unsettled(changedMs: number, { nowMs, policy }: CompactionInput): boolean {
  return policy.settleMs > 0 && nowMs - changedMs < policy.settleMs;
}

/** The groups of one partition by first path; every file left over is skipped with its reason. */
function groupPartition(
  partition: Partition,
  input: CompactionInput,
  skip: Skip,
): readonly (readonly Candidate[])[] {
  const { policy } = input;
  const groups: (readonly Candidate[])[] = [];
  const byClass = new Map<string, Candidate[]>();
  const candidates = partition.files.map((file) => toCandidate(file, policy));
  const gate = gateOf(candidates, input);
  for (const file of candidates) {
    const { path } = file.stats;
    const shut = gate(file);
    if (file.reasons.length === 0) skip(path, "at_target");
    else if (shut !== null) skip(path, shut.reason, shut.detail);
    else if (!file.reasons.includes("oversize")) append(byClass, file.stats.schemaClass, file);
    else if (splitCount(file.rows, file.sizeBytes, policy) <= MOST_OUTPUTS) groups.push([file]);
    else skip(path, "excluded", `would be split into more than ${MOST_OUTPUTS} files`);
  }
  const bounds = {
    targetBytes: policy.targetBytes,
    mostBytes: policy.oversizeBytes,
    mostRows: policy.targetRows,
  };
  for (const files of byClass.values()) {
    for (const file of packClass(files, bounds, groups)) skipAlone(file, files.length, byClass.size, skip);
  }
  return sortBy(groups, (group) => group[0]?.stats.path ?? "");
}

/**
 * Adds the groups of one schema class and returns the files left over. Neighbours are paired first, then whatever
 * goes together; each time the files left alone are packed again, until packing them changes nothing.
 */
function packClass(
  files: readonly Candidate[],
  bounds: PackBounds,
  groups: (readonly Candidate[])[],
): readonly Candidate[] {
  let rest = files;
  for (;;) {
    let bins = packNeighbours(rest, bounds);
    if (bins.length === rest.length) bins = packLightest(rest, bounds);
    // Mended alone only once no partner is left: pairing it costs the same write and saves a file.
    const takeMendable = bins.length === rest.length;
    const left: Candidate[] = [];
    for (const bin of bins) {
      const [only] = bin;
      if (only !== undefined && bin.length === 1 && !(takeMendable && isMendable(only))) left.push(only);
      else groups.push(bin);
    }
    if (left.length === rest.length) return sortBy(left, ({ stats }) => stats.path);
    rest = sortBy(left, ({ stats }) => stats.path);
  }
}

type Gate = (file: Candidate) => { readonly reason: SkipReason; readonly detail: string } | null;

/**
 * Opens for a partition with enough small files, or with two or more that have waited long enough. What a run
 * published rests until it has waited, and at any rate for longer than it takes to settle.
 */
function gateOf(candidates: readonly Candidate[], { policy, nowMs }: CompactionInput): Gate {
  const aged = ({ stats }: Candidate): boolean => nowMs - stats.changedMs >= policy.minAgeMs;
  const resting = (file: Candidate): boolean =>
    (!aged(file) || nowMs - file.stats.changedMs <= policy.settleMs) && isPublishedName(file.stats.path);
  let small = 0;
  let waited = 0;
  for (const file of candidates) {
    if (!file.reasons.includes("small_files") || resting(file)) continue;
    small += 1;
    if (aged(file)) waited += 1;
  }
  const open = small >= policy.minFiles || waited >= 2;
  return (file) => {
    if (resting(file) && !file.reasons.includes("codec"))
      return { reason: "too_young", detail: "published by a run, rests before it is rewritten again" };
    if (open || isMendable(file)) return null;
    if (small < 2) return { reason: "too_few_files", detail: "the only small file of its partition" };
    const detail = `${small} small files of ${policy.minFiles}, ${waited} of them old enough`;
    return { reason: policy.minAgeMs > 0 ? "too_young" : "too_few_files", detail };
  };
}

function skipAlone(file: Candidate, ofClass: number, classes: number, skip: Skip): void {
  const { path } = file.stats;
  if (classes > 1 && ofClass === 1)
    skip(path, "foreign_schema", "no other small file of its partition has its schema and metadata");
  else skip(path, "no_gain", "no other file of its partition and schema brings it nearer to the target size");
}

/** Takes the groups that save most files per byte first; what does not fit the budget is told. */
function withinBudget(groups: readonly FileGroup[], policy: Policy, skip: Skip): readonly FileGroup[] {
  const { maxRunBytes, maxRunGroups } = policy;
  if (maxRunBytes === null && maxRunGroups === null) return groups;
  const worth = (group: FileGroup): number =>
    (group.inputs.length - group.outputRows.length + 1) / Math.max(1, group.inputBytes);
  const order = groups.map((group, index) => ({ group, index, worth: worth(group) }));
  order.sort((a, b) => b.worth - a.worth || a.index - b.index);
  const taken = new Set<number>();
  let bytes = 0;
  for (const { group, index } of order) {
    if (bytes + group.inputBytes <= (maxRunBytes ?? Infinity) && taken.size < (maxRunGroups ?? Infinity)) {
      taken.add(index);
      bytes += group.inputBytes;
    } else {
      const never = maxRunBytes !== null && group.inputBytes > maxRunBytes;
      const detail = never ? `its group of ${group.inputBytes} bytes exceeds maxRunBytes` : "would be next";
      for (const file of group.inputs) skip(file.path, "over_budget", detail);
    }
  }
  return groups.filter((_, index) => taken.has(index));
}

function append<T>(lists: Map<string, T[]>, key: string, item: T): void {
  const list = lists.get(key);
  if (list === undefined) lists.set(key, [item]);
  else list.push(item);
}

/** Sorts in place by code units. Scans deliver paths in order: only what is not sorted yet pays for it. */
function sortBy<T>(items: T[], text: (item: T) => string): T[] {
  for (let index = 1; index < items.length; index += 1) {
    if (text(items[index - 1] as T) > text(items[index] as T)) {
      return items.sort((a, b) => (text(a) < text(b) ? -1 : text(a) > text(b) ? 1 : 0));
    }
  }
  return items;
}
