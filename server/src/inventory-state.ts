import { partitionOf } from "@tamp/core";
import {
  type BlockColumns,
  columnsOf,
  type FileBlock,
  type KnownBlock,
  looksSame,
  milliseconds,
  pathIn,
  type SharedFacts,
  sumUp,
} from "./inventory-block.ts";
import type { ChangeTally } from "./inventory-changes.ts";
import {
  copyFacts,
  FACT_BYTES,
  factColumns,
  type ListingColumns,
  listingColumns,
  MTIME_IGNORED,
  nameAt,
  ODD_NAME,
  ownBytes,
  pickListing,
  RACY,
} from "./inventory-columns.ts";
import type { DatasetScan } from "./inventory-scan.ts";
import { type ScannedDirectory, subdirectoriesOf } from "./scan.ts";
import type { Slices } from "./slices.ts";

/** A directory that differs from what was known, while its footers are being read. */
export interface Draft {
  readonly directory: ScannedDirectory;
  readonly before: KnownBlock | undefined;
  readonly columns: BlockColumns;
  readonly facts: Uint8Array;
  readonly shared: SharedTable;
  /** For each file its index in `before`, or -1. */
  readonly was: Int32Array;
  /** Indexes in `before` of files that are not listed any more. */
  readonly lost: readonly number[];
  /** Files whose footer must be read. */
  readonly toRead: readonly number[];
  /** Files that were listed, but gone when their footer was to be read; ascending. */
  readonly vanished: Set<number>;
}

/** Shared facts in the order in which they were first seen. */
export interface SharedTable {
  readonly all: readonly SharedFacts[];
  add(facts: SharedFacts): number;
}

function createSharedTable(): SharedTable {
  const all: SharedFacts[] = [];
  const indexes = new Map<SharedFacts, number>();
  return {
    all,
    add(facts) {
      const known = indexes.get(facts);
      if (known !== undefined) return known;
      indexes.set(facts, all.length);
      all.push(facts);
      return all.length - 1;
    },
  };
}

const NO_LISTING = ownBytes(0);

/** Where a listing is what was known, to the byte, nothing of it need be looked at or held. */
export function settled(before: KnownBlock | undefined, directory: ScannedDirectory): ScannedDirectory {
  const isUnchanged =
    directory.kind === "listed" &&
    before !== undefined &&
    before.path === directory.path &&
    !before.racy &&
    before.key === directory.key &&
    sameTelling(before, directory) &&
    Buffer.compare(before.listing, directory.listing) === 0;
  return isUnchanged ? { ...directory, kind: "unchanged", listing: NO_LISTING } : directory;
}

/** Whether the same is said of a directory as a whole. */
export function sameTelling(
  a: Pick<KnownBlock, "foreign" | "warnings"> | undefined,
  b: Pick<KnownBlock, "foreign" | "warnings">,
): boolean {
  return (a?.foreign ?? null) === b.foreign && (a?.warnings ?? []).join() === b.warnings.join();
}

/** Directories that a listing of their parent, or of the whole dataset, no longer has. */
export function goneOf(known: Iterable<string>, scan: DatasetScan): readonly string[] {
  const listed = new Set<string>();
  const gone = new Set<string>(scan.duplicates);
  for (const { path, kind } of scan.directories) (kind === "gone" ? gone : listed).add(path);
  const present = new Set<string>();
  for (const directory of scan.whole ? [] : scan.directories)
    for (const { path } of subdirectoriesOf(directory)) present.add(path);
  const isGone = (path: string): boolean => {
    if (gone.has(path)) return true;
    if (listed.has(path)) return false;
    if (scan.whole) return true;
    if (path === "") return false;
    const parent = partitionOf(path);
    return listed.has(parent) ? !present.has(path) : isGone(parent);
  };
  return [...known].filter(isGone);
}

/**
 * With what each directory is to be compared: what is known of this very directory, also where it was moved and is
 * known by another path; else what is known at its path.
 */
export async function beforeOf(
  known: ReadonlyMap<string, FileBlock>,
  listed: readonly ScannedDirectory[],
  slices: Slices,
): Promise<(directory: ScannedDirectory) => FileBlock | undefined> {
  const isStrange = ({ path, key }: ScannedDirectory): boolean => key !== "" && known.get(path)?.key !== key;
  const sought = new Set(listed.filter(isStrange).map(({ key }) => key));
  const moved = new Map<string, FileBlock>();
  for (const block of sought.size > 0 ? known.values() : []) {
    if (slices.due()) await slices.pause();
    if (sought.has(block.key)) moved.set(block.key, block);
  }
  return (directory) =>
    (isStrange(directory) ? moved.get(directory.key) : undefined) ?? known.get(directory.path);
}

export interface Comparing {
  readonly before: KnownBlock | undefined;
  readonly directory: ScannedDirectory;
  /** Paths whose new ctime is our own doing. */
  readonly ownTouched: ReadonlySet<string>;
  /** The scanning clock: a time of modification beyond it is not believed. */
  readonly nowMs: number;
  readonly intern: (facts: SharedFacts) => SharedFacts;
  readonly slices: Slices;
}

/** Goes through both listings by name: keeps what is proved unchanged, and says what must be read. */
export async function draftOf({ before, directory, slices, ...rules }: Comparing): Promise<Draft> {
  const { count } = directory;
  const facts = ownBytes(FACT_BYTES * count);
  const columns = { listing: listingColumns(directory.listing, count), facts: factColumns(facts, count) };
  const old = before === undefined ? null : { block: before, columns: columnsOf(before) };
  const shared = createSharedTable();
  const { was, lost } = await matchNames(columns.listing, count, before, slices);
  const toRead: number[] = [];
  for (let index = 0; index < count; index += 1) {
    if (slices.due()) await slices.pause();
    const verdict = judge({ columns, index, old, was: was[index] ?? -1, directory, ...rules });
    if (verdict === null) toRead.push(index);
    else columns.facts.shared[index] = shared.add(verdict);
  }
  return { directory, before, columns, facts, shared, was, lost, toRead, vanished: new Set() };
}

async function matchNames(
  listing: ListingColumns,
  count: number,
  before: KnownBlock | undefined,
  slices: Slices,
): Promise<Pick<Draft, "was" | "lost">> {
  const was = new Int32Array(count).fill(-1);
  const lost: number[] = [];
  if (before === undefined) return { was, lost };
  const old = columnsOf(before).listing;
  let next = 0;
  for (let index = 0; index < count; index += 1) {
    if (slices.due()) await slices.pause();
    const name = nameAt(listing, index);
    while (next < before.count) {
      const oldName = nameAt(old, next);
      if (oldName < name) lost.push(next);
      else if (oldName === name) was[index] = next;
      else break;
      next += 1;
    }
  }
  for (; next < before.count; next += 1) lost.push(next);
  return { was, lost };
}

interface Judged extends Pick<Comparing, "directory" | "ownTouched" | "nowMs" | "intern"> {
  readonly columns: BlockColumns;
  readonly index: number;
  readonly old: { readonly block: KnownBlock; readonly columns: BlockColumns } | null;
  readonly was: number;
}

/** Writes what is known without reading the footer; null where it must be read. */
function judge({ columns, index, old, was, ...rest }: Judged): SharedFacts | null {
  const { listing, facts } = columns;
  if (((listing.flags[index] ?? 0) & ODD_NAME) !== 0) {
    facts.flags[index] = timeFlag(listing, index, rest.nowMs);
    return rest.intern({ kind: "unreadable", reason: "unsupported", detail: "its name is not UTF-8" });
  }
  if (old === null || was < 0 || ((old.columns.facts.flags[was] ?? 0) & RACY) !== 0) return null;
  if (!sameContent(listing, index, old.columns.listing, was)) return null;
  const touched = listing.ctimes[index] !== old.columns.listing.ctimes[was];
  // A ctime alone moves with links and permissions, but also where `touch -d` or `cp -p` hid a change.
  if (touched && !rest.ownTouched.has(pathIn(rest.directory.path, nameAt(listing, index)))) return null;
  copyFacts(old.columns.facts, was, facts, index);
  if (touched) facts.flags[index] = timeFlag(listing, index, rest.nowMs);
  return old.block.shared[old.columns.facts.shared[was] ?? 0] ?? null;
}

function sameContent(a: ListingColumns, i: number, b: ListingColumns, j: number): boolean {
  return (
    a.sizes[i] === b.sizes[j] &&
    a.mtimes[i] === b.mtimes[j] &&
    a.inodes[i] === b.inodes[j] &&
    a.devices[i] === b.devices[j]
  );
}

export function timeFlag({ mtimes }: ListingColumns, index: number, nowMs: number): number {
  return milliseconds(mtimes[index] ?? 0n) > nowMs ? MTIME_IGNORED : 0;
}

/**
 * The block that takes its place, and into `tally` what that changes for readers. `published` is what they have
 * seen there so far, which need not be what was compared with.
 */
export async function replacementOf(
  draft: Draft,
  options: {
    readonly published: FileBlock | undefined;
    readonly smallFileBound: number;
    readonly tally: ChangeTally;
    readonly slices: Slices;
  },
): Promise<FileBlock> {
  const { before, columns, directory } = draft;
  const { published, tally, slices } = options;
  const block = blockOf(draft, options.smallFileBound);
  const fresh = { block, columns: columnsOf(block) };
  const old = published === undefined ? null : { block: published, columns: columnsOf(published) };
  const matched =
    before === published ? draft : await matchNames(columns.listing, directory.count, published, slices);
  let at = 0;
  for (let index = 0; index < directory.count; index += 1) {
    if (slices.due()) await slices.pause();
    const was = matched.was[index] ?? -1;
    const path = (): string => pathIn(block.path, nameAt(columns.listing, index));
    if (draft.vanished.has(index)) {
      if (was >= 0) tally.note("removed", path);
      continue;
    }
    if (old === null || was < 0) tally.note("added", path);
    else if (!looksSame({ ...old, index: was }, { ...fresh, index: at })) tally.note("changed", path);
    at += 1;
  }
  if (old === null) return block;
  for (const index of matched.lost) {
    tally.note("removed", () => pathIn(block.path, nameAt(old.columns.listing, index)));
  }
  return block;
}

/** Notes all files of a block that readers see as a whole for the first or the last time. */
export async function noteAll(
  block: KnownBlock,
  kind: "added" | "removed",
  tally: ChangeTally,
  slices: Slices,
): Promise<void> {
  if (tally.paths === null) {
    tally[kind] += block.count;
    return;
  }
  const { listing } = columnsOf(block);
  for (let index = 0; index < block.count; index += 1) {
    if (slices.due()) await slices.pause();
    tally.note(kind, () => pathIn(block.path, nameAt(listing, index)));
  }
}

function blockOf(draft: Draft, smallFileBound: number): FileBlock {
  const { path, key, foreign, warnings } = draft.directory;
  const { listing, facts, count } = withoutVanished(draft);
  const racy = factColumns(facts, count).flags.some((flags) => (flags & RACY) !== 0);
  const block = { path, key, foreign, warnings, count, listing, facts, shared: draft.shared.all, racy };
  return { ...block, sums: sumUp(block, smallFileBound) };
}

function withoutVanished({ directory, columns, facts, vanished }: Draft): {
  readonly listing: Uint8Array;
  readonly facts: Uint8Array;
  readonly count: number;
} {
  const { listing, count } = directory;
  if (vanished.size === 0) return { listing, facts, count };
  const keep = Array.from({ length: count }, (_, index) => index).filter((index) => !vanished.has(index));
  const kept = ownBytes(FACT_BYTES * keep.length);
  const to = factColumns(kept, keep.length);
  for (const [at, index] of keep.entries()) {
    copyFacts(columns.facts, index, to, at);
    to.shared[at] = columns.facts.shared[index] ?? 0;
  }
  return { listing: pickListing(columns.listing, keep), facts: kept, count: keep.length };
}
