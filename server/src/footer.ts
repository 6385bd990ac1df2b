import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import type { ColumnSchema } from "@tamp/core";
import {
  asyncBufferFromFile,
  type FileMetaData,
  parquetMetadata,
  parquetMetadataAsync,
  parquetRead,
  type SchemaElement,
} from "hyparquet";
import { type FooterFacts, factsOf, Unsupported } from "./footer-facts.ts";
import { columnsOf } from "./footer-schema.ts";
import { walkFooter } from "./footer-walk.ts";

export type { FileMetaData } from "hyparquet";
export type { FooterFacts } from "./footer-facts.ts";

export type FooterResult =
  | { readonly kind: "footer"; readonly facts: FooterFacts }
  | { readonly kind: "quarantined" | "unsupported"; readonly detail: string };

/** A file's identity and times, exact: nanoseconds, inode and device are decimal strings. */
export interface Stamp {
  readonly device: string;
  readonly inode: string;
  readonly sizeBytes: number;
  readonly mtimeNs: string;
  readonly ctimeNs: string;
}

/** `changed`: the file's stat differed after the read, so what was read may be a mixture. */
export type Inspection =
  | { readonly kind: "gone" }
  | { readonly kind: "changed"; readonly stamp: Stamp }
  | { readonly kind: "read"; readonly stamp: Stamp; readonly result: FooterResult };

const TAIL_BYTES = 64 * 1024;
const MAX_FOOTER_BYTES = 64 * 2 ** 20;
const MIN_FILE_BYTES = 12;
const PAR1 = 0x31524150;
const PARE = 0x45524150;

/** Statistics of strings and times are not used: nothing is decoded, and odd ones cannot throw. */
const NO_VALUES = {
  stringFromBytes: () => undefined,
  jsonFromBytes: () => undefined,
  geometryFromBytes: () => undefined,
  geographyFromBytes: () => undefined,
  uuidFromBytes: () => undefined,
  dateFromDays: () => undefined,
  timestampFromMilliseconds: () => undefined,
  timestampFromMicroseconds: () => undefined,
  timestampFromNanoseconds: () => undefined,
};

/** Blocks: for workers. Never throws. */
export function readFooter(absolutePath: string): FooterResult {
  const inspection = inspectFile(absolutePath);
  switch (inspection.kind) {
    case "gone":
      return quarantined("the file does not exist");
    case "changed":
      return quarantined("changed while being read");
    case "read":
      return inspection.result;
  }
}

/** Blocks: for workers. The footer together with the stat of the very file it was read from. Never throws. */
export function inspectFile(absolutePath: string): Inspection {
  let fd = -1;
  try {
    // A name that became a symlink or a FIFO since it was listed is neither followed nor waited for.
    fd = openSync(absolutePath, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    const before = fstatSync(fd, { bigint: true });
    if (!before.isFile()) return { kind: "gone" };
    const stamp = stampOf(before);
    const result = footerOf(fd, stamp.sizeBytes);
    const after = stampOf(fstatSync(fd, { bigint: true }));
    return sameStamp(stamp, after) ? { kind: "read", stamp, result } : { kind: "changed", stamp: after };
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : String(error);
    if (code === "ENOENT" || code === "ENOTDIR" || code === "ELOOP") return { kind: "gone" };
    return { kind: "read", stamp: NO_STAMP, result: quarantined(`cannot be opened (${code})`) };
  } finally {
    if (fd >= 0) closeSync(fd);
  }
}

/** Of a file that cannot be opened: equal to no real file's. */
const NO_STAMP: Stamp = { device: "", inode: "", sizeBytes: 0, mtimeNs: "", ctimeNs: "" };

export function stampOf(stat: {
  readonly dev: bigint;
  readonly ino: bigint;
  readonly size: bigint;
  readonly mtimeNs: bigint;
  readonly ctimeNs: bigint;
}): Stamp {
  return {
    device: String(stat.dev),
    inode: String(stat.ino),
    sizeBytes: Number(stat.size),
    mtimeNs: String(stat.mtimeNs),
    ctimeNs: String(stat.ctimeNs),
  };
}

function sameStamp(a: Stamp, b: Stamp): boolean {
  return a.sizeBytes === b.sizeBytes && a.mtimeNs === b.mtimeNs && a.ctimeNs === b.ctimeNs;
}

/** One buffer for all files of a thread: nothing that is kept points into it. */
const tailBuffer = new Uint8Array(TAIL_BYTES);

function footerOf(fd: number, sizeBytes: number): FooterResult {
  if (sizeBytes === 0) return quarantined("the file is empty");
  if (sizeBytes < MIN_FILE_BYTES) return quarantined(`${sizeBytes} bytes are too few for a Parquet file`);
  let tail = tailBuffer.subarray(0, Math.min(TAIL_BYTES, sizeBytes));
  readFully(fd, tail, sizeBytes - tail.length);
  const view = new DataView(tail.buffer, tail.byteOffset, tail.byteLength);
  const endMagic = view.getUint32(tail.length - 4, true);
  const headMagic = tail.length === sizeBytes ? view.getUint32(0, true) : readHead(fd);
  if (endMagic === PARE || headMagic === PARE) return unsupported("encrypted");
  if (endMagic !== PAR1) return quarantined("does not end in PAR1: unfinished, or no Parquet file");
  if (headMagic !== PAR1) return quarantined("does not begin with PAR1");
  const footerBytes = view.getUint32(tail.length - 8, true);
  const problem = footerLengthProblem(footerBytes, sizeBytes);
  if (problem !== null) return quarantined(problem);
  if (footerBytes + 8 > tail.length) {
    tail = new Uint8Array(footerBytes + 8);
    readFully(fd, tail, sizeBytes - tail.length);
  }
  return parse(tail, sizeBytes - footerBytes - 8);
}

function footerLengthProblem(footerBytes: number, sizeBytes: number): string | null {
  if (footerBytes === 0) return "its footer is empty";
  if (footerBytes > sizeBytes - MIN_FILE_BYTES) return `its footer of ${footerBytes} bytes exceeds the file`;
  if (footerBytes > MAX_FOOTER_BYTES) return `its footer of ${footerBytes} bytes exceeds 64 MiB`;
  return null;
}

function parse(tail: Uint8Array, dataEnd: number): FooterResult {
  try {
    const footer = walkFooter(tail.subarray(tail.length - 8 - footerLength(tail), tail.length - 8));
    return { kind: "footer", facts: factsOf(footer, columnsIn(footer.schema, tail), dataEnd) };
  } catch (error) {
    if (error instanceof Unsupported) return unsupported(error.message);
    const message = error instanceof Error ? error.message : String(error);
    return quarantined(`its footer is damaged: ${message.slice(0, 200)}`);
  }
}

function footerLength(tail: Uint8Array): number {
  return new DataView(tail.buffer, tail.byteOffset, tail.byteLength).getUint32(tail.length - 8, true);
}

/** The files of a dataset mostly share one schema, byte for byte: it is parsed once. */
let lastSchema: { readonly bytes: Uint8Array; readonly columns: readonly ColumnSchema[] } | null = null;

function columnsIn(schema: Uint8Array, tail: Uint8Array): readonly ColumnSchema[] {
  if (lastSchema === null || Buffer.compare(lastSchema.bytes, schema) !== 0) {
    const metadata = parquetMetadata(tail, { parsers: NO_VALUES, geoparquet: false });
    lastSchema = { bytes: schema.slice(), columns: columnsOf(metadata) };
  }
  return lastSchema.columns;
}

function readHead(fd: number): number {
  const head = new Uint8Array(4);
  readFully(fd, head, 0);
  return new DataView(head.buffer).getUint32(0, true);
}

function readFully(fd: number, target: Uint8Array, position: number): void {
  let done = 0;
  while (done < target.length) {
    const count = readSync(fd, target, done, target.length - done, position + done);
    if (count === 0) throw new Error("the file shrank");
    done += count;
  }
}

function quarantined(detail: string): FooterResult {
  return { kind: "quarantined", detail };
}

function unsupported(detail: string): FooterResult {
  return { kind: "unsupported", detail };
}

/**
 * Rows `rowStart` to before `rowEnd` as stored, one array of column values a row, for an exact comparison of two
 * files: bytes stay bytes, times and timestamps of any unit become nanoseconds, maps stay the groups that they are
 * stored as. Values that an allowed change of type keeps compare equal in `rowsEqual`.
 */
export async function decodeRows(
  absolutePath: string,
  rowStart: number,
  rowEnd: number,
): Promise<readonly (readonly unknown[])[]> {
  // Loaded when rows are decoded only: a reader of footers starts in a fraction of the time without it.
  const { compressors } = await import("hyparquet-compressors");
  const file = await asyncBufferFromFile(absolutePath);
  const stored = await parquetMetadataAsync(file, { parsers: NO_VALUES, geoparquet: false });
  const metadata: FileMetaData = { ...stored, schema: stored.schema.map(plainElement) };
  let rows: readonly (readonly unknown[])[] = [];
  await parquetRead({
    file,
    metadata,
    compressors,
    rowStart,
    rowEnd,
    utf8: false,
    geoparquet: false,
    parsers: STORED_VALUES,
    rowFormat: "array",
    onComplete: (found) => {
      rows = found;
    },
  });
  return rows;
}

const STORED_VALUES = {
  timestampFromMilliseconds: (value: bigint | number) => BigInt(value) * 1_000_000n,
  timestampFromMicroseconds: (value: bigint | number) => BigInt(value) * 1_000n,
  timestampFromNanoseconds: (value: bigint) => value,
  geometryFromBytes: unscaledDecimal,
};

/** The same element with only those annotations that lead the decoder to an exact value. */
function plainElement(element: SchemaElement): SchemaElement {
  const { converted_type: converted, logical_type: logical, ...plain } = element;
  if (element.type === "INT96") return plain;
  if (element.type === undefined) return converted === "LIST" ? { ...plain, converted_type: "LIST" } : plain;
  const unit =
    logical?.type === "TIME" || logical?.type === "TIMESTAMP" ? logical.unit : convertedUnit(converted);
  if (unit === "MILLIS") return { ...plain, converted_type: "TIMESTAMP_MILLIS" };
  if (unit === "MICROS") return { ...plain, converted_type: "TIMESTAMP_MICROS" };
  const decimal = logical?.type === "DECIMAL" || converted === "DECIMAL";
  // The decoder's own decimals are doubles; its hook for geometries hands out the bytes.
  if (decimal && element.type.endsWith("BYTE_ARRAY")) return { ...plain, logical_type: { type: "GEOMETRY" } };
  return plain;
}

function convertedUnit(converted: SchemaElement["converted_type"]): "MILLIS" | "MICROS" | null {
  if (converted === "TIME_MILLIS" || converted === "TIMESTAMP_MILLIS") return "MILLIS";
  return converted === "TIME_MICROS" || converted === "TIMESTAMP_MICROS" ? "MICROS" : null;
}

/** Big-endian two's complement; null for a null. */
function unscaledDecimal(bytes: Uint8Array | null | undefined): bigint | null {
  if (!(bytes instanceof Uint8Array)) return null;
  let value = 0n;
  for (const byte of bytes) value = (value << 8n) | BigInt(byte);
  return BigInt.asIntN(Math.max(bytes.length, 1) * 8, value);
}

/** NaN equals NaN, 0 differs from -0, a missing value equals null; a narrower integer equals a wider one. */
export function rowsEqual(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true;
  if (a === null || a === undefined) return b === null || b === undefined;
  if (typeof a === "bigint" && typeof b === "number") return sameInteger(a, b);
  if (typeof a === "number" && typeof b === "bigint") return sameInteger(b, a);
  if (a instanceof Date && b instanceof Date) return Object.is(a.getTime(), b.getTime());
  if (a instanceof Uint8Array && b instanceof Uint8Array) return Buffer.compare(a, b) === 0;
  if (isList(a) && isList(b)) {
    return a.length === b.length && a.every((value, index) => rowsEqual(value, b[index]));
  }
  return isPlain(a) && isPlain(b) && fieldsEqual(a, b);
}

function sameInteger(wide: bigint, narrow: number): boolean {
  return Number.isSafeInteger(narrow) && BigInt(narrow) === wide;
}

function fieldsEqual(a: Record<string, unknown>, b: Record<string, unknown>): boolean {
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((key) => key in b && rowsEqual(a[key], b[key]));
}

function isList(value: unknown): value is readonly unknown[] {
  return Array.isArray(value);
}

function isPlain(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype;
}
