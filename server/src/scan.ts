import { lstatSync, readdirSync, realpathSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { foreignFormat, isDataFileName, isHiddenName } from "@tamp/core";
import { errno } from "./fs.ts";
import { type DirectoryFacts, pathIn } from "./inventory-block.ts";
import {
  createListingBuilder,
  type ListingBuilder,
  ODD_NAME,
  OTHER_DEVICE,
  ownBytes,
} from "./inventory-columns.ts";

export interface ScanRequest {
  /** The dataset root; it may be a link, what is below it not. */
  readonly root: string;
  /** Directories to list, relative to the root; `[""]` with `recursive` is the whole dataset. */
  readonly directories: readonly string[];
  readonly recursive: boolean;
}

/** Called with every directory and entry: a walk that goes on is told from one that hangs. */
type Beat = () => void;

/** One directory as listed, with the data files in it. */
export interface ScannedDirectory extends DirectoryFacts {
  /** `unchanged`: listed, found to be what was known, and its listing dropped. */
  readonly kind: "listed" | "unchanged" | "gone";
  /** Names and keys in turn, joined by NUL: sorted by name, and cheap to send however many there are. */
  readonly subdirectories: string;
  readonly count: number;
  readonly listing: Uint8Array<ArrayBuffer>;
}

/** A sub-directory: its path and its `key`. */
export interface Located {
  readonly path: string;
  readonly key: string;
}

export function subdirectoriesOf({ path, subdirectories }: ScannedDirectory): readonly Located[] {
  if (subdirectories === "") return [];
  const fields = subdirectories.split("\0");
  const found: Located[] = [];
  for (let at = 0; at + 1 < fields.length; at += 2)
    found.push({ path: pathIn(path, fields[at] ?? ""), key: fields[at + 1] ?? "" });
  return found;
}

/** A directory that a table format or a running job owns: relative to the root, or absolute above it. */
export interface ForeignHit {
  readonly directory: string;
  readonly format: string;
}

/** A part is sent once it has so many directories or so many bytes of listings. */
const DIRECTORIES_PER_PART = 256;
const BYTES_PER_PART = 2 ** 19;

/**
 * Blocks: for workers. Lists directories in name order and yields what it found in parts, so that no message is
 * long. Symlinks, hidden names and what is neither file nor directory are passed over; a directory that two
 * mounts show is visited once. What vanishes during the walk is as if it had never been there.
 */
export function* scan(request: ScanRequest, beat: Beat): Generator<readonly ScannedDirectory[]> {
  const rootDevice = statSync(request.root, { bigint: true, throwIfNoEntry: false })?.dev ?? null;
  const walk: Walk = { request, beat, rootDevice, visited: new Set(), builder: createListingBuilder() };
  const pending = [...request.directories].sort().reverse();
  let part: ScannedDirectory[] = [];
  let partBytes = 0;
  for (let path = pending.pop(); path !== undefined; path = pending.pop()) {
    const found = listDirectory(walk, path);
    if (found === null) continue;
    part.push(found);
    partBytes += found.listing.length;
    if (request.recursive)
      for (const directory of subdirectoriesOf(found).toReversed()) pending.push(directory.path);
    if (part.length < DIRECTORIES_PER_PART && partBytes < BYTES_PER_PART) continue;
    yield part;
    part = [];
    partBytes = 0;
  }
  yield part;
}

interface Walk {
  readonly request: ScanRequest;
  readonly beat: Beat;
  readonly rootDevice: bigint | null;
  readonly visited: Set<string>;
  readonly builder: ListingBuilder;
}

/** Null for a directory that was visited before under another name. */
function listDirectory(walk: Walk, path: string): ScannedDirectory | null {
  const absolute = absolutePath(walk.request.root, path);
  const listing: Listing = { path, absolute, data: [], others: [], odd: new Map(), below: [], warnings: [] };
  let key = "";
  walk.beat();
  try {
    const stat = path === "" ? statSync(absolute, { bigint: true }) : lstatSync(absolute, { bigint: true });
    if (!stat.isDirectory()) return gone(path);
    key = keyOf(stat);
    if (walk.visited.has(key)) return null;
    walk.visited.add(key);
    sortNames(listing, readdirSync(absolute));
    visitEntries(walk, listing);
  } catch (error) {
    if (isGone(error)) {
      walk.builder.finish();
      return gone(path);
    }
    listing.warnings.push(unseenText(path, errno(error)));
  }
  const warnings = [...listing.warnings, ...staleSummaries(listing)];
  const foreign = foreignFormat(listing.others);
  const subdirectories = listing.below.join("\0");
  return { path, kind: "listed", key, subdirectories, foreign, warnings, ...walk.builder.finish() };
}

const THE_ROOT = "the root";

function unseenText(path: string, code: string): string {
  return `${path || THE_ROOT} cannot be listed (${code}): its files are not seen`;
}

/** The directory that a warning says could not be listed; null where it says something else. */
export function unseenDirectory(warning: string): string | null {
  const [, path = null] = /^(.+) cannot be listed \(\w*\): its files are not seen$/s.exec(warning) ?? [];
  return path === THE_ROOT ? "" : path;
}

interface Listing {
  readonly path: string;
  readonly absolute: string;
  /** Names of data files, or of directories that are called like some. */
  readonly data: string[];
  /** All other names, hidden ones too: a mark of ownership is among these. */
  readonly others: string[];
  /** Data files whose name is not UTF-8, by the name that is shown: where they are. */
  readonly odd: Map<string, Buffer>;
  /** Names and keys of sub-directories in turn. */
  readonly below: string[];
  readonly warnings: string[];
}

function sortNames(listing: Listing, names: readonly string[]): void {
  for (const name of names) (isDataFileName(name) ? listing.data : listing.others).push(name);
  if (names.some((name) => name.includes(REPLACEMENT))) sortInvalidNames(listing);
  listing.data.sort();
}

/** In the order of names, of data files and of all directories. */
function visitEntries(walk: Walk, { absolute, data, others, odd, below }: Listing): void {
  const plain = others.filter((name) => !isHiddenName(name));
  const names = plain.length === 0 ? data : [...data, ...plain].sort();
  for (const [index, name] of names.entries()) {
    walk.beat();
    // Two names are one where the bytes of the other were lost in decoding.
    if (name === names[index - 1]) continue;
    const raw = odd.size === 0 ? undefined : odd.get(name);
    const stat = lstatSync(raw ?? `${absolute}/${name}`, { bigint: true, throwIfNoEntry: false });
    if (stat === undefined) continue;
    if (stat.isFile()) {
      const flags = (stat.dev === walk.rootDevice ? 0 : OTHER_DEVICE) | (raw === undefined ? 0 : ODD_NAME);
      if (isDataFileName(name)) walk.builder.add(name, stat, flags);
    } else if (stat.isDirectory() && raw === undefined) below.push(name, keyOf(stat));
  }
}

const REPLACEMENT = "\uFFFD";

/** Names that are not UTF-8 lose bytes when they are decoded: lists once more to tell them from real U+FFFD. */
function sortInvalidNames(listing: Listing): void {
  const taken = new Set([...listing.data, ...listing.others]);
  for (const raw of readdirSync(Buffer.from(listing.absolute), { encoding: "buffer" })) {
    const name = raw.toString("utf8");
    if (!name.includes(REPLACEMENT) || Buffer.from(name).equals(raw)) continue;
    const shown = escapeName(raw);
    const absolute = Buffer.concat([Buffer.from(`${listing.absolute}/`), raw]);
    const stat = lstatSync(absolute, { throwIfNoEntry: false });
    if (stat?.isDirectory()) {
      listing.warnings.push(`${pathIn(listing.path, shown)} is passed over: its name is not UTF-8`);
    } else if (stat?.isFile() && isDataFileName(name) && !taken.has(shown)) {
      listing.odd.set(shown, absolute);
      listing.data.push(shown);
    }
  }
}

/** `\xff` for every byte that is no printable ASCII. */
function escapeName(raw: Uint8Array): string {
  const shown = (byte: number): string =>
    byte < 0x20 || byte > 0x7e ? `\\x${byte.toString(16).padStart(2, "0")}` : String.fromCharCode(byte);
  return Array.from(raw, shown).join("");
}

function staleSummaries({ path, others }: Listing): readonly string[] {
  return others
    .filter((name) => name === "_metadata" || name === "_common_metadata")
    .map((name) => `${pathIn(path, name)} lists files by name and goes stale with any rewrite`);
}

function gone(path: string): ScannedDirectory {
  const nothing = { subdirectories: "", count: 0, listing: ownBytes(0) };
  return { path, kind: "gone", key: "", foreign: null, warnings: [], ...nothing };
}

function isGone(error: unknown): boolean {
  return ["ENOENT", "ENOTDIR", "ELOOP"].includes(errno(error));
}

function keyOf(stat: { readonly dev: bigint; readonly ino: bigint }): string {
  return `${stat.dev}:${stat.ino}`;
}

export function absolutePath(root: string, path: string): string {
  return path === "" ? root : join(root, path);
}

/** What marks a directory as owned, whatever else it holds; ancestors are asked for these names alone. */
const OWNER_MARKS = [
  "_delta_log",
  ".hoodie",
  "_spark_metadata",
  "_symlink_format_manifest",
  "_versions",
  "_temporary",
  "snapshot",
  "manifest",
];

/**
 * Blocks: for workers. Owners above the root: an Iceberg table at `T` owns a root `T/data`, also where the root is
 * reached through a link.
 */
export function foreignAncestors(root: string): readonly ForeignHit[] {
  const hits: ForeignHit[] = [];
  for (let path = dirname(realOr(root)); ; path = dirname(path)) {
    const present = OWNER_MARKS.filter((name) => exists(join(path, name)));
    const format = foreignFormat(present) ?? foreignFormat(icebergNames(path));
    if (format !== null) hits.push({ directory: path, format });
    if (path === dirname(path)) return hits;
  }
}

function realOr(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}

function icebergNames(path: string): readonly string[] {
  try {
    const names = readdirSync(join(path, "metadata"));
    return names.filter((name) => name === "version-hint.text" || name.endsWith(".metadata.json"));
  } catch {
    return [];
  }
}

function exists(path: string): boolean {
  try {
    return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
  } catch {
    return false;
  }
}
