import type { Entry, PublicationFs } from "../../server/src/fs.ts";

/**
 * A file system in memory that tells apart what any process sees from what would survive a power cut. A file's bytes,
 * size, times, mode and owner last once the file was fsynced; a change of a name lasts once its directory was
 * fsynced after it, and a rename for certain only once both directories were. `memory-power.ts` says what may be
 * lost. Images are values: a run is looked at in each of its moments, and any of them can be gone on from.
 */
export interface Image {
  readonly nodes: ReadonlyMap<number, Node>;
  /** Changes of names that are not certain to last, oldest first. */
  readonly pending: readonly Change[];
  readonly nextInode: number;
  /** Nanoseconds of the file system's clock: each change takes one. */
  readonly ticks: number;
}

export type Node = FileNode | FolderNode;

export interface FileNode extends Durable {
  readonly kind: "file";
  readonly ctime: number;
  /** As of the last fsync; null where there was none. */
  readonly saved: Durable | null;
}

/** What an fsync of a file makes last. */
export interface Durable {
  readonly text: string;
  readonly mtime: number;
  readonly mode: number;
  readonly uid: number;
}

export interface FolderNode {
  readonly kind: "folder";
  readonly names: ReadonlyMap<string, number>;
  /** The names that are certain to last. */
  readonly saved: ReadonlyMap<string, number>;
}

/** One change of a directory entry, or the two of a rename, which happen together. */
export interface Change {
  readonly parts: readonly ChangePart[];
}

export interface ChangePart {
  readonly folder: number;
  readonly name: string;
  /** What the name holds from then on; null: nothing. */
  readonly inode: number | null;
  /** The folder was fsynced after it. */
  readonly synced: boolean;
}

/** An image that is being changed. */
export interface Disk {
  readonly nodes: Map<number, Node>;
  pending: readonly Change[];
  nextInode: number;
  ticks: number;
  /** Smallest free inode first, as file systems do that hand out the number of a deleted file at once. */
  readonly reusesInodes: boolean;
  /** Called after every change that a process could die behind. */
  onChange: () => void;
}

export const TOP_INODE = 1;
export const DEVICE = "77";
const OWN_UID = process.getuid?.() ?? 0;

export function emptyImage(): Image {
  const top: FolderNode = { kind: "folder", names: new Map(), saved: new Map() };
  return { nodes: new Map([[TOP_INODE, top]]), pending: [], nextInode: TOP_INODE + 1, ticks: 1_000 };
}

export function diskOf(image: Image, reusesInodes = false): Disk {
  return { ...image, nodes: new Map(image.nodes), reusesInodes, onChange: () => {} };
}

export function imageOf({ nodes, pending, nextInode, ticks }: Disk): Image {
  return { nodes: new Map(nodes), pending, nextInode, ticks };
}

/** Everything that ever happened on the disk lasts from now on. */
export function settle(disk: Disk): void {
  disk.pending = [];
  for (const [inode, node] of disk.nodes) disk.nodes.set(inode, savedNode(node));
}

function savedNode(node: Node): Node {
  if (node.kind === "folder") return { ...node, saved: node.names };
  const { text, mtime, mode, uid } = node;
  return { ...node, saved: { text, mtime, mode, uid } };
}

const splits = new Map<string, readonly string[]>();

function componentsOf(path: string): readonly string[] {
  const known = splits.get(path);
  if (known !== undefined) return known;
  const parts = path.split("/").filter((part) => part !== "");
  if (splits.size > 20_000) splits.clear();
  splits.set(path, parts);
  return parts;
}

/** The inode of a path; null where nothing is. */
export function find(disk: Pick<Image, "nodes">, path: string): number | null {
  return walk(disk, componentsOf(path));
}

function walk(
  { nodes }: Pick<Image, "nodes">,
  parts: readonly string[],
  count = parts.length,
): number | null {
  let inode = TOP_INODE;
  for (let index = 0; index < count; index += 1) {
    const node = nodes.get(inode);
    const next = node?.kind === "folder" ? node.names.get(parts[index] as string) : undefined;
    if (next === undefined) return null;
    inode = next;
  }
  return inode;
}

/** Node's error for a call that failed; without a stack, which costs more than the call. */
export function failure(code: string, call: string, path: string): Error {
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = 0;
  const error = Object.assign(new Error(`${code}: ${call} '${path}'`), { code });
  Error.stackTraceLimit = stackTraceLimit;
  return error;
}

/** The folder that holds a path's last name, and that name. */
function placeOf(disk: Disk, call: string, path: string): { readonly folder: number; readonly name: string } {
  const parts = componentsOf(path);
  const folder = walk(disk, parts, parts.length - 1);
  const name = parts.at(-1);
  if (folder === null || name === undefined) throw failure("ENOENT", call, path);
  if (disk.nodes.get(folder)?.kind !== "folder") throw failure("ENOTDIR", call, path);
  return { folder, name };
}

function existing(disk: Disk, call: string, path: string): number {
  const inode = find(disk, path);
  if (inode === null) throw failure("ENOENT", call, path);
  return inode;
}

function fileAt(disk: Disk, call: string, path: string): readonly [number, FileNode] {
  const inode = existing(disk, call, path);
  const node = disk.nodes.get(inode);
  if (node?.kind !== "file") throw failure("EISDIR", call, path);
  return [inode, node];
}

function rename(disk: Disk, parts: readonly Omit<ChangePart, "synced">[]): void {
  for (const { folder, name, inode } of parts) {
    const node = disk.nodes.get(folder) as FolderNode;
    const names = new Map(node.names);
    if (inode === null) names.delete(name);
    else names.set(name, inode);
    disk.nodes.set(folder, { ...node, names });
  }
  disk.pending = [...disk.pending, { parts: parts.map((part) => ({ ...part, synced: false })) }];
  disk.onChange();
}

function update(disk: Disk, inode: number, change: Partial<FileNode>): void {
  const node = disk.nodes.get(inode);
  disk.ticks += 1;
  if (node?.kind === "file") disk.nodes.set(inode, { ...node, ctime: disk.ticks, ...change });
}

function newInode(disk: Disk, node: Node): number {
  let inode = disk.nextInode;
  if (disk.reusesInodes) {
    const used = usedInodes(disk);
    for (inode = TOP_INODE + 1; used.has(inode); ) inode += 1;
  }
  disk.nextInode = Math.max(disk.nextInode, inode + 1);
  disk.nodes.set(inode, node);
  return inode;
}

/** Inodes that a name holds, or may hold again after a power cut. */
function usedInodes({ nodes, pending }: Disk): ReadonlySet<number> {
  const used = new Set<number>();
  for (const node of nodes.values()) {
    if (node.kind === "folder")
      for (const names of [node.names, node.saved]) for (const i of names.values()) used.add(i);
  }
  for (const { parts } of pending) for (const { inode } of parts) if (inode !== null) used.add(inode);
  return used;
}

export function createFile(disk: Disk, path: string): void {
  const { folder, name } = placeOf(disk, "open", path);
  if (find(disk, path) !== null) throw failure("EEXIST", "open", path);
  disk.ticks += 1;
  const blank = { text: "", mtime: disk.ticks, ctime: disk.ticks, mode: 0o600, uid: 0, saved: null };
  const inode = newInode(disk, { kind: "file", ...blank });
  rename(disk, [{ folder, name, inode }]);
}

/** Gives a file another mode and owner. */
export function giveFile(disk: Disk, path: string, given: Pick<FileNode, "mode" | "uid">): void {
  update(disk, fileAt(disk, "chmod", path)[0], given);
}

/** Replaces a file's bytes in place. */
export function writeFile(disk: Disk, path: string, text: string): void {
  const [inode] = fileAt(disk, "write", path);
  update(disk, inode, { text, mtime: disk.ticks + 1 });
  disk.onChange();
}

export function readFile(disk: Disk, path: string): string {
  return fileAt(disk, "read", path)[1].text;
}

export function makeFolder(disk: Disk, path: string): void {
  const { folder, name } = placeOf(disk, "mkdir", path);
  if (find(disk, path) !== null) throw failure("EEXIST", "mkdir", path);
  const inode = newInode(disk, { kind: "folder", names: new Map(), saved: new Map() });
  rename(disk, [{ folder, name, inode }]);
}

export function linkFile(disk: Disk, from: string, to: string): void {
  const [inode] = fileAt(disk, "link", from);
  const { folder, name } = placeOf(disk, "link", to);
  if (find(disk, to) !== null) throw failure("EEXIST", "link", to);
  update(disk, inode, {});
  rename(disk, [{ folder, name, inode }]);
}

/** Overwrites; onto another link of the same inode it succeeds and does nothing, as POSIX has it. */
export function renameFile(disk: Disk, from: string, to: string): void {
  const [inode] = fileAt(disk, "rename", from);
  const source = placeOf(disk, "rename", from);
  const target = placeOf(disk, "rename", to);
  const replaced = find(disk, to);
  if (replaced === inode) return;
  if (replaced !== null && disk.nodes.get(replaced)?.kind === "folder") throw failure("EISDIR", "rename", to);
  update(disk, inode, {});
  rename(disk, [
    { ...source, inode: null },
    { ...target, inode },
  ]);
}

export function unlinkFile(disk: Disk, path: string): void {
  const [inode] = fileAt(disk, "unlink", path);
  update(disk, inode, {});
  rename(disk, [{ ...placeOf(disk, "unlink", path), inode: null }]);
}

function removeFolder(disk: Disk, path: string): void {
  const node = disk.nodes.get(existing(disk, "rmdir", path));
  if (node?.kind !== "folder") throw failure("ENOTDIR", "rmdir", path);
  if (node.names.size > 0) throw failure("ENOTEMPTY", "rmdir", path);
  rename(disk, [{ ...placeOf(disk, "rmdir", path), inode: null }]);
}

export function syncPath(disk: Disk, path: string): void {
  const inode = existing(disk, "fsync", path);
  const node = disk.nodes.get(inode);
  if (node?.kind === "file") disk.nodes.set(inode, savedNode(node));
  else syncFolder(disk, inode);
}

/**
 * A change lasts once all of its folders were synced after it, or once a later change of the same name does. What
 * happened in a folder that no name can bring back is forgotten.
 */
function syncFolder(disk: Disk, folder: number): void {
  if (!disk.pending.some(({ parts }) => parts.some((part) => part.folder === folder))) return;
  const marked = disk.pending.map(({ parts }) => ({
    parts: parts.map((part) => (part.folder === folder ? { ...part, synced: true } : part)),
  }));
  const lasting = new Set<string>();
  const lasts = new Set<Change>();
  for (const change of marked.toReversed()) {
    const keys = change.parts.map(keyOfName);
    if (!change.parts.every(({ synced }) => synced) && !keys.some((key) => lasting.has(key))) continue;
    lasts.add(change);
    for (const key of keys) lasting.add(key);
  }
  for (const change of marked) {
    if (lasts.has(change)) for (const part of change.parts) saveName(disk.nodes, part);
  }
  disk.pending = withoutDeadFolders(
    disk,
    marked.filter((change) => !lasts.has(change)),
  );
}

function withoutDeadFolders({ nodes }: Disk, pending: readonly Change[]): readonly Change[] {
  const live = new Set<number>();
  const visit = (inode: number): void => {
    const node = nodes.get(inode);
    if (node?.kind !== "folder" || live.has(inode)) return;
    live.add(inode);
    for (const names of [node.names, node.saved]) for (const child of names.values()) visit(child);
    for (const { parts } of pending) {
      for (const part of parts) if (part.folder === inode && part.inode !== null) visit(part.inode);
    }
  };
  visit(TOP_INODE);
  return pending.flatMap((change) => {
    const parts = change.parts.filter(({ folder }) => live.has(folder));
    return parts.length === change.parts.length ? [change] : parts.length > 0 ? [{ parts }] : [];
  });
}

export function keyOfName({ folder, name }: Pick<ChangePart, "folder" | "name">): string {
  return `${folder}/${name}`;
}

/** Gives a name what it holds after a power cut. */
export function saveName(nodes: Map<number, Node>, { folder, name, inode }: ChangePart): void {
  const node = nodes.get(folder);
  if (node?.kind !== "folder") return;
  const saved = new Map(node.saved);
  if (inode === null) saved.delete(name);
  else saved.set(name, inode);
  nodes.set(folder, { ...node, saved });
}

/** What becomes of a call: carried out, failed before or after it took effect, or carried out some turns later. */
export type Verdict =
  | { readonly kind: "go" }
  | { readonly kind: "fail"; readonly code: string; readonly when: "before" | "after" }
  | { readonly kind: "later"; readonly turns: number };

export type Gate = (call: keyof PublicationFs, path: string) => Verdict;

export const GO: Verdict = { kind: "go" };

/** The port over a disk. Calls take effect whole and at once, but for `writeNew`, which is three. */
export function memoryFs(disk: Disk, gate: Gate = () => GO): PublicationFs {
  const call = async <T>(name: keyof PublicationFs, path: string, effect: () => T): Promise<T> => {
    const verdict = gate(name, path);
    if (verdict.kind === "later") for (let turn = 0; turn < verdict.turns; turn += 1) await null;
    if (verdict.kind !== "fail") return effect();
    if (verdict.when === "after") effect();
    throw failure(verdict.code, name, path);
  };
  return {
    lstat: (path) => call("lstat", path, () => entryOf(disk, path)),
    readdir: (path) =>
      call("readdir", path, () => {
        const node = disk.nodes.get(existing(disk, "readdir", path));
        if (node?.kind !== "folder") throw failure("ENOTDIR", "readdir", path);
        return [...node.names.keys()];
      }),
    readText: (path) => call("readText", path, () => readFile(disk, path)),
    writeNew: (path, text) =>
      call("writeNew", path, () => {
        createFile(disk, path);
        writeFile(disk, path, text);
        syncPath(disk, path);
      }),
    mkdir: (path) => call("mkdir", path, () => makeFolder(disk, path)),
    link: (from, to) => call("link", to, () => linkFile(disk, from, to)),
    rename: (from, to) => call("rename", from, () => renameFile(disk, from, to)),
    unlink: (path) => call("unlink", path, () => unlinkFile(disk, path)),
    rmdir: (path) => call("rmdir", path, () => removeFolder(disk, path)),
    chmod: (path, mode) => call("chmod", path, () => update(disk, existing(disk, "chmod", path), { mode })),
    chown: (path, uid) => call("chown", path, () => update(disk, existing(disk, "chown", path), { uid })),
    sync: (path) => call("sync", path, () => syncPath(disk, path)),
    realpath: (path) =>
      call("realpath", path, () => {
        existing(disk, "realpath", path);
        return path;
      }),
    freeBytes: (path) => call("freeBytes", path, () => 1e12),
    readTail: (path, length) =>
      call("readTail", path, () => new TextEncoder().encode(readFile(disk, path)).slice(-length)),
  };
}

/** Names that a file has. */
function linksOf(disk: Disk, inode: number): number {
  let links = 0;
  for (const node of disk.nodes.values()) {
    if (node.kind !== "folder") continue;
    for (const named of node.names.values()) if (named === inode) links += 1;
  }
  return links;
}

function entryOf(disk: Disk, path: string): Entry | null {
  const inode = find(disk, path);
  const node = inode === null ? undefined : disk.nodes.get(inode);
  if (node === undefined) return null;
  const identity = { device: DEVICE, inode: String(inode), uid: OWN_UID, gid: 0 };
  if (node.kind === "folder") {
    return {
      kind: "directory",
      ...identity,
      sizeBytes: 0,
      mtimeNs: "1",
      ctimeNs: "1",
      mode: 0o700,
      links: 1,
    };
  }
  const { text, mtime, ctime, mode, uid } = node;
  const stamps = { sizeBytes: text.length, mtimeNs: String(mtime), ctimeNs: String(ctime) };
  return {
    kind: "file",
    ...identity,
    ...stamps,
    mode,
    uid,
    // Looked for when it is asked for: that is seldom, and a look goes through all folders.
    get links() {
      return linksOf(disk, inode as number);
    },
  };
}
