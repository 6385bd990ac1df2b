/**
 * The columns that a directory's files are kept in. The worker writes the listing, the main thread compares it as
 * one run of bytes, and the snapshot stores both blocks as they are: no object per file anywhere in between.
 * Numbers are in the byte order of the machine.
 */
export interface ListingColumns {
  readonly sizes: Float64Array;
  readonly mtimes: BigInt64Array;
  readonly ctimes: BigInt64Array;
  readonly inodes: BigUint64Array;
  readonly devices: BigUint64Array;
  /** Where each name ends in `names`. */
  readonly nameEnds: Uint32Array;
  readonly flags: Uint8Array;
  /** UTF-8, one after the other; in the order of JavaScript's `<`. */
  readonly names: Buffer;
}

/** What reading a file's footer told. */
export interface FactColumns {
  readonly rows: Float64Array;
  readonly compressedBytes: Float64Array;
  readonly uncompressedBytes: Float64Array;
  readonly rowGroups: Uint32Array;
  /** Which of the directory's shared facts. */
  readonly shared: Uint32Array;
  readonly flags: Uint8Array;
}

/** Flags of a listing: a mount lies between the root and the file; its name is shown escaped. */
export const OTHER_DEVICE = 1;
export const ODD_NAME = 2;
/** Flags of facts: mtime lay in the future; a later change may have left the same times. */
export const MTIME_IGNORED = 1;
export const RACY = 2;

const LISTING_BYTES = 45;
export const FACT_BYTES = 33;

/** `bytes` begins an ArrayBuffer of its own. */
export function listingColumns(bytes: Uint8Array, count: number): ListingColumns {
  const { buffer } = bytes;
  return {
    sizes: new Float64Array(buffer, 0, count),
    mtimes: new BigInt64Array(buffer, 8 * count, count),
    ctimes: new BigInt64Array(buffer, 16 * count, count),
    inodes: new BigUint64Array(buffer, 24 * count, count),
    devices: new BigUint64Array(buffer, 32 * count, count),
    nameEnds: new Uint32Array(buffer, 40 * count, count),
    flags: new Uint8Array(buffer, 44 * count, count),
    names: Buffer.from(buffer, LISTING_BYTES * count),
  };
}

export function factColumns(bytes: Uint8Array, count: number): FactColumns {
  const { buffer } = bytes;
  return {
    rows: new Float64Array(buffer, 0, count),
    compressedBytes: new Float64Array(buffer, 8 * count, count),
    uncompressedBytes: new Float64Array(buffer, 16 * count, count),
    rowGroups: new Uint32Array(buffer, 24 * count, count),
    shared: new Uint32Array(buffer, 28 * count, count),
    flags: new Uint8Array(buffer, 32 * count, count),
  };
}

/** An ArrayBuffer of its own, never a part of Node's pool: columns begin at its first byte. */
export function ownBytes(length: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(new ArrayBuffer(length));
}

export function nameAt({ names, nameEnds }: ListingColumns, index: number): string {
  return names.toString("utf8", index === 0 ? 0 : nameEnds[index - 1], nameEnds[index]);
}

/** Whether bytes of any origin, taken for a listing or for facts of `count` files, can be read as such. */
export function areColumns(listing: Uint8Array, facts: Uint8Array, count: number): boolean {
  if (!Number.isSafeInteger(count) || count < 0) return false;
  if (facts.length !== FACT_BYTES * count || listing.length < LISTING_BYTES * count) return false;
  const { nameEnds, names } = listingColumns(listing, count);
  let end = 0;
  for (const next of nameEnds) {
    if (next < end) return false;
    end = next;
  }
  return end === names.length;
}

/** What a stat with `bigint: true` tells, as far as it is kept. */
export interface BigStat {
  readonly dev: bigint;
  readonly ino: bigint;
  readonly size: bigint;
  readonly mtimeNs: bigint;
  readonly ctimeNs: bigint;
}

/** Gathers the files of one directory after the other; names must come in order. */
export interface ListingBuilder {
  add(name: string, stat: BigStat, flags: number): void;
  /** The listing in a buffer of its own; begins the next directory. */
  finish(): { readonly count: number; readonly listing: Uint8Array<ArrayBuffer> };
}

export function createListingBuilder(): ListingBuilder {
  let capacity = 1024;
  let columns = listingColumns(ownBytes(LISTING_BYTES * capacity), capacity);
  let names: string[] = [];
  return {
    add(name, stat, flags) {
      const at = names.length;
      if (at === capacity) {
        capacity *= 2;
        columns = copyColumns(columns, at, ownBytes(LISTING_BYTES * capacity), capacity);
      }
      columns.sizes[at] = Number(stat.size);
      columns.mtimes[at] = stat.mtimeNs;
      columns.ctimes[at] = stat.ctimeNs;
      columns.inodes[at] = stat.ino;
      columns.devices[at] = stat.dev;
      columns.flags[at] = flags;
      names.push(name);
    },
    finish() {
      const count = names.length;
      const joined = Buffer.from(names.join(""));
      const listing = ownBytes(LISTING_BYTES * count + joined.length);
      const packed = copyColumns(columns, count, listing, count);
      packed.names.set(joined);
      const isAscii = joined.length === names.reduce((sum, name) => sum + name.length, 0);
      let end = 0;
      for (const [index, name] of names.entries()) {
        end += isAscii ? name.length : Buffer.byteLength(name);
        packed.nameEnds[index] = end;
      }
      names = [];
      return { count, listing };
    },
  };
}

/** All columns but those of the names. */
function copyColumns(
  from: ListingColumns,
  count: number,
  bytes: Uint8Array,
  capacity: number,
): ListingColumns {
  const to = listingColumns(bytes, capacity);
  to.sizes.set(from.sizes.subarray(0, count));
  to.mtimes.set(from.mtimes.subarray(0, count));
  to.ctimes.set(from.ctimes.subarray(0, count));
  to.inodes.set(from.inodes.subarray(0, count));
  to.devices.set(from.devices.subarray(0, count));
  to.flags.set(from.flags.subarray(0, count));
  return to;
}

/** The files at `keep` alone. */
export function pickListing(from: ListingColumns, keep: readonly number[]): Uint8Array<ArrayBuffer> {
  const names = keep.map((index) => from.names.subarray(from.nameEnds[index - 1] ?? 0, from.nameEnds[index]));
  const joined = Buffer.concat(names);
  const bytes = ownBytes(LISTING_BYTES * keep.length + joined.length);
  const to = listingColumns(bytes, keep.length);
  to.names.set(joined);
  let end = 0;
  for (const [at, index] of keep.entries()) {
    end += names[at]?.length ?? 0;
    to.nameEnds[at] = end;
    to.sizes[at] = from.sizes[index] ?? 0;
    to.mtimes[at] = from.mtimes[index] ?? 0n;
    to.ctimes[at] = from.ctimes[index] ?? 0n;
    to.inodes[at] = from.inodes[index] ?? 0n;
    to.devices[at] = from.devices[index] ?? 0n;
    to.flags[at] = from.flags[index] ?? 0;
  }
  return bytes;
}

export function copyFacts(from: FactColumns, index: number, to: FactColumns, at: number): void {
  to.rows[at] = from.rows[index] ?? 0;
  to.compressedBytes[at] = from.compressedBytes[index] ?? 0;
  to.uncompressedBytes[at] = from.uncompressedBytes[index] ?? 0;
  to.rowGroups[at] = from.rowGroups[index] ?? 0;
  to.flags[at] = from.flags[index] ?? 0;
}
