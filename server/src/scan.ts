import { lstatSync, readdirSync, realpathSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { foreignFormat, isDataFileName, isHiddenName } from "@tamp/core";
import { type Stamp, stampOf } from "./footer.ts";
import { errno } from "./fs.ts";

export interface ScanRequest {
  /** The dataset root; it may be a link, what is below it not. */
  readonly root: string;
  /** Directories to list, relative to the root; `[""]` with `recursive` is the whole dataset. */
  readonly directories: readonly string[];
  readonly recursive: boolean;
  /** The scanning clock: a time of modification beyond it is not believed. */
  readonly nowMs: number;
}

/** Called with every entry: a walk that goes on is told from one that hangs. */
type Beat = () => void;

/** A data file as listed. */
export interface ScannedFile {
  /** Relative to the root, with `/`. */
  readonly path: string;
  readonly stamp: Stamp;
  readonly changedMs: number;
  /** A mount lies between the root and this file. */
  readonly otherDevice: boolean;
  /** Why this name cannot be handled at all, or null. */
  readonly unsupported: string | null;
}

/** One directory as listed. `key` is its device and inode. */
export interface ScannedDirectory {
  readonly path: string;
  readonly kind: "listed" | "gone";
  readonly key: string;
  readonly subdirectories: readonly { readonly path: string; readonly key: string }[];
  /** The table format or job that owns this directory by its entries, or null. */
  readonly foreign: string | null;
  readonly warnings: readonly string[];
}

export interface ScanPart {
  readonly directories: readonly ScannedDirectory[];
  readonly files: readonly ScannedFile[];
}

/** A directory that a table format or a running job owns: relative to the root, or absolute above it. */
export interface ForeignHit {
  readonly directory: string;
  readonly format: string;
}

const ENTRIES_PER_PART = 2000;

/**
 * Blocks: for workers. Lists directories in name order and yields what it found in parts, so that no message is
 * long. Symlinks, hidden names and what is neither file nor directory are passed over; a directory that two
 * mounts show is visited once. What vanishes during the walk is as if it had never been there.
 */
export function* scan(request: ScanRequest, beat: Beat): Generator<ScanPart> {
  const rootDevice = statSync(request.root, { bigint: true, throwIfNoEntry: false })?.dev.toString() ?? "";
  const walk: Walk = { request, beat, rootDevice, visited: new Set(), directories: [], files: [] };
  const pending = [...request.directories].sort().reverse();
  for (let path = pending.pop(); path !== undefined; path = pending.pop()) {
    const found = listDirectory(walk, path);
    if (found === null) continue;
    walk.directories.push(found);
    for (const directory of request.recursive ? found.subdirectories.toReversed() : [])
      pending.push(directory.path);
    while (Math.max(walk.files.length, walk.directories.length) >= ENTRIES_PER_PART) {
      yield { directories: walk.directories.splice(0), files: walk.files.splice(0, ENTRIES_PER_PART) };
    }
  }
  yield { directories: walk.directories, files: walk.files };
}

interface Walk {
  readonly request: ScanRequest;
  readonly beat: Beat;
  readonly rootDevice: string;
  readonly visited: Set<string>;
  readonly directories: ScannedDirectory[];
  readonly files: ScannedFile[];
}

/** Null for a directory that was visited before under another name. */
function listDirectory(walk: Walk, path: string): ScannedDirectory | null {
  const absolute = absolutePath(walk.request.root, path);
  const warnings: string[] = [];
  const listing: Listing = { path, absolute, names: [], subdirectories: [], warnings };
  let key = "";
  try {
    const stat = path === "" ? statSync(absolute, { bigint: true }) : lstatSync(absolute, { bigint: true });
    if (!stat.isDirectory()) return gone(path);
    key = keyOf(stat);
    if (walk.visited.has(key)) return null;
    walk.visited.add(key);
    for (const entry of readdirSync(absolute, { withFileTypes: true })) {
      walk.beat();
      listing.names.push(entry.name);
      if (entry.isFile() || entry.isDirectory()) visitEntry(walk, listing, entry.name);
    }
  } catch (error) {
    if (isGone(error)) return gone(path);
    warnings.push(`${path || "the root"} cannot be listed (${errno(error)}): its files are not seen`);
  }
  if (listing.names.some((name) => name.includes(REPLACEMENT))) visitInvalidNames(walk, listing);
  warnings.push(...staleSummaries(listing));
  const subdirectories = listing.subdirectories.sort((a, b) => (a.path < b.path ? -1 : 1));
  return { path, kind: "listed", key, subdirectories, foreign: foreignFormat(listing.names), warnings };
}

interface Listing {
  readonly path: string;
  readonly absolute: string;
  readonly names: string[];
  readonly subdirectories: { path: string; key: string }[];
  readonly warnings: string[];
}

function visitEntry(walk: Walk, listing: Listing, name: string): void {
  if (isHiddenName(name)) return;
  const path = listing.path === "" ? name : `${listing.path}/${name}`;
  const absolute = `${listing.absolute}/${name}`;
  const stat = lstatSync(absolute, { bigint: true, throwIfNoEntry: false });
  if (stat?.isDirectory()) listing.subdirectories.push({ path, key: keyOf(stat) });
  else if (stat?.isFile() && isDataFileName(name))
    walk.files.push(scannedFile(walk, path, stampOf(stat), null));
}

function scannedFile(walk: Walk, path: string, stamp: Stamp, unsupported: string | null): ScannedFile {
  const otherDevice = stamp.device !== walk.rootDevice;
  return { path, stamp, changedMs: changedMs(stamp, walk.request.nowMs), otherDevice, unsupported };
}

/** The later of mtime and ctime; an mtime in the future was set by hand and says nothing. */
export function changedMs(stamp: Stamp, nowMs: number): number {
  const modified = milliseconds(stamp.mtimeNs);
  const touched = milliseconds(stamp.ctimeNs);
  return modified > nowMs ? touched : Math.max(modified, touched);
}

/** Rounds up: a file is never taken for older than it is. */
function milliseconds(nanoseconds: string): number {
  return Math.ceil(Number(nanoseconds) / 1e6);
}

const REPLACEMENT = "\uFFFD";

/** Names that are not UTF-8 lose bytes when they are decoded: lists once more to tell them from real U+FFFD. */
function visitInvalidNames(walk: Walk, listing: Listing): void {
  const taken = new Set(listing.names);
  for (const raw of readdirSync(Buffer.from(listing.absolute), { encoding: "buffer" })) {
    const name = raw.toString("utf8");
    if (!name.includes(REPLACEMENT) || Buffer.from(name).equals(raw)) continue;
    const shown = escapeName(raw);
    const path = listing.path === "" ? shown : `${listing.path}/${shown}`;
    const absolute = Buffer.concat([Buffer.from(`${listing.absolute}/`), raw]);
    const stat = lstatSync(absolute, { bigint: true, throwIfNoEntry: false });
    if (stat?.isDirectory()) listing.warnings.push(`${path} is passed over: its name is not UTF-8`);
    else if (stat?.isFile() && isDataFileName(name) && !taken.has(shown)) {
      walk.files.push(scannedFile(walk, path, stampOf(stat), "its name is not UTF-8"));
    }
  }
}

/** `\xff` for every byte that is no printable ASCII. */
function escapeName(raw: Uint8Array): string {
  const shown = (byte: number): string =>
    byte < 0x20 || byte > 0x7e ? `\\x${byte.toString(16).padStart(2, "0")}` : String.fromCharCode(byte);
  return Array.from(raw, shown).join("");
}

function staleSummaries({ path, names }: Listing): readonly string[] {
  return names
    .filter((name) => name === "_metadata" || name === "_common_metadata")
    .map(
      (name) =>
        `${path === "" ? name : `${path}/${name}`} lists files by name and goes stale with any rewrite`,
    );
}

function gone(path: string): ScannedDirectory {
  return { path, kind: "gone", key: "", subdirectories: [], foreign: null, warnings: [] };
}

function isGone(error: unknown): boolean {
  return ["ENOENT", "ENOTDIR", "ELOOP"].includes(errno(error));
}

function keyOf(stat: { readonly dev: bigint; readonly ino: bigint }): string {
  return `${stat.dev}:${stat.ino}`;
}

function absolutePath(root: string, path: string): string {
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
