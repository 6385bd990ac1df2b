import type { ColumnSchema, FileKeyValue, ReaderAids } from "@tamp/core";
import type { WalkedChunk, WalkedFooter, WalkedGroup } from "./footer-walk.ts";

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

/** Indexed by the number that the format gives them. */
const CODECS = ["uncompressed", "snappy", "gzip", "lzo", "brotli", "lz4", "zstd", "lz4_raw"];

/** Throws `Unsupported`, or an error whose message says what is wrong. `dataEnd`: where the footer begins. */
export function factsOf(
  footer: WalkedFooter,
  columns: readonly ColumnSchema[],
  dataEnd: number,
): FooterFacts {
  const { groups, keyValues } = footer;
  if (columns.length === 0) throw new Unsupported("no columns");
  if (columns.length > MAX_COLUMNS) throw new Unsupported(`${columns.length} columns`);
  if (groups.length > MAX_ROW_GROUPS) throw new Unsupported(`${groups.length} row groups`);
  checkKeyValues(keyValues);
  const tally = createTally();
  for (const group of groups) addGroup(tally, group, columns, dataEnd);
  const rows = count(footer.rows, "rows");
  if (tally.rows !== rows) throw new Error(`${rows} rows, but ${tally.rows} in its row groups`);
  checkExpansion(tally);
  return {
    rows,
    rowGroupCount: groups.length,
    largestRowGroupRows: tally.largestRowGroupRows,
    compressedBytes: tally.compressedBytes,
    uncompressedBytes: tally.uncompressedBytes,
    codecs: codecsOf(tally),
    createdBy: footer.createdBy,
    columns,
    keyValues,
    aids: tally.aids,
  };
}

function checkKeyValues(keyValues: readonly FileKeyValue[]): void {
  const length = keyValues.reduce((sum, { key, value }) => sum + key.length + value.length, 0);
  if (length > MAX_KEY_VALUE_BYTES) throw new Unsupported(`${length} bytes of key-value metadata`);
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
  /** Stored bytes by codec number. */
  readonly codecBytes: Map<number, number>;
  readonly aids: { pageIndex: boolean; bloomFilter: boolean; sortingColumns: boolean };
}

function createTally(): Tally {
  return {
    rows: 0,
    largestRowGroupRows: 0,
    compressedBytes: 0,
    uncompressedBytes: 0,
    codecBytes: new Map(),
    aids: { pageIndex: false, bloomFilter: false, sortingColumns: false },
  };
}

function addGroup(tally: Tally, group: WalkedGroup, columns: readonly ColumnSchema[], dataEnd: number): void {
  const rows = count(group.rows, "rows");
  if (group.chunks.length !== columns.length) {
    throw new Error(`${group.chunks.length} column chunks for ${columns.length} columns`);
  }
  tally.rows = safe(tally.rows + rows, "rows");
  tally.largestRowGroupRows = Math.max(tally.largestRowGroupRows, rows);
  tally.aids.sortingColumns ||= group.sorted;
  for (const [index, chunk] of group.chunks.entries()) {
    const column = columns[index];
    if (chunk.encrypted) throw new Unsupported("encrypted columns");
    if (chunk.external) throw new Unsupported("column data in other files");
    if (!chunk.described || column === undefined) throw new Error("a column chunk is not described");
    checkChunk(chunk, column, rows, dataEnd);
    addChunk(tally, chunk);
  }
}

/** The chunk lies between the magic at the head and the footer, and holds as many values as its group has rows. */
function checkChunk(chunk: WalkedChunk, column: ColumnSchema, rows: number, dataEnd: number): void {
  const page = count(chunk.dataPage, "offset");
  const start = chunk.dictionaryPage > 0 ? Math.min(chunk.dictionaryPage, page) : page;
  if (chunk.dictionaryPage < -1) throw new Error(`${chunk.dictionaryPage} offset`);
  if (start + count(chunk.compressedBytes, "bytes") > dataEnd) {
    throw new Error(`column ${column.path} reaches beyond the data`);
  }
  const values = count(chunk.values, "values");
  if (!column.repetition.includes("*") && values !== rows) {
    throw new Error(`column ${column.path} has ${values} values for ${rows} rows`);
  }
}

function addChunk(tally: Tally, chunk: WalkedChunk): void {
  const { codec, compressedBytes } = chunk;
  tally.codecBytes.set(codec, (tally.codecBytes.get(codec) ?? 0) + compressedBytes);
  tally.compressedBytes = safe(tally.compressedBytes + compressedBytes, "bytes");
  tally.uncompressedBytes = safe(tally.uncompressedBytes + count(chunk.uncompressedBytes, "bytes"), "bytes");
  tally.aids.pageIndex ||= chunk.pageIndex;
  tally.aids.bloomFilter ||= chunk.bloomFilter;
}

function codecsOf({ codecBytes }: Tally): readonly string[] {
  return [...codecBytes]
    .sort(([a, aBytes], [b, bBytes]) => bBytes - aBytes || a - b)
    .map(([number]) => {
      const codec = CODECS[number];
      if (codec === undefined) throw new Unsupported(`an unknown codec (${number})`);
      return codec;
    });
}

function count(value: number, what: string): number {
  if (value < 0) throw new Error(`${value} ${what}`);
  return safe(value, what);
}

function safe(value: number, what: string): number {
  if (value > Number.MAX_SAFE_INTEGER) throw new Error(`${value} ${what}`);
  return value;
}
