import { partitionOf } from "./partition.ts";

/**
 * What is known of one data file whose footer was read. Sizes are bytes, counts are rows or row groups;
 * all are safe integers. Nanoseconds and inodes are decimal strings because they exceed 2^53.
 */
export interface FileStats {
  /** Relative to the dataset root, with `/`. */
  readonly path: string;
  readonly sizeBytes: number;
  readonly mtimeNs: string;
  /** Tells files of the root's device apart; one of another device may bear the same number. */
  readonly inode: string;
  /** On another device than the root, where a mount lies inside the dataset. */
  readonly otherDevice: boolean;
  /** The later of mtime and ctime, milliseconds since the epoch: when the file last changed. */
  readonly changedMs: number;
  readonly rows: number;
  readonly rowGroupCount: number;
  /** Bytes of all column chunks as stored. */
  readonly compressedBytes: number;
  /** Bytes of all column chunks once decompressed. */
  readonly uncompressedBytes: number;
  /** Lower case, by stored bytes, most first: `["zstd", "uncompressed"]`. */
  readonly codecs: readonly string[];
  readonly createdBy: string;
  /** Id of the schema class: files of two classes are never merged. */
  readonly schemaClass: string;
}

/** A data file that is listed but cannot be rewritten, and why. */
export interface UnreadableFile {
  readonly path: string;
  readonly sizeBytes: number;
  readonly mtimeNs: string;
  readonly inode: string;
  readonly otherDevice: boolean;
  readonly changedMs: number;
  readonly reason: "quarantined" | "unsupported";
  readonly detail: string;
}

export type DataFile =
  | { readonly kind: "readable"; readonly stats: FileStats }
  | { readonly kind: "unreadable"; readonly file: UnreadableFile };

/**
 * Data files of one directory, in any order. A big directory may come in several pieces, one right after another;
 * otherwise each directory comes once.
 */
export interface PartitionFiles {
  /** As `partitionOf` names it. */
  readonly partition: string;
  readonly files: readonly DataFile[];
  /** The inodes of `files` as doubles, where they are at hand without the files. */
  readonly inodes?: Float64Array;
}

/** What readers of a file may use to skip data, and a rewrite may lose. */
export interface ReaderAids {
  readonly pageIndex: boolean;
  readonly bloomFilter: boolean;
  readonly sortingColumns: boolean;
}

/** The fields that both kinds of data file have. */
export function fileFacts(file: DataFile): FileStats | UnreadableFile {
  return file.kind === "readable" ? file.stats : file.file;
}

/** A list of data files in any order by directory, both directories and files in path order. */
export function partitionFiles(files: readonly DataFile[]): readonly PartitionFiles[] {
  const byPartition = new Map<string, DataFile[]>();
  for (const file of files) {
    const partition = partitionOf(fileFacts(file).path);
    const known = byPartition.get(partition);
    if (known === undefined) byPartition.set(partition, [file]);
    else known.push(file);
  }
  const partitions = [...byPartition].map(([partition, of]) => ({
    partition,
    files: of.sort((a, b) => (fileFacts(a).path < fileFacts(b).path ? -1 : 1)),
  }));
  return partitions.sort((a, b) => (a.partition < b.partition ? -1 : 1));
}

/**
 * Whether readers of the directory take this name for a data file. Spark and pyarrow skip names that begin
 * with `.` or `_`; a rewrite would make such rows visible to them, so Tamp leaves those names alone.
 */
export function isDataFileName(name: string): boolean {
  return name.endsWith(".parquet") && !isHiddenName(name);
}

/** Hidden by Spark's and pyarrow's rule; a Hive key may begin with `_` (`_year=2024`). */
export function isHiddenName(name: string): boolean {
  return name.startsWith(".") || (name.startsWith("_") && !name.includes("="));
}

const PUBLISHED_NAME = /(?:^|\/)(?:compacted|optimized)-[0-9a-z]+-\d{4,}\.parquet$/;

/** True for names that only a Tamp run gives: `compacted-<runId>-0001.parquet`. */
export function isPublishedName(path: string): boolean {
  const at = path.lastIndexOf("/") + 1;
  // Asked of every file: most are told apart without the pattern.
  if (!path.startsWith("compacted-", at) && !path.startsWith("optimized-", at)) return false;
  return PUBLISHED_NAME.test(path);
}

/** What the names of a run's outputs begin with; `runId` of digits and small letters. */
export function outputPrefix(operation: "compact", runId: string): string {
  return `${{ compact: "compacted" }[operation]}-${runId}-`;
}

/** `compacted-<runId>-0001.parquet`; `ordinal` counts a run's outputs from 1. */
export function publishedName(operation: "compact", runId: string, ordinal: number): string {
  return `${outputPrefix(operation, runId)}${String(ordinal).padStart(4, "0")}.parquet`;
}

/**
 * The protocol that owns a directory with these entries, or null. Rewriting files that a table format lists
 * in its own metadata corrupts the table.
 */
export function foreignFormat(entryNames: readonly string[]): string | null {
  for (const name of entryNames) {
    const format = FOREIGN_ENTRIES.get(name);
    if (format !== undefined) return format;
    if (HIVE_ACID.test(name)) return "Hive ACID";
    if (ICEBERG_METADATA.test(name)) return "Apache Iceberg";
  }
  const names = new Set(entryNames);
  return names.has("snapshot") && names.has("manifest") ? "Apache Paimon" : null;
}

/** `base_0000005_v0000012`, `delta_0000001_0000004_0001` (Hive's AcidUtils); `base_2024.parquet` is a data file. */
const HIVE_ACID = /^(?:base_\d{7,}|(?:delete_)?delta_\d{7,}_\d{7,}(?:_\d{4})?)(?:_v\d+)?$/;

/** `v3.metadata.json` or `00003-UUID.metadata.json`, plain or gzipped (Iceberg table spec, "File System Tables"). */
const ICEBERG_METADATA = /^(?:v\d+|\d+-[0-9a-f-]{36})(?:\.gz)?\.metadata\.json(?:\.gz)?$/;

const FOREIGN_ENTRIES: ReadonlyMap<string, string> = new Map([
  ["_delta_log", "Delta Lake"],
  ["version-hint.text", "Apache Iceberg"],
  [".hoodie", "Apache Hudi"],
  ["_spark_metadata", "Spark streaming sink"],
  ["_symlink_format_manifest", "symlink manifest"],
  ["_versions", "Lance"],
  ["_temporary", "running Hadoop or Spark job"],
]);
