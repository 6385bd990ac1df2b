import {
  hiveKeys,
  matchesFilters,
  type PartitionFilter,
  type Policy,
  parsePartitionFilter,
  SIZE_BUCKETS,
} from "@tamp/core";
import { TampError } from "./errors.ts";
import type { Inventory, InventoryView } from "./inventory.ts";
import type { DatasetStats, WirePartition } from "./protocol.ts";

/** What a dataset's files alone tell of it. */
type FileTotals = Omit<DatasetStats, "dataset" | "unsettledCount" | "health" | "watch" | "warnings">;

const MOST_PARTITIONS = 20;

/** Files that changed later may still be written; where nothing need settle, none may. */
export function settledMsOf({ settleMs }: Pick<Policy, "settleMs">, nowMs: number): number {
  return settleMs === 0 ? Infinity : nowMs - settleMs;
}

/**
 * Totals over the partitions that match; those with most small files are named. A file that changed after `settledMs`
 * may yet become readable: it is unsettled, not quarantined.
 */
export function presentStats(
  view: InventoryView,
  filters: readonly PartitionFilter[],
  settledMs: number,
): FileTotals {
  const wanted = (path: string): boolean => matchesFilters(path, filters);
  const { totals, partitions } = view.fold(wanted);
  const worst = [...partitions].sort(
    (a, b) => b.smallFiles - a.smallFiles || (a.partition < b.partition ? -1 : 1),
  );
  return {
    generation: view.generation,
    fileCount: totals.fileCount,
    totalBytes: totals.totalBytes,
    totalRows: totals.totalRows,
    partitionCount: totals.partitions.size,
    rowGroupCount: totals.rowGroupCount,
    smallFileCount: totals.smallFileCount,
    smallFileBytes: totals.smallFileBytes,
    schemaClassCount: totals.schemaClasses.size,
    uncompressedBytes: totals.uncompressedBytes,
    quarantinedCount: totals.unreadableCount - view.countUnsettled(settledMs, wanted).unreadable,
    codecs: Object.fromEntries([...totals.codecs].sort()),
    sizeHistogram: totals.sizeHistogram.map((files, index) => ({
      belowBytes: SIZE_BUCKETS[index] ?? null,
      files,
    })),
    partitions: worst
      .slice(0, MOST_PARTITIONS)
      .map(({ partition, files, smallFiles, bytes }): WirePartition => {
        return { partition, keys: hiveKeys(partition), files, smallFiles, bytes };
      }),
  };
}

export function parseFilters(texts: readonly string[]): readonly PartitionFilter[] {
  return texts.map(parseFilter);
}

function parseFilter(text: string): PartitionFilter {
  const filter = parsePartitionFilter(text);
  if (filter !== null) return filter;
  throw new TampError("InvalidFilter", `${JSON.stringify(text)} is not a partition filter`, {
    hint: "write whole components from the root, e.g. year=2024/month=1",
  });
}

const MOST_KEYS_TOLD = 10;

/** Filters that match no partition are a mistake, which the partitions there are help to mend. */
export function refuseUnmatched(
  root: string,
  { totals }: Pick<Inventory, "totals">,
  filters: readonly PartitionFilter[],
): void {
  const known = [...totals.partitions.keys()];
  if (filters.length === 0 || known.some((partition) => matchesFilters(partition, filters))) return;
  const told = known.sort().slice(0, MOST_KEYS_TOLD);
  const text = filters.map((filter) => filter.text).join(" or ");
  throw new TampError("NoMatchingFiles", `no data file of ${root} matches ${text}`, {
    hint:
      told.length > 0
        ? `partitions there are: ${told.map((key) => key || "(root)").join(", ")}`
        : "the dataset is empty",
  });
}
