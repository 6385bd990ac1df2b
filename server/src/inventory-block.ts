import { type DataFile, type DatasetTotals, SIZE_BUCKETS } from "@tamp/core";
import {
  type FactColumns,
  factColumns,
  type ListingColumns,
  listingColumns,
  MTIME_IGNORED,
  nameAt,
  OTHER_DEVICE,
} from "./inventory-columns.ts";

/** What many files have in common, kept once for all of them. */
export type SharedFacts =
  | {
      readonly kind: "readable";
      readonly codecs: readonly string[];
      readonly createdBy: string;
      readonly schemaClass: string;
    }
  | { readonly kind: "unreadable"; readonly reason: "quarantined" | "unsupported"; readonly detail: string };

/** What a listing says of a directory as a whole. `key` is its device and inode. */
export interface DirectoryFacts {
  readonly path: string;
  readonly key: string;
  /** The table format or job that owns this directory by its entries, or null. */
  readonly foreign: string | null;
  readonly warnings: readonly string[];
}

/** One directory with its files, sorted by name. Never changed: a change makes another block. */
export interface KnownBlock extends DirectoryFacts {
  readonly count: number;
  readonly listing: Uint8Array;
  readonly facts: Uint8Array;
  readonly shared: readonly SharedFacts[];
  /** Whether any of the files must be read again, whatever the disk says. */
  readonly racy: boolean;
}

/** A block that the totals count. */
export interface FileBlock extends KnownBlock {
  readonly sums: BlockSums;
}

/** A block's part of the dataset's totals. */
export interface BlockSums {
  readonly bytes: number;
  readonly rows: number;
  readonly rowGroups: number;
  readonly uncompressedBytes: number;
  readonly smallFiles: number;
  readonly smallBytes: number;
  readonly unreadable: number;
  /** When the file that changed last did so; milliseconds since the epoch. */
  readonly newestMs: number;
  readonly histogram: Uint32Array;
  /** Files by shared facts. */
  readonly sharing: Uint32Array;
}

export interface BlockColumns {
  readonly listing: ListingColumns;
  readonly facts: FactColumns;
}

/** Views of a block's bytes: made for a use and dropped, so that nothing but the bytes is held. */
export function columnsOf({ listing, facts, count }: KnownBlock): BlockColumns {
  return { listing: listingColumns(listing, count), facts: factColumns(facts, count) };
}

export function pathIn(directory: string, name: string): string {
  return directory === "" ? name : `${directory}/${name}`;
}

/** The files from `start` to before `end`. */
export function filesOf(block: FileBlock, start = 0, end: number = block.count): readonly DataFile[] {
  const columns = columnsOf(block);
  const files: DataFile[] = [];
  for (let index = start; index < end; index += 1) files.push(fileAt(block, columns, index));
  return files;
}

export function findFile(block: FileBlock, name: string): DataFile | null {
  const columns = columnsOf(block);
  const index = positionOf(columns.listing, block.count, name);
  return index < block.count && nameAt(columns.listing, index) === name
    ? fileAt(block, columns, index)
    : null;
}

/** How many names of a listing lie before `name`. */
export function positionOf(listing: ListingColumns, count: number, name: string): number {
  let low = 0;
  let high = count;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (nameAt(listing, middle) < name) low = middle + 1;
    else high = middle;
  }
  return low;
}

function fileAt(block: FileBlock, columns: BlockColumns, index: number): DataFile {
  const { listing, facts } = columns;
  const common = {
    path: pathIn(block.path, nameAt(listing, index)),
    sizeBytes: listing.sizes[index] ?? 0,
    mtimeNs: String(listing.mtimes[index]),
    inode: String(listing.inodes[index]),
    otherDevice: isOnOtherDevice(listing, index),
    changedMs: changedAt(columns, index),
  };
  const shared = block.shared[facts.shared[index] ?? 0];
  if (shared === undefined) throw new Error(`${common.path} has no facts`);
  if (shared.kind === "unreadable") {
    const { reason, detail } = shared;
    return { kind: "unreadable", file: { ...common, reason, detail } };
  }
  const { codecs, createdBy, schemaClass } = shared;
  const stats = {
    ...common,
    rows: facts.rows[index] ?? 0,
    rowGroupCount: facts.rowGroups[index] ?? 0,
    compressedBytes: facts.compressedBytes[index] ?? 0,
    uncompressedBytes: facts.uncompressedBytes[index] ?? 0,
    codecs,
    createdBy,
    schemaClass,
  };
  return { kind: "readable", stats };
}

/** Whether a reader would get the same `DataFile`: what it does not show may differ. */
export function looksSame(
  a: { readonly block: KnownBlock; readonly columns: BlockColumns; readonly index: number },
  b: { readonly block: KnownBlock; readonly columns: BlockColumns; readonly index: number },
): boolean {
  const { listing: was, facts: had } = a.columns;
  const { listing: is, facts: has } = b.columns;
  const [i, j] = [a.index, b.index];
  return (
    was.sizes[i] === is.sizes[j] &&
    was.mtimes[i] === is.mtimes[j] &&
    was.inodes[i] === is.inodes[j] &&
    isOnOtherDevice(was, i) === isOnOtherDevice(is, j) &&
    changedAt(a.columns, i) === changedAt(b.columns, j) &&
    had.rows[i] === has.rows[j] &&
    had.rowGroups[i] === has.rowGroups[j] &&
    had.compressedBytes[i] === has.compressedBytes[j] &&
    had.uncompressedBytes[i] === has.uncompressedBytes[j] &&
    sameShared(a.block.shared[had.shared[i] ?? 0], b.block.shared[has.shared[j] ?? 0])
  );
}

function sameShared(a: SharedFacts | undefined, b: SharedFacts | undefined): boolean {
  return a === b || JSON.stringify(a) === JSON.stringify(b);
}

function isOnOtherDevice({ flags }: ListingColumns, index: number): boolean {
  return ((flags[index] ?? 0) & OTHER_DEVICE) !== 0;
}

/** The later of mtime and ctime; an mtime in the future was set by hand and says nothing. */
function changedAt({ listing, facts }: BlockColumns, index: number): number {
  const touched = milliseconds(listing.ctimes[index] ?? 0n);
  if (((facts.flags[index] ?? 0) & MTIME_IGNORED) !== 0) return touched;
  return Math.max(milliseconds(listing.mtimes[index] ?? 0n), touched);
}

/** Files that may still be written, and how many of them cannot be read as they are. */
export interface UnsettledCounts {
  files: number;
  unreadable: number;
}

/** Adds the files of the block that changed after `sinceMs`. */
export function countUnsettled(block: FileBlock, sinceMs: number, counts: UnsettledCounts): void {
  const columns = columnsOf(block);
  for (let index = 0; index < block.count; index += 1) {
    if (changedAt(columns, index) <= sinceMs) continue;
    counts.files += 1;
    if (block.shared[columns.facts.shared[index] ?? 0]?.kind === "unreadable") counts.unreadable += 1;
  }
}

/** Rounds up: a file is never taken for older than it is. */
export function milliseconds(nanoseconds: bigint): number {
  return Math.ceil(Number(nanoseconds) / 1e6);
}

/** `smallFileBound` in bytes decides what counts as a small file. */
export function sumUp(block: KnownBlock, smallFileBound: number): BlockSums {
  const listing = listingColumns(block.listing, block.count);
  const facts = factColumns(block.facts, block.count);
  const { sizes } = listing;
  let newestMs = 0;
  const histogram = new Uint32Array(SIZE_BUCKETS.length + 1);
  const sharing = new Uint32Array(block.shared.length);
  const sums = { bytes: 0, rows: 0, rowGroups: 0, uncompressedBytes: 0, smallFiles: 0, smallBytes: 0 };
  for (let index = 0; index < block.count; index += 1) {
    const sizeBytes = sizes[index] ?? 0;
    sums.bytes += sizeBytes;
    sums.rows += facts.rows[index] ?? 0;
    sums.rowGroups += facts.rowGroups[index] ?? 0;
    sums.uncompressedBytes += facts.uncompressedBytes[index] ?? 0;
    if (sizeBytes < smallFileBound) {
      sums.smallFiles += 1;
      sums.smallBytes += sizeBytes;
    }
    const bucket = sizeBucket(sizeBytes);
    histogram[bucket] = (histogram[bucket] ?? 0) + 1;
    const shared = facts.shared[index] ?? 0;
    sharing[shared] = (sharing[shared] ?? 0) + 1;
    newestMs = Math.max(newestMs, changedAt({ listing, facts }, index));
  }
  const unreadable = block.shared.reduce(
    (sum, { kind }, index) => sum + (kind === "unreadable" ? (sharing[index] ?? 0) : 0),
    0,
  );
  return { ...sums, unreadable, newestMs, histogram, sharing };
}

/** The same block, its small files counted by another bound. */
export function recounted(block: FileBlock, smallFileBound: number): FileBlock {
  let smallFiles = 0;
  let smallBytes = 0;
  for (const sizeBytes of listingColumns(block.listing, block.count).sizes) {
    if (sizeBytes >= smallFileBound) continue;
    smallFiles += 1;
    smallBytes += sizeBytes;
  }
  return { ...block, sums: { ...block.sums, smallFiles, smallBytes } };
}

function sizeBucket(sizeBytes: number): number {
  let bucket = 0;
  while (bucket < SIZE_BUCKETS.length && sizeBytes >= (SIZE_BUCKETS[bucket] ?? 0)) bucket += 1;
  return bucket;
}

/** Adds a block's files to the totals at once, or takes them away. */
export function applyBlock(totals: DatasetTotals, block: FileBlock, sign: 1 | -1): void {
  const { sums } = block;
  totals.fileCount += sign * block.count;
  totals.totalBytes += sign * sums.bytes;
  totals.totalRows += sign * sums.rows;
  totals.rowGroupCount += sign * sums.rowGroups;
  totals.uncompressedBytes += sign * sums.uncompressedBytes;
  totals.smallFileCount += sign * sums.smallFiles;
  totals.smallFileBytes += sign * sums.smallBytes;
  totals.unreadableCount += sign * sums.unreadable;
  for (let bucket = 0; bucket < sums.histogram.length; bucket += 1) {
    totals.sizeHistogram[bucket] = (totals.sizeHistogram[bucket] ?? 0) + sign * (sums.histogram[bucket] ?? 0);
  }
  count(totals.partitions, block.path, sign * block.count);
  for (const [index, shared] of block.shared.entries()) {
    if (shared.kind === "unreadable") continue;
    const files = sign * (sums.sharing[index] ?? 0);
    count(totals.schemaClasses, shared.schemaClass, files);
    for (const codec of shared.codecs) count(totals.codecs, codec, files);
  }
}

function count(counts: Map<string, number>, key: string, files: number): void {
  const next = (counts.get(key) ?? 0) + files;
  if (next === 0) counts.delete(key);
  else counts.set(key, next);
}
