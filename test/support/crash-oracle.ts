import type { JournalRecord } from "@tamp/core";
import { rowsOf } from "./memory-engine.ts";
import { type FileNode, find, type Image, type Node } from "./memory-fs.ts";
import { HOME, type Outcome, ROOT, USERS } from "./memory-machine.ts";

/** What must hold of a dataset, whatever happens to the process and to the power. */
export interface Truth {
  /** In at least one listed file at every moment; in exactly one once nothing is under way. */
  readonly sure: ReadonlySet<string>;
  /** Rows of a file that somebody else deleted or wrote over: in one listed file at most, at rest. */
  readonly loose: ReadonlySet<string>;
  /** Rows that somebody else just wrote under a name of ours: on the disk at every moment, listed at rest. */
  readonly guests: ReadonlySet<string>;
  /** Files that nobody may destroy or change, live or retained: inode → what it holds. */
  readonly kept: ReadonlyMap<number, Pick<FileNode, "text" | "mtime">>;
  /** Names below the root that keep their inode. */
  readonly unrelated: ReadonlyMap<string, number>;
  /** Names below the root that files may have beside those of outputs. */
  readonly names: ReadonlySet<string>;
  /** Sources that the latest run rewrites together: at rest either all of them are live, or none. */
  readonly groups: readonly (readonly Source[])[];
  /** To these files every published run must be undoable, the latest first; null: not asked. */
  readonly originals: ReadonlyMap<string, number> | null;
  /** Somebody else interfered, or renames are torn: a group may stay as it is, reported as quarantined. */
  readonly mayQuarantine: boolean;
  /** Files of ours that nothing needs any more may still lie in the workspace: what failed is cleaned later. */
  readonly mayLeave: boolean;
}

export interface Source {
  readonly path: string;
  readonly inode: number;
}

/** Everything that was on the disk before the first operation, taken as the truth. */
export function truthOf(image: Image): Truth {
  const files = [...listedFiles(image)];
  return {
    sure: new Set(files.flatMap(([, { node }]) => rowsOf(node.text) ?? [])),
    loose: new Set(),
    guests: new Set(),
    kept: new Map(files.map(([, { inode, node }]) => [inode, { text: node.text, mtime: node.mtime }])),
    unrelated: new Map(),
    names: new Set(files.map(([path]) => path)),
    groups: [],
    originals: new Map(files.map(([path, { inode }]) => [path, inode])),
    mayQuarantine: false,
    mayLeave: false,
  };
}

export interface Listed {
  readonly inode: number;
  readonly node: FileNode;
}

/** Every file below the root, by its path there. */
export function listedFiles(image: Pick<Image, "nodes">): ReadonlyMap<string, Listed> {
  return filesBelow(image, ROOT);
}

export function filesBelow({ nodes }: Pick<Image, "nodes">, folder: string): ReadonlyMap<string, Listed> {
  const files = new Map<string, Listed>();
  const visit = (inode: number | null, prefix: string): void => {
    const node = inode === null ? undefined : nodes.get(inode);
    if (node?.kind === "file") files.set(prefix, { inode: inode as number, node });
    if (node?.kind !== "folder") return;
    for (const [name, child] of node.names) visit(child, prefix === "" ? name : `${prefix}/${name}`);
  };
  visit(find({ nodes }, folder), "");
  return files;
}

/** What a moment breaks, in words; null where nothing. */
export function problemNow(image: Image, truth: Truth): string | null {
  const listed = listedFiles(image);
  const counts = rowCounts(listed);
  if (typeof counts === "string") return counts;
  for (const row of truth.sure) if (!counts.has(row)) return `row ${row} is in no listed file`;
  return problemOfKept(image, truth);
}

/** Rows of the listed files, or which of them is not whole or not as readable as its sources. */
function rowCounts(listed: ReadonlyMap<string, Listed>): ReadonlyMap<string, number> | string {
  const counts = new Map<string, number>();
  for (const [path, { node }] of listed) {
    if (!path.endsWith(".parquet")) continue;
    const rows = rowsOf(node.text);
    if (rows === null) return `${path} is listed and not whole: ${JSON.stringify(node.text)}`;
    if (node.mode !== USERS.mode || node.uid !== USERS.uid) return `${path} has another mode or owner`;
    for (const row of rows) counts.set(row, (counts.get(row) ?? 0) + 1);
  }
  return counts;
}

function problemOfKept({ nodes }: Image, truth: Truth): string | null {
  const named = new Map<number, Node>();
  const rows = new Set<string>();
  const visit = (inode: number): void => {
    const node = nodes.get(inode);
    if (node === undefined) return;
    named.set(inode, node);
    if (node.kind === "folder") for (const child of node.names.values()) visit(child);
    else if (truth.guests.size > 0) for (const row of rowsOf(node.text) ?? []) rows.add(row);
  };
  visit(1);
  for (const [inode, { text, mtime }] of truth.kept) {
    const node = named.get(inode);
    if (node?.kind !== "file") return `the original with inode ${inode} (${text}) has no name left`;
    if (node.text !== text || node.mtime !== mtime) return `the original with inode ${inode} was changed`;
  }
  for (const row of truth.guests)
    if (!rows.has(row)) return `row ${row} of somebody else is nowhere on the disk`;
  return null;
}

/** What is wrong once an operation has ended and recovery has run. */
export function problemAtRest(image: Image, truth: Truth, { recovered, error }: Outcome): string | null {
  if (error !== null) return `recovery failed: ${error instanceof Error ? error.stack : String(error)}`;
  const stuck = recovered.find(({ action }) => action === "quarantine");
  if (stuck !== undefined && !truth.mayQuarantine) return `quarantined: ${stuck.detail}`;
  const now = problemNow(image, truth);
  if (now !== null) return now;
  const listed = listedFiles(image);
  for (const [path, inode] of truth.unrelated) {
    if (listed.get(path)?.inode !== inode) return `${path} is not the file that stood there`;
  }
  for (const path of listed.keys()) {
    if (!truth.names.has(path) && !OUTPUT.test(path)) return `${path} does not belong in the dataset`;
  }
  return stuck === undefined ? problemOfRest(image, truth, listed) : null;
}

const OUTPUT = /(?:^|\/)compacted-[0-9a-z]+-\d{4}\.parquet$/;

function problemOfRest(image: Image, truth: Truth, listed: ReadonlyMap<string, Listed>): string | null {
  const counts = rowCounts(listed) as ReadonlyMap<string, number>;
  for (const row of [...truth.sure, ...truth.guests]) {
    if (counts.get(row) !== 1) return `row ${row} is in ${counts.get(row) ?? 0} listed files`;
  }
  for (const [row, count] of counts) {
    const known = truth.sure.has(row) || truth.guests.has(row) || truth.loose.has(row);
    if (!known) return `row ${row} came from nowhere`;
    if (count > 1) return `row ${row} is in ${count} listed files`;
  }
  for (const group of truth.groups) {
    const live = group.filter(({ path, inode }) => listed.get(path)?.inode === inode);
    if (live.length > 0 && live.length < group.length)
      return `${live.length} of ${group.length} sources of a group`;
  }
  return truth.mayLeave || truth.mayQuarantine ? null : leftover(image);
}

/** A file of ours that nothing needs any more. */
function leftover(image: Image): string | null {
  for (const path of filesBelow(image, HOME).keys()) {
    if (!path.startsWith("runs/")) return `${path} was left behind`;
  }
  for (const path of filesBelow(image, `${HOME}/runs`).keys()) {
    if (path.endsWith("/journal.json")) continue;
    const state = path.includes("/trash/")
      ? journalAt(image, path.slice(0, path.indexOf("/trash/")))?.state
      : null;
    if (state !== "RETIRED") return `${path} was left behind`;
  }
  return null;
}

/** The record in a group's folder, given below `runs`. */
function journalAt(image: Image, folder: string): JournalRecord | null {
  const inode = find(image, `${HOME}/runs/${folder}/journal.json`);
  const node = inode === null ? undefined : image.nodes.get(inode);
  return node?.kind === "file" ? JSON.parse(node.text.split("\n")[1] ?? "null") : null;
}

/** Whether a group of some run is published, so that undo must give its originals back. */
export function canUndo(image: Image): boolean {
  for (const [path, { node }] of filesBelow(image, `${HOME}/runs`)) {
    if (path.endsWith("/journal.json") && node.text.includes('"state":"RETIRED"')) return true;
  }
  return false;
}
