import { type DataFile, partitionOf } from "@tamp/core";
import type { Stamp } from "./footer.ts";
import type { DatasetScan } from "./inventory-scan.ts";
import type { ForeignHit, ScannedFile } from "./scan.ts";

/** A data file with the stat that its facts were read at. */
export interface KnownFile {
  readonly file: DataFile;
  readonly stamp: Stamp;
  /** Read so soon after its last change that a later change may have left the same times. */
  readonly racy: boolean;
}

export interface KnownDirectory {
  readonly path: string;
  /** Device and inode. */
  readonly key: string;
  readonly foreign: string | null;
  readonly warnings: readonly string[];
  readonly files: Map<string, KnownFile>;
}

/** What a scan says against what was known, before any footer is read. */
export interface Comparison {
  readonly rootMissing: boolean;
  readonly directories: readonly KnownDirectory[];
  readonly goneDirectories: readonly string[];
  readonly removed: readonly string[];
  /** Files whose footer need not be read, where something else of them is new. */
  readonly kept: readonly { readonly path: string; readonly known: KnownFile }[];
  readonly toRead: readonly ScannedFile[];
  /** Null where the scan did not look above the root. */
  readonly ancestors: readonly ForeignHit[] | null;
}

export function compareScan(
  known: ReadonlyMap<string, KnownDirectory>,
  scan: DatasetScan,
  ownTouched: ReadonlySet<string>,
): Comparison {
  const listed = scan.directories.filter((directory) => directory.kind === "listed");
  const goneDirectories = goneOf(known, scan);
  const seen = new Set(scan.files.map((file) => file.path));
  const toRead: ScannedFile[] = [];
  const kept: { path: string; known: KnownFile }[] = [];
  for (const file of scan.files) {
    const before = known.get(partitionOf(file.path))?.files.get(file.path);
    const verdict = judge(before, file, ownTouched);
    if (verdict === "read") toRead.push(file);
    else if (verdict !== null) kept.push({ path: file.path, known: verdict });
  }
  const removed = [...goneDirectories, ...listed.map((directory) => directory.path)].flatMap((directory) =>
    [...(known.get(directory)?.files.keys() ?? [])].filter((path) => !seen.has(path)),
  );
  return {
    rootMissing: scan.rootMissing,
    directories: listed.map((directory) => ({ ...directory, files: new Map() })),
    goneDirectories,
    removed,
    kept,
    toRead,
    ancestors: scan.whole ? scan.ancestors : null,
  };
}

/** Directories that a listing of their parent, or of the whole dataset, no longer has. */
function goneOf(known: ReadonlyMap<string, KnownDirectory>, scan: DatasetScan): readonly string[] {
  const listed = new Set<string>();
  const gone = new Set<string>();
  const present = new Set<string>();
  for (const directory of scan.directories) {
    (directory.kind === "gone" ? gone : listed).add(directory.path);
    for (const { path } of directory.subdirectories) present.add(path);
  }
  for (const path of scan.duplicates) gone.add(path);
  const isGone = (path: string): boolean => {
    if (gone.has(path)) return true;
    if (listed.has(path)) return false;
    if (scan.whole) return true;
    if (path === "") return false;
    const parent = partitionOf(path);
    return listed.has(parent) ? !present.has(path) : isGone(parent);
  };
  return [...known.keys()].filter(isGone);
}

/** Null where nothing is new, `read` where the footer must be read, or what is known now without reading it. */
function judge(
  before: KnownFile | undefined,
  file: ScannedFile,
  ownTouched: ReadonlySet<string>,
): KnownFile | "read" | null {
  if (file.unsupported !== null) return unsupported(file, file.unsupported);
  if (before === undefined || before.racy || !sameContent(before.stamp, file.stamp)) return "read";
  if (before.stamp.ctimeNs === file.stamp.ctimeNs) return null;
  // A ctime alone moves with links and permissions, but also where `touch -d` or `cp -p` hid a change.
  return ownTouched.has(file.path) ? touched(before, file) : "read";
}

function sameContent(a: Stamp, b: Stamp): boolean {
  return (
    a.sizeBytes === b.sizeBytes && a.mtimeNs === b.mtimeNs && a.inode === b.inode && a.device === b.device
  );
}

function touched({ file, racy }: KnownFile, { stamp, changedMs }: ScannedFile): KnownFile {
  const fresh: DataFile =
    file.kind === "readable"
      ? { kind: "readable", stats: { ...file.stats, changedMs } }
      : { kind: "unreadable", file: { ...file.file, changedMs } };
  return { file: fresh, stamp, racy };
}

function unsupported({ path, stamp, changedMs, otherDevice }: ScannedFile, detail: string): KnownFile {
  const { sizeBytes, mtimeNs, inode } = stamp;
  const facts = { path, sizeBytes, mtimeNs, inode, otherDevice, changedMs };
  const file = { ...facts, reason: "unsupported" as const, detail };
  return { file: { kind: "unreadable", file }, stamp, racy: false };
}

const TICK_MS = 20;
const WHOLE_SECONDS_MS = 2_000;

/**
 * Whether a write right after this read could leave the same times: the kernel's clock for files moves in ticks
 * of up to 10 ms, and some file systems keep whole seconds only.
 */
export function isRacy(stamp: Stamp, readMs: number): boolean {
  const grain = stamp.ctimeNs.endsWith("000000000") ? WHOLE_SECONDS_MS : TICK_MS;
  const latest = Math.max(Number(stamp.ctimeNs), Number(stamp.mtimeNs)) / 1e6;
  const written = latest > readMs + WHOLE_SECONDS_MS ? Number(stamp.ctimeNs) / 1e6 : latest;
  return written > readMs - grain;
}
