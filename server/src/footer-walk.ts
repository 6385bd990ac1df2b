/**
 * Walks the Thrift compact bytes of a footer and takes out the few numbers that facts are made of, without
 * building objects for the rest. Field numbers: `FileMetaData` in parquet-format's parquet.thrift. Every loop
 * consumes bytes, and numbers end after ten of them, so a crafted footer costs no more than its length.
 */
export interface WalkedFooter {
  readonly rows: number;
  readonly groups: readonly WalkedGroup[];
  readonly keyValues: readonly { readonly key: string; readonly value: string }[];
  readonly createdBy: string;
  /** The bytes of the schema: equal bytes are the same schema. */
  readonly schema: Uint8Array;
}

export interface WalkedGroup {
  readonly rows: number;
  readonly chunks: readonly WalkedChunk[];
  readonly sorted: boolean;
}

/** One column chunk; -1 stands for a number that the footer does not give. */
export interface WalkedChunk {
  readonly described: boolean;
  readonly encrypted: boolean;
  readonly external: boolean;
  readonly pageIndex: boolean;
  readonly bloomFilter: boolean;
  readonly codec: number;
  readonly values: number;
  readonly uncompressedBytes: number;
  readonly compressedBytes: number;
  readonly dataPage: number;
  readonly dictionaryPage: number;
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

const STRUCT = 12;
const LIST = 9;
const MAX_DEPTH = 64;
const decoder = new TextDecoder();

export function walkFooter(bytes: Uint8Array): WalkedFooter {
  const cursor: Cursor = { bytes, at: 0 };
  const footer: Mutable<WalkedFooter> = { rows: 0, groups: [], keyValues: [], createdBy: "", schema: bytes };
  let schemaSeen = false;
  eachField(cursor, (field, type) => {
    const start = cursor.at;
    if (field === 3) footer.rows = readNumber(cursor);
    else if (field === 4) footer.groups = readList(cursor, type, readGroup);
    else if (field === 5) footer.keyValues = readList(cursor, type, readKeyValue);
    else if (field === 6) footer.createdBy = decoder.decode(readBytes(cursor));
    else {
      skip(cursor, type, 0);
      if (field === 2) {
        footer.schema = bytes.subarray(start, cursor.at);
        schemaSeen = true;
      }
    }
  });
  if (!schemaSeen) throw new Error("it has no schema");
  return footer;
}

interface Cursor {
  readonly bytes: Uint8Array;
  at: number;
}

function readGroup(cursor: Cursor): WalkedGroup {
  const group: Mutable<WalkedGroup> = { rows: -1, chunks: [], sorted: false };
  eachField(cursor, (field, type) => {
    if (field === 1) group.chunks = readList(cursor, type, readChunk);
    else if (field === 3) group.rows = readNumber(cursor);
    else {
      const start = cursor.at;
      skip(cursor, type, 0);
      // An empty list is one byte of header.
      if (field === 4) group.sorted = cursor.at > start + 1;
    }
  });
  return group;
}

function readChunk(cursor: Cursor): WalkedChunk {
  const chunk: Mutable<WalkedChunk> = {
    described: false,
    encrypted: false,
    external: false,
    pageIndex: false,
    bloomFilter: false,
    codec: -1,
    values: -1,
    uncompressedBytes: -1,
    compressedBytes: -1,
    dataPage: -1,
    dictionaryPage: -1,
  };
  eachField(cursor, (field, type) => {
    if (field === 3 && type === STRUCT) readDescription(cursor, chunk);
    else if (field === 1) chunk.external = readBytes(cursor).length > 0;
    else {
      if (field === 4 || field === 6) chunk.pageIndex = true;
      if (field === 8) chunk.encrypted = true;
      skip(cursor, type, 0);
    }
  });
  return chunk;
}

function readDescription(cursor: Cursor, chunk: Mutable<WalkedChunk>): void {
  chunk.described = true;
  eachField(cursor, (field, type) => {
    if (field === 4) chunk.codec = readNumber(cursor);
    else if (field === 5) chunk.values = readNumber(cursor);
    else if (field === 6) chunk.uncompressedBytes = readNumber(cursor);
    else if (field === 7) chunk.compressedBytes = readNumber(cursor);
    else if (field === 9) chunk.dataPage = readNumber(cursor);
    else if (field === 11) chunk.dictionaryPage = readNumber(cursor);
    else {
      if (field === 14) chunk.bloomFilter = true;
      skip(cursor, type, 0);
    }
  });
}

function readKeyValue(cursor: Cursor): { readonly key: string; readonly value: string } {
  let key = "";
  let value = "";
  eachField(cursor, (field, type) => {
    if (field === 1) key = decoder.decode(readBytes(cursor));
    else if (field === 2) value = decoder.decode(readBytes(cursor));
    else skip(cursor, type, 0);
  });
  return { key, value };
}

/** Calls with the number and type of each field of a struct; the callee moves the cursor past its value. */
function eachField(cursor: Cursor, visit: (field: number, type: number) => void): void {
  let field = 0;
  for (;;) {
    const header = readByte(cursor);
    const type = header & 15;
    if (type === 0) return;
    field = header >> 4 === 0 ? readNumber(cursor) : field + (header >> 4);
    visit(field, type);
  }
}

function readList<T>(cursor: Cursor, type: number, read: (cursor: Cursor) => T): T[] {
  if (type !== LIST) throw new Error("a list is missing");
  const { size } = listHeader(cursor);
  const items: T[] = [];
  for (let index = 0; index < size; index += 1) items.push(read(cursor));
  return items;
}

function listHeader(cursor: Cursor): { readonly size: number; readonly type: number } {
  const header = readByte(cursor);
  const size = header >> 4 === 15 ? readVarint(cursor) : header >> 4;
  if (size > cursor.bytes.length - cursor.at) throw new Error(`a list of ${size} elements exceeds it`);
  return { size, type: header & 15 };
}

function skip(cursor: Cursor, type: number, depth: number): void {
  if (depth > MAX_DEPTH) throw new Error("it is nested too deeply");
  if (type === 1 || type === 2) return;
  if (type === 3) cursor.at += 1;
  else if (type >= 4 && type <= 6) readVarint(cursor);
  else if (type === 7) cursor.at += 8;
  else if (type === 8) readBytes(cursor);
  else if (type === LIST) skipList(cursor, depth);
  else if (type === STRUCT) eachField(cursor, (_field, inner) => skip(cursor, inner, depth + 1));
  else throw new Error(`an unknown type ${type}`);
}

function skipList(cursor: Cursor, depth: number): void {
  const { size, type } = listHeader(cursor);
  for (let index = 0; index < size; index += 1) {
    // In a list, unlike in a struct, a boolean is a byte of its own.
    if (type === 1 || type === 2) cursor.at += 1;
    else skip(cursor, type, depth + 1);
  }
}

function readBytes(cursor: Cursor): Uint8Array {
  const length = readVarint(cursor);
  const start = cursor.at;
  if (start + length > cursor.bytes.length) throw new Error(`${length} bytes of text exceed it`);
  cursor.at = start + length;
  return cursor.bytes.subarray(start, cursor.at);
}

/** Zigzag; exact within the safe integers, and refused where it matters beyond them. */
function readNumber(cursor: Cursor): number {
  const value = readVarint(cursor);
  return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
}

function readVarint(cursor: Cursor): number {
  let value = 0;
  let scale = 1;
  for (let count = 0; count < 10; count += 1) {
    const byte = readByte(cursor);
    value += (byte & 127) * scale;
    if (byte < 128) return value;
    scale *= 128;
  }
  throw new Error("a number does not end");
}

function readByte(cursor: Cursor): number {
  const byte = cursor.bytes[cursor.at];
  if (byte === undefined) throw new Error("it ends too early");
  cursor.at += 1;
  return byte;
}
