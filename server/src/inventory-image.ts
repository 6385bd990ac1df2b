import { endianness } from "node:os";
import { crc32 } from "node:zlib";
import type { KnownBlock, SharedFacts } from "./inventory-block.ts";
import { areColumns, factColumns, ownBytes } from "./inventory-columns.ts";
import type { SchemaClass } from "./inventory-messages.ts";
import { createSlices } from "./slices.ts";

/** What is kept of an inventory. */
export interface InventoryImage {
  readonly directories: ReadonlyMap<string, KnownBlock>;
  readonly classes: ReadonlyMap<string, SchemaClass>;
}

/** Which directory an image is of. */
export interface RootIdentity {
  readonly root: string;
  readonly key: string;
}

/**
 * The file: `TAMPINV\n`, version, length of the header, header; for each directory the lengths of its meta, listing
 * and facts, and these; at last the CRC-32 of all that. Lengths and the CRC are 32 bits, little-endian; header and
 * meta are JSON; columns are as they are in memory.
 */
const MAGIC = Buffer.from("TAMPINV\n");
const VERSION = 1;
const CRC_BYTES = 4;
const BYTES_PER_SUM = 2 ** 20;

interface Header extends RootIdentity {
  readonly endianness: string;
  readonly directories: number;
  readonly classes: readonly SchemaClass[];
  /** Of all directories; each names those that it uses. */
  readonly shared: readonly SharedFacts[];
}

interface Meta {
  readonly path: string;
  readonly key: string;
  readonly foreign: string | null;
  readonly warnings: readonly string[];
  readonly count: number;
  readonly racy: boolean;
  readonly shared: readonly number[];
}

/** Piece by piece, so that writing it need not hold it whole. */
export function* encodeImage(image: InventoryImage, identity: RootIdentity): Generator<Uint8Array> {
  let crc = 0;
  for (const piece of piecesOf(image, identity)) {
    // The sum of no bytes would begin anew.
    if (piece.length === 0) continue;
    crc = crc32(piece, crc);
    yield piece;
  }
  yield words(crc);
}

function* piecesOf({ directories, classes }: InventoryImage, identity: RootIdentity): Generator<Uint8Array> {
  const indexes = new Map<SharedFacts, number>();
  for (const { shared } of directories.values())
    for (const facts of shared) if (!indexes.has(facts)) indexes.set(facts, indexes.size);
  const header: Header = {
    ...identity,
    endianness: endianness(),
    directories: directories.size,
    classes: [...classes.values()],
    shared: [...indexes.keys()],
  };
  const headerBytes = Buffer.from(JSON.stringify(header));
  yield Buffer.concat([MAGIC, words(VERSION, headerBytes.length), headerBytes]);
  for (const block of directories.values()) {
    const { path, key, foreign, warnings, count, racy, listing, facts } = block;
    const shared = block.shared.map((item) => indexes.get(item) ?? 0);
    const meta = Buffer.from(
      JSON.stringify({ path, key, foreign, warnings, count, racy, shared } satisfies Meta),
    );
    yield Buffer.concat([words(meta.length, listing.length, facts.length), meta]);
    yield listing;
    yield facts;
  }
}

function words(...values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(4 * values.length);
  for (const [index, value] of values.entries()) bytes.writeUInt32LE(value, 4 * index);
  return bytes;
}

/** Null for what is damaged, of another version, another machine or another root. Cut into slices. */
export async function decodeImage(bytes: Buffer, identity: RootIdentity): Promise<InventoryImage | null> {
  const end = bytes.length - CRC_BYTES;
  const isOurs = end >= MAGIC.length + 8 && bytes.subarray(0, MAGIC.length).equals(MAGIC);
  if (!isOurs || (await sumOf(bytes.subarray(0, end))) !== bytes.readUInt32LE(end)) return null;
  const reader = createReader(bytes.subarray(MAGIC.length, end));
  if (reader.word() !== VERSION) return null;
  // The sum is right: from here on everything is as it was written, by this version.
  const header: Header = JSON.parse(reader.bytes(reader.word()).toString());
  if (header.root !== identity.root || header.key !== identity.key) return null;
  if (header.endianness !== endianness()) return null;
  const slices = createSlices();
  const directories = new Map<string, KnownBlock>();
  for (let at = 0; at < header.directories; at += 1) {
    if (slices.due()) await slices.pause();
    const block = readBlock(reader, header);
    directories.set(block.path, block);
  }
  return { directories, classes: new Map(header.classes.map((item) => [item.id, item])) };
}

async function sumOf(bytes: Buffer): Promise<number> {
  const slices = createSlices();
  let crc = 0;
  for (let at = 0; at < bytes.length; at += BYTES_PER_SUM) {
    if (slices.due()) await slices.pause();
    crc = crc32(bytes.subarray(at, at + BYTES_PER_SUM), crc);
  }
  return crc;
}

interface Reader {
  word(): number;
  bytes(length: number): Buffer;
}

/** Throws beyond the end. */
function createReader(bytes: Buffer): Reader {
  let at = 0;
  const take = (length: number): Buffer => {
    if (length > bytes.length - at) throw new Error("the snapshot ends too early");
    at += length;
    return bytes.subarray(at - length, at);
  };
  return { word: () => take(4).readUInt32LE(), bytes: take };
}

function readBlock(reader: Reader, header: Header): KnownBlock {
  const [metaBytes, listingBytes, factBytes] = [reader.word(), reader.word(), reader.word()];
  const meta: Meta = JSON.parse(reader.bytes(metaBytes).toString());
  const listing = copyOf(reader.bytes(listingBytes));
  const facts = copyOf(reader.bytes(factBytes));
  const shared = meta.shared.flatMap((index) => header.shared[index] ?? []);
  if (!areColumns(listing, facts, meta.count)) throw new Error("the snapshot's columns do not fit");
  if (factColumns(facts, meta.count).shared.some((index) => index >= shared.length))
    throw new Error("the snapshot lacks facts");
  return { ...meta, listing, facts, shared };
}

/** Columns begin at the first byte of a buffer of their own; and no block keeps the whole snapshot in memory. */
function copyOf(bytes: Buffer): Uint8Array {
  const copy = ownBytes(bytes.length);
  copy.set(bytes);
  return copy;
}
