import type { ColumnSchema, FileKeyValue } from "@tamp/core";
import { columnsOf } from "./footer-schema.ts";

type Footer = Parameters<typeof columnsOf>[0];
type RowGroup = Footer["row_groups"][number];
type ColumnChunk = NonNullable<RowGroup["columns"][number]["meta_data"]>;

/** What a footer says, checked against the file that it ends. */
export interface FooterFacts {
  readonly rows: number;
  readonly rowGroupCount: number;
  readonly largestRowGroupRows: number;
  readonly compressedBytes: number;
  readonly uncompressedBytes: number;
  /** Lower case, by stored bytes, most first. */
  readonly codecs: readonly string[];
  readonly createdBy: string;
  readonly columns: readonly ColumnSchema[];
  readonly keyValues: readonly FileKeyValue[];
  readonly aids: ReaderAids;
  /** False only where statistics prove that no float or double is 0 or -0. */
  readonly floatZeroPossible: boolean;
}

/** What readers of the file may use to skip data, and a rewrite may lose. */
export interface ReaderAids {
  readonly pageIndex: boolean;
  readonly bloomFilter: boolean;
  readonly sortingColumns: boolean;
}

/** A sound footer of a kind that Tamp does not rewrite. */
export class Unsupported extends Error {}

const MAX_COLUMNS = 8192;
/** Row groups are numbered with 16 bits in the format itself. */
const MAX_ROW_GROUPS = 32_767;
const MAX_KEY_VALUE_BYTES = 16 * 2 ** 20;
/** The best that zstd reaches on constant bytes is 32,768 to 1; more is a claim to exhaust whoever believes it. */
const MAX_EXPANSION = 100_000;
const MIN_EXPANSION_BYTES = 2 ** 20;

/** Throws `Unsupported`, or an error whose message says what is wrong. `dataEnd`: where the footer begins. */
export function factsOf(footer: Footer, dataEnd: number): FooterFacts {
  const columns = columnsOf(footer);
  const groups = footer.row_groups;
  if (columns.length === 0) throw new Unsupported("no columns");
  if (columns.length > MAX_COLUMNS) throw new Unsupported(`${columns.length} columns`);
  if (groups.length > MAX_ROW_GROUPS) throw new Unsupported(`${groups.length} row groups`);
  const keyValues = keyValuesOf(footer);
  const tally = createTally();
  for (const group of groups) addGroup(tally, group, columns, dataEnd);
  const rows = count(footer.num_rows, "rows");
  if (tally.rows !== rows) throw new Error(`${rows} rows, but ${tally.rows} in its row groups`);
  checkExpansion(tally);
  return {
    rows,
    rowGroupCount: groups.length,
    largestRowGroupRows: tally.largestRowGroupRows,
    compressedBytes: tally.compressedBytes,
    uncompressedBytes: tally.uncompressedBytes,
    codecs: codecsOf(tally),
    createdBy: footer.created_by ?? "",
    columns,
    keyValues,
    aids: { ...tally.aids },
    floatZeroPossible: tally.floatZeroPossible,
  };
}

function keyValuesOf(footer: Footer): readonly FileKeyValue[] {
  const keyValues = (footer.key_value_metadata ?? []).map(({ key, value }) => ({ key, value: value ?? "" }));
  const length = keyValues.reduce((sum, { key, value }) => sum + key.length + value.length, 0);
  if (length > MAX_KEY_VALUE_BYTES) throw new Unsupported(`${length} bytes of key-value metadata`);
  return keyValues;
}

function checkExpansion({ compressedBytes, uncompressedBytes }: Tally): void {
  if (uncompressedBytes > compressedBytes * MAX_EXPANSION + MIN_EXPANSION_BYTES) {
    throw new Error(`${compressedBytes} bytes claim to hold ${uncompressedBytes}`);
  }
}

interface Tally {
  rows: number;
  largestRowGroupRows: number;
  compressedBytes: number;
  uncompressedBytes: number;
  floatZeroPossible: boolean;
  readonly codecBytes: Map<string, number>;
  readonly aids: { pageIndex: boolean; bloomFilter: boolean; sortingColumns: boolean };
}

function createTally(): Tally {
  return {
    rows: 0,
    largestRowGroupRows: 0,
    compressedBytes: 0,
    uncompressedBytes: 0,
    floatZeroPossible: false,
    codecBytes: new Map(),
    aids: { pageIndex: false, bloomFilter: false, sortingColumns: false },
  };
}

function addGroup(tally: Tally, group: RowGroup, columns: readonly ColumnSchema[], dataEnd: number): void {
  const rows = count(group.num_rows, "rows");
  if (group.columns.length !== columns.length) {
    throw new Error(`${group.columns.length} column chunks for ${columns.length} columns`);
  }
  tally.rows += rows;
  tally.largestRowGroupRows = Math.max(tally.largestRowGroupRows, rows);
  if ((group.sorting_columns?.length ?? 0) > 0) tally.aids.sortingColumns = true;
  for (const [index, stored] of group.columns.entries()) {
    const column = columns[index];
    if (stored.crypto_metadata !== undefined) throw new Unsupported("encrypted columns");
    if ((stored.file_path ?? "") !== "") throw new Unsupported("column data in other files");
    const chunk = stored.meta_data;
    if (chunk === undefined || column === undefined) throw new Error("a column chunk is not described");
    if (stored.column_index_offset !== undefined || stored.offset_index_offset !== undefined) {
      tally.aids.pageIndex = true;
    }
    checkChunk(chunk, column, rows, dataEnd);
    addChunk(tally, chunk, column);
  }
}

/** The chunk lies between the magic at the head and the footer, and holds as many values as its group has rows. */
function checkChunk(chunk: ColumnChunk, column: ColumnSchema, rows: number, dataEnd: number): void {
  const bytes = count(chunk.total_compressed_size, "bytes");
  const page = count(chunk.data_page_offset, "offset");
  const dictionary = count(chunk.dictionary_page_offset ?? 0n, "offset");
  const start = dictionary > 0 ? Math.min(dictionary, page) : page;
  if (start + bytes > dataEnd) throw new Error(`column ${column.path} reaches beyond the data`);
  const values = count(chunk.num_values, "values");
  if (!column.repetition.includes("*") && values !== rows) {
    throw new Error(`column ${column.path} has ${values} values for ${rows} rows`);
  }
}

function addChunk(tally: Tally, chunk: ColumnChunk, column: ColumnSchema): void {
  const bytes = count(chunk.total_compressed_size, "bytes");
  const codec: string | undefined = chunk.codec;
  if (codec === undefined) throw new Unsupported("an unknown codec");
  tally.codecBytes.set(codec, (tally.codecBytes.get(codec) ?? 0) + bytes);
  tally.compressedBytes = safe(tally.compressedBytes + bytes, "bytes");
  tally.uncompressedBytes = safe(
    tally.uncompressedBytes + count(chunk.total_uncompressed_size, "bytes"),
    "bytes",
  );
  if (chunk.bloom_filter_offset !== undefined) tally.aids.bloomFilter = true;
  if (!tally.floatZeroPossible && isFloat(column)) tally.floatZeroPossible = mayHoldZero(chunk);
}

function isFloat({ physicalType, logicalType }: ColumnSchema): boolean {
  return physicalType === "FLOAT" || physicalType === "DOUBLE" || logicalType === "FLOAT16";
}

function mayHoldZero({ statistics, num_values }: ColumnChunk): boolean {
  if (statistics?.null_count !== undefined && BigInt(statistics.null_count) === num_values) return false;
  const low = statistics?.min_value ?? statistics?.min;
  const high = statistics?.max_value ?? statistics?.max;
  return typeof low !== "number" || typeof high !== "number" || !(low > 0 || high < 0);
}

function codecsOf({ codecBytes }: Tally): readonly string[] {
  return [...codecBytes]
    .sort(([a, aBytes], [b, bBytes]) => bBytes - aBytes || (a < b ? -1 : 1))
    .map(([codec]) => codec.toLowerCase());
}

function count(value: bigint, what: string): number {
  const number = Number(value);
  if (typeof value !== "bigint" || number < 0) throw new Error(`${String(value)} ${what}`);
  return safe(number, what);
}

function safe(value: number, what: string): number {
  if (value > Number.MAX_SAFE_INTEGER) throw new Error(`${value} ${what}`);
  return value;
}
