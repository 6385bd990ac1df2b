import {
  type ChangePart,
  type FileNode,
  find,
  type Image,
  keyOfName,
  type Node,
  TOP_INODE,
} from "./memory-fs.ts";
import { HOME } from "./memory-machine.ts";

export interface KeyOptions {
  /** Also what a power cut may yet take away. */
  readonly pending: boolean;
  /** Also who held the lock. */
  readonly locks: boolean;
}

/**
 * Equal for images from which nothing of ours can go on in two ways: times of change, random parts of names and the
 * owner in a journal are left out.
 */
export function keyOf(image: Image, options: KeyOptions): string {
  const { nodes } = image;
  const home = find(image, HOME);
  const visit = (inode: number): string => {
    const node = nodes.get(inode);
    if (node === undefined) return "?";
    if (node.kind === "file") return fileKey(inode, node, options);
    const parts: string[] = [];
    for (const [name, child] of node.names) {
      if (inode === home && name.startsWith("lock")) {
        if (options.locks) parts.push(name.length > 4 ? `${name.slice(0, 7)}*` : name);
      } else parts.push(`${name}=${visit(child)}`);
    }
    return `{${parts.sort().join(" ")}}`;
  };
  const tree = visit(TOP_INODE);
  return options.pending ? `${tree}|${pendingKey(image, options)}` : tree;
}

function fileKey(inode: number, { text, mtime, mode, saved }: FileNode, { pending }: KeyOptions): string {
  if (!text.startsWith("{")) {
    const settled = !pending || (saved?.text === text && saved.mtime === mtime && saved.mode === mode);
    const lasting = settled
      ? ""
      : `~${saved === null ? "" : `${textId(saved.text)}.${saved.mtime}.${saved.mode}`}`;
    return `${inode}.${textId(text)}.${mtime}.${mode}${lasting}`;
  }
  return `j${textId(text)}${pending && saved?.text !== text ? "~" : ""}`;
}

const ids = new Map<string, number>();

function textId(text: string): number {
  const known = ids.get(text);
  if (known !== undefined) return known;
  const same = text
    .replace(/"(sha256|owner|nonce|since|stateSince|processStart|bootId)":"[^"]*"/g, "")
    .replace(/"duplicateWindowMs":\d+/, "");
  const id = same === text ? ids.size : textId(same);
  if (ids.size > 200_000) ids.clear();
  ids.set(text, id);
  return id;
}

function pendingKey({ nodes, pending }: Image, { locks }: KeyOptions): string {
  const home = nodes.get(TOP_INODE);
  if (home === undefined || pending.length === 0) return "";
  const what = (inode: number | null | undefined): string => {
    const node: Node | undefined = inode === null || inode === undefined ? undefined : nodes.get(inode);
    if (node === undefined) return "-";
    return node.kind === "file" && node.text.startsWith("{") ? `j${textId(node.text)}` : String(inode);
  };
  const partKey = (part: ChangePart): string => {
    const folder = nodes.get(part.folder);
    const before = folder?.kind === "folder" ? folder.saved.get(part.name) : undefined;
    return `${keyOfName(part)}:${what(before)}>${what(part.inode)}${part.synced ? "!" : ""}`;
  };
  return pending
    .filter(({ parts }) => locks || !isLock(parts[0]))
    .map(({ parts }) => parts.map(partKey).join(","))
    .join(";")
    .replace(/lock\.[0-9a-f]+/g, "lock.*");
}

export function isLock(part: ChangePart | undefined): boolean {
  return part?.name.startsWith("lock") === true;
}
