import { type DataFile, fileFacts } from "./dataset.ts";
import { partitionOf } from "./partition.ts";

/** The one shape of maintenance statistics: the same keys for every engine, in dry runs and real ones. */
export interface CanonicalStats {
  readonly beforeFileCount: number;
  readonly afterFileCount: number;
  readonly beforeTotalBytes: number;
  readonly afterTotalBytes: number;
  /** Input files that were, or would be, rewritten. */
  readonly compactedFileCount: number;
  /** Bytes of those inputs. */
  readonly rewrittenBytes: number;
  /** Codec of the outputs; null where nothing is written or the groups differ. */
  readonly compressionCodec: string | null;
  readonly dryRun: boolean;
  /** Empty in compact. */
  readonly clusterColumns: readonly string[];
  /** Lists of input paths; empty in a real run. */
  readonly plannedGroups: readonly (readonly string[])[];
}

/** Slot i counts files under SIZE_BUCKETS[i] bytes; the last slot counts the rest. */
export const SIZE_BUCKETS = [0.25, 1, 4, 16, 64, 128, 256, 1024].map((mib) => mib * 2 ** 20);

/**
 * Running totals of a dataset. Adding, changing and removing a file are O(1): `removeFile` undoes exactly what
 * `addFile` with the same file did.
 */
export interface DatasetTotals {
  readonly smallFileBound: number;
  fileCount: number;
  totalBytes: number;
  totalRows: number;
  rowGroupCount: number;
  uncompressedBytes: number;
  smallFileCount: number;
  smallFileBytes: number;
  unreadableCount: number;
  readonly sizeHistogram: number[];
  readonly partitions: Map<string, number>;
  readonly schemaClasses: Map<string, number>;
  readonly codecs: Map<string, number>;
}

/** `smallFileBound` in bytes decides what counts as a small file. */
export function createTotals(smallFileBound: number): DatasetTotals {
  return {
    smallFileBound,
    fileCount: 0,
    totalBytes: 0,
    totalRows: 0,
    rowGroupCount: 0,
    uncompressedBytes: 0,
    smallFileCount: 0,
    smallFileBytes: 0,
    unreadableCount: 0,
    sizeHistogram: new Array<number>(SIZE_BUCKETS.length + 1).fill(0),
    partitions: new Map(),
    schemaClasses: new Map(),
    codecs: new Map(),
  };
}

export function addFile(totals: DatasetTotals, file: DataFile): void {
  applyFile(totals, file, 1);
}

export function removeFile(totals: DatasetTotals, file: DataFile): void {
  applyFile(totals, file, -1);
}

function applyFile(totals: DatasetTotals, file: DataFile, sign: 1 | -1): void {
  const { path, sizeBytes } = fileFacts(file);
  totals.fileCount += sign;
  totals.totalBytes += sign * sizeBytes;
  const bucket = sizeBucket(sizeBytes);
  totals.sizeHistogram[bucket] = (totals.sizeHistogram[bucket] ?? 0) + sign;
  count(totals.partitions, partitionOf(path), sign);
  if (sizeBytes < totals.smallFileBound) {
    totals.smallFileCount += sign;
    totals.smallFileBytes += sign * sizeBytes;
  }
  if (file.kind === "unreadable") {
    totals.unreadableCount += sign;
    return;
  }
  const { stats } = file;
  totals.totalRows += sign * stats.rows;
  totals.rowGroupCount += sign * stats.rowGroupCount;
  totals.uncompressedBytes += sign * stats.uncompressedBytes;
  count(totals.schemaClasses, stats.schemaClass, sign);
  for (const codec of stats.codecs) count(totals.codecs, codec, sign);
}

function sizeBucket(sizeBytes: number): number {
  const index = SIZE_BUCKETS.findIndex((bound) => sizeBytes < bound);
  return index < 0 ? SIZE_BUCKETS.length : index;
}

function count(counts: Map<string, number>, key: string, sign: 1 | -1): void {
  const next = (counts.get(key) ?? 0) + sign;
  if (next === 0) counts.delete(key);
  else counts.set(key, next);
}
