import { type DataFile, type FileStats, fileFacts, isPublishedName } from "./dataset.ts";
import { pack } from "./pack.ts";
import { matchesFilters, type PartitionFilter, partitionOf } from "./partition.ts";
import type { FileGroup, GroupReason, Plan, SkippedFile, SkipReason } from "./plan.ts";
import type { Policy } from "./policy.ts";
import { projectStats } from "./projection.ts";

export interface CompactionInput {
  readonly files: readonly DataFile[];
  readonly policy: Policy;
  readonly nowMs: number;
  /** Schema classes that no allowed engine keeps, each with the column and the change. */
  readonly unsupportedClasses: ReadonlyMap<string, string>;
  readonly filters: readonly PartitionFilter[];
  /** Output bytes per input byte as learned from this dataset's runs; null before the first. */
  readonly learnedRatio: number | null;
}

/** A data file with what is wrong with it; no reasons: at target. */
interface Candidate extends FileStats {
  readonly reasons: readonly GroupReason[];
}

interface Partition {
  readonly path: string;
  readonly candidates: Candidate[];
}

type Skip = (path: string, reason: SkipReason, detail?: string) => void;

/**
 * Plans compaction: which files of which partition are rewritten together, and for every other file the one
 * reason why not. The same input gives the same plan. Planning over what a plan produced ends: a split or a mend
 * lowers the number of oversize, ill-grouped or wrongly coded files, a merge lowers the number of files and
 * raises none of these, and what a run published rests for `minAgeMs` before it is merged again.
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
    skipped,
    ...projectStats(input, kept),
  };
}

/** Splits files that may be rewritten by partition, in path order; all others are skipped with their reason. */
function partitionsOf(input: CompactionInput, skip: Skip): readonly Partition[] {
  const byPath = new Map<string, Partition>();
  const wanted = new Map<string, boolean>();
  for (const file of input.files) {
    const { path } = fileFacts(file);
    const key = partitionOf(path);
    const matches = wanted.get(key) ?? matchesFilters(key, input.filters);
    wanted.set(key, matches);
    if (!matches) skip(path, "filtered_out");
    const stats = matches ? admit(file, input, skip) : null;
    if (stats === null) continue;
    const partition = byPath.get(key) ?? { path: key, candidates: [] };
    byPath.set(key, partition);
    partition.candidates.push({ ...stats, reasons: reasonsOf(stats, input.policy) });
  }
  const partitions = [...byPath.values()].sort((a, b) => compareText(a.path, b.path));
  for (const partition of partitions) sortByPath(partition.candidates);
  return partitions;
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
  if (detail === undefined) return stats;
  skip(stats.path, "unsupported", detail);
  return null;
}

/** A change time in the future is no proof of age: such a file is taken for unsettled while settling is asked. */
function unsettled(changedMs: number, { nowMs, policy }: CompactionInput): boolean {
  return policy.settleMs > 0 && nowMs - changedMs < policy.settleMs;
}

function reasonsOf(file: FileStats, policy: Policy): readonly GroupReason[] {
  const reasons: GroupReason[] = [];
  if (isOversize(file, policy)) reasons.push("oversize");
  if (isIllGrouped(file, policy)) reasons.push("row_groups");
  if (policy.compression !== null && file.rows > 0 && file.codecs[0] !== policy.compression)
    reasons.push("codec");
  if (file.sizeBytes < policy.smallFileBytes && !reasons.includes("oversize")) reasons.push("small_files");
  return reasons;
}

function isOversize(file: FileStats, policy: Policy): boolean {
  const tooManyRows = policy.targetRows !== null && file.rows > policy.targetRows;
  return file.rows > 1 && (tooManyRows || file.sizeBytes > policy.oversizeBytes);
}

/** At least twice the row groups that its rows need: readers pay for each of them. */
function isIllGrouped(file: FileStats, policy: Policy): boolean {
  const needed = Math.max(1, Math.ceil(file.rows / policy.rowsPerGroup));
  return file.rows > 0 && file.rowGroupCount >= 2 * needed;
}

/** The groups of one partition; every file left over is skipped with its reason. */
function groupPartition(
  partition: Partition,
  input: CompactionInput,
  skip: Skip,
): readonly (readonly Candidate[])[] {
  const groups: (readonly Candidate[])[] = [];
  const byClass = new Map<string, Candidate[]>();
  const gate = gateOf(partition.candidates, input);
  for (const file of partition.candidates) {
    if (file.reasons.includes("oversize")) groups.push([file]);
    else if (file.reasons.length === 0) skip(file.path, "at_target");
    else {
      const reason = file.reasons.some((item) => item !== "small_files") ? null : gate(file);
      if (reason === null) append(byClass, file.schemaClass, file);
      else skip(file.path, reason.reason, reason.detail);
    }
  }
  const bounds = {
    targetBytes: input.policy.targetBytes,
    mostBytes: input.policy.oversizeBytes,
    mostRows: input.policy.targetRows,
  };
  for (const files of byClass.values()) {
    for (const bin of pack(files, bounds)) {
      if (bin.length > 1 || mends(bin)) groups.push(bin);
      else skipAlone(bin, byClass, skip);
    }
  }
  return groups.sort((a, b) => compareText(a[0]?.path ?? "", b[0]?.path ?? ""));
}

type Gate = (file: FileStats) => { readonly reason: SkipReason; readonly detail: string } | null;

/** Opens for a partition with enough small files, or with two or more that have waited long enough. */
function gateOf(candidates: readonly Candidate[], { policy, nowMs }: CompactionInput): Gate {
  const aged = (file: FileStats): boolean => nowMs - file.changedMs >= policy.minAgeMs;
  const resting = (file: FileStats): boolean => isPublishedName(file.path) && !aged(file);
  const small = candidates.filter((file) => file.reasons.includes("small_files") && !resting(file));
  const waited = small.filter(aged).length;
  const open = small.length >= policy.minFiles || waited >= 2;
  return (file) => {
    if (resting(file))
      return { reason: "too_young", detail: "published by a run, rests before it is merged again" };
    if (open) return null;
    if (small.length < 2) return { reason: "too_few_files", detail: "the only small file of its partition" };
    const detail = `${small.length} small files of ${policy.minFiles}, ${waited} of them old enough`;
    return { reason: policy.minAgeMs > 0 ? "too_young" : "too_few_files", detail };
  };
}

function mends(bin: readonly Candidate[]): boolean {
  return bin.some((file) => file.reasons.includes("codec") || file.reasons.includes("row_groups"));
}

function skipAlone(bin: readonly Candidate[], byClass: ReadonlyMap<string, unknown[]>, skip: Skip): void {
  for (const file of bin) {
    const alone = byClass.size > 1 && byClass.get(file.schemaClass)?.length === 1;
    if (alone) skip(file.path, "foreign_schema", "no other small file of its partition has its schema");
    else skip(file.path, "no_gain", "a rewrite would not lower the number of files");
  }
}

function sealGroup(partition: string, files: readonly Candidate[], policy: Policy, ratio: number): FileGroup {
  let inputBytes = 0;
  let rows = 0;
  let rowGroupsBefore = 0;
  const reasons = new Set<GroupReason>();
  for (const file of files) {
    inputBytes += file.sizeBytes;
    rows += file.rows;
    rowGroupsBefore += file.rowGroupCount;
    for (const reason of file.reasons) reasons.add(reason);
  }
  const outputRows = splitRows(rows, inputBytes, reasons.has("oversize"), policy);
  return {
    partition,
    schemaClass: files[0]?.schemaClass ?? "",
    inputs: files,
    outputRows,
    codec: policy.compression ?? codecOf(files),
    reasons: [...reasons].sort(),
    inputBytes,
    estimatedOutputBytes: Math.round(inputBytes * ratio),
    rowGroupsBefore,
    rowGroupsAfter: outputRows.reduce((sum, part) => sum + Math.ceil(part / policy.rowsPerGroup), 0),
  };
}

/** Even parts, as few as keep both bounds: the byte target within the size band, the row bound exactly. */
function splitRows(rows: number, bytes: number, oversize: boolean, policy: Policy): readonly number[] {
  if (!oversize) return [rows];
  const byBytes = bytes > policy.oversizeBytes ? Math.max(2, Math.round(bytes / policy.targetBytes)) : 1;
  const byRows = policy.targetRows === null ? 1 : Math.ceil(rows / policy.targetRows);
  const parts = Math.min(rows, Math.max(byBytes, byRows));
  const base = Math.floor(rows / parts);
  return Array.from({ length: parts }, (_, index) => base + (index < rows % parts ? 1 : 0));
}

/** What the sources use by bytes. */
function codecOf(files: readonly FileStats[]): string {
  const bytes = new Map<string, number>();
  for (const { codecs, compressedBytes } of files) {
    const codec = codecs[0];
    if (codec !== undefined) bytes.set(codec, (bytes.get(codec) ?? 0) + compressedBytes);
  }
  const best = [...bytes].sort(([a, x], [b, y]) => y - x || compareText(a, b))[0];
  return best?.[0] ?? "snappy";
}

/** Takes the groups that save most files per byte first; what does not fit the budget is told. */
function withinBudget(groups: readonly FileGroup[], policy: Policy, skip: Skip): readonly FileGroup[] {
  if (policy.maxRunBytes === null && policy.maxRunGroups === null) return groups;
  const worth = (group: FileGroup): number =>
    (group.inputs.length - group.outputRows.length + 1) / Math.max(1, group.inputBytes);
  const order = groups.map((group, index) => ({ group, index }));
  order.sort((a, b) => worth(b.group) - worth(a.group) || a.index - b.index);
  const taken = new Set<number>();
  let bytes = 0;
  for (const { group, index } of order) {
    const fits =
      (policy.maxRunBytes === null || bytes + group.inputBytes <= policy.maxRunBytes) &&
      (policy.maxRunGroups === null || taken.size < policy.maxRunGroups);
    if (fits) {
      taken.add(index);
      bytes += group.inputBytes;
    } else for (const file of group.inputs) skip(file.path, "over_budget", "would be next");
  }
  return groups.filter((_, index) => taken.has(index));
}

function append<T>(lists: Map<string, T[]>, key: string, item: T): void {
  const list = lists.get(key);
  if (list === undefined) lists.set(key, [item]);
  else list.push(item);
}

/** Scans deliver paths in order: sorting is needed only where they did not. */
function sortByPath(files: Candidate[]): void {
  const sorted = files.every(
    (file, index) => index === 0 || compareText(files[index - 1]?.path ?? "", file.path) <= 0,
  );
  if (!sorted) files.sort((a, b) => compareText(a.path, b.path));
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
