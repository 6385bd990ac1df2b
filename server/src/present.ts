import {
  type DataFile,
  type DatasetTotals,
  type FileGroup,
  fileFacts,
  hiveKeys,
  matchesFilters,
  type PartitionFilter,
  type Plan,
  type Policy,
  partitionOf,
  SIZE_BUCKETS,
} from "@tamp/core";
import { invalid, type ParamReader } from "./check.ts";
import type {
  DatasetStats,
  Page,
  RunGroup,
  WireFile,
  WireGroup,
  WirePartition,
  WireRecovered,
} from "./protocol.ts";
import type { RecoveredGroup } from "./recover.ts";
import type { GroupReport } from "./run.ts";

/** Domain values as the wire shows them: every field written out, so that the domain may change on its own. */
export function presentGroup(group: FileGroup): WireGroup {
  return {
    partition: group.partition,
    schemaClass: group.schemaClass,
    inputs: group.inputs.map(({ path, sizeBytes, rows, mtimeNs, inode }) => ({
      path,
      sizeBytes,
      rows,
      mtimeNs,
      inode,
    })),
    outputRows: group.outputRows,
    codec: group.codec,
    reasons: group.reasons,
    inputBytes: group.inputBytes,
    estimatedOutputBytes: group.estimatedOutputBytes,
    rowGroupsBefore: group.rowGroupsBefore,
    rowGroupsAfter: group.rowGroupsAfter,
  };
}

export function presentFile(file: DataFile, { settleMs }: Policy, nowMs: number): WireFile {
  const { path, sizeBytes, mtimeNs, inode, changedMs } = fileFacts(file);
  const unsettled = settleMs > 0 && nowMs - changedMs < settleMs;
  const base = { path, sizeBytes, mtimeNs, inode };
  if (file.kind === "unreadable") {
    const { reason, detail } = file.file;
    return { ...base, ...NO_FOOTER, state: unsettled ? "unsettled" : reason, detail };
  }
  const { stats } = file;
  return {
    ...base,
    state: unsettled ? "unsettled" : "settled",
    detail: "",
    rows: stats.rows,
    rowGroupCount: stats.rowGroupCount,
    rowsPerGroup: stats.rowGroupCount === 0 ? 0 : Math.round(stats.rows / stats.rowGroupCount),
    compressedBytes: stats.compressedBytes,
    uncompressedBytes: stats.uncompressedBytes,
    codecs: stats.codecs,
    createdBy: stats.createdBy,
    schemaClass: stats.schemaClass,
  };
}

const NO_FOOTER = {
  rows: 0,
  rowGroupCount: 0,
  rowsPerGroup: 0,
  compressedBytes: 0,
  uncompressedBytes: 0,
  codecs: [],
  createdBy: "",
  schemaClass: "",
} as const;

export function presentHistogram(totals: DatasetTotals): DatasetStats["sizeHistogram"] {
  return totals.sizeHistogram.map((files, index) => ({ belowBytes: SIZE_BUCKETS[index] ?? null, files }));
}

const MOST_PARTITIONS = 20;

/** The partitions with most small files first. */
export function presentPartitions(
  files: readonly DataFile[],
  smallFileBytes: number,
): readonly WirePartition[] {
  const partitions = new Map<string, { files: number; smallFiles: number; bytes: number }>();
  for (const file of files) {
    const { path, sizeBytes } = fileFacts(file);
    const key = partitionOf(path);
    const entry = partitions.get(key) ?? { files: 0, smallFiles: 0, bytes: 0 };
    partitions.set(key, entry);
    entry.files += 1;
    entry.bytes += sizeBytes;
    if (sizeBytes < smallFileBytes) entry.smallFiles += 1;
  }
  const order = [...partitions].sort(([a, x], [b, y]) => y.smallFiles - x.smallFiles || (a < b ? -1 : 1));
  return order
    .slice(0, MOST_PARTITIONS)
    .map(([partition, counts]) => ({ partition, keys: hiveKeys(partition), ...counts }));
}

export function presentRunGroup(group: GroupReport): RunGroup {
  const { partition, kind, reason, inputs, inputBytes, outputs } = group;
  return { partition, kind, inputs, inputBytes, outputs, ...(reason === null ? {} : { reason }) };
}

export function presentRecovered(recovered: RecoveredGroup): WireRecovered {
  const { runId, group, action, detail, duplicateWindowMs } = recovered;
  return { runId, group, action, detail, duplicateWindowMs };
}

/** `{at_target: 3, unsettled: 1}` */
export function countReasons(plan: Plan): Readonly<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const { reason } of plan.skipped) counts[reason] = (counts[reason] ?? 0) + 1;
  return counts;
}

const MOST_ITEMS = 10_000;

/** One page of a long list. */
export function pageOf<T, R>(items: readonly T[], params: ParamReader, present: (item: T) => R): Page<R> {
  const offset = params.optionalNumber("offset") ?? 0;
  const limit = params.optionalNumber("limit") ?? 1_000;
  if (limit < 1 || limit > MOST_ITEMS) throw invalid(`limit must be between 1 and ${MOST_ITEMS}`);
  const next = offset + limit;
  return {
    total: items.length,
    items: items.slice(offset, next).map(present),
    nextOffset: next < items.length ? next : null,
  };
}

export function filterFiles(
  files: readonly DataFile[],
  filters: readonly PartitionFilter[],
): readonly DataFile[] {
  if (filters.length === 0) return files;
  return files.filter((file) => matchesFilters(partitionOf(fileFacts(file).path), filters));
}
