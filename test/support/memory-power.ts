import {
  type Change,
  type ChangePart,
  type Durable,
  type FileNode,
  type Image,
  keyOfName,
  type Node,
  saveName,
  TOP_INODE,
} from "./memory-fs.ts";

/**
 * - `renames_whole`: any set of the pending changes is lost, but a change is kept only where every earlier one of the
 *   same names is; a rename is kept or lost as one.
 * - `renames_torn`: harsher than any journalling file system: each name by itself is as of any of its pending changes,
 *   so that a rename may keep either name, both, or none.
 */
export type PowerMode = "renames_whole" | "renames_torn";

/** Picks one of `count` possibilities. */
export type Choose = (count: number) => number;

export interface PowerCut {
  readonly mode: PowerMode;
  readonly choose: Choose;
  /** Changes that are all lost or all kept, by one choice for all of them. */
  readonly bundled?: (change: Change) => boolean;
}

/**
 * What a power cut at this moment leaves: every unfinished matter is decided by `choose`. A file whose bytes were not
 * fsynced is as of its last fsync (empty, where there was none), cut short, garbage of the right length, or whole.
 * (SQLite's crash VFS, ALICE (OSDI '14) and the manual of fsync(2) name these; no file system does all of them.)
 */
export function powerCut(image: Image, cut: PowerCut): Image {
  const nodes = new Map<number, Node>(image.nodes);
  for (const part of cut.mode === "renames_whole" ? keptWhole(image, cut) : keptTorn(image, cut)) {
    saveName(nodes, part);
  }
  const left = new Map<number, Node>();
  const visit = (inode: number): void => {
    const node = nodes.get(inode);
    if (node === undefined || left.has(inode)) return;
    if (node.kind === "file") left.set(inode, remains(node, cut.choose));
    else {
      left.set(inode, { kind: "folder", names: node.saved, saved: node.saved });
      for (const child of node.saved.values()) visit(child);
    }
  };
  visit(TOP_INODE);
  return { ...image, nodes: left, pending: [] };
}

function keptWhole({ pending }: Image, { choose, bundled = () => false }: PowerCut): readonly ChangePart[] {
  const lost = new Set<string>();
  const kept: ChangePart[] = [];
  let bundle: boolean | null = null;
  for (const change of pending) {
    const keys = change.parts.map(keyOfName);
    let keeps = !keys.some((key) => lost.has(key));
    if (keeps && bundled(change)) {
      bundle ??= choose(2) === 1;
      keeps = bundle;
    } else if (keeps) keeps = choose(2) === 1;
    if (keeps) kept.push(...change.parts);
    else for (const key of keys) lost.add(key);
  }
  return kept;
}

function keptTorn({ pending }: Image, { choose }: PowerCut): readonly ChangePart[] {
  const byName = new Map<string, ChangePart[]>();
  for (const part of pending.flatMap(({ parts }) => parts)) {
    const parts = byName.get(keyOfName(part));
    if (parts === undefined) byName.set(keyOfName(part), [part]);
    else parts.push(part);
  }
  const kept: ChangePart[] = [];
  for (const parts of byName.values()) {
    const sure = parts.findLastIndex(({ synced }) => synced) + 1;
    kept.push(...parts.slice(0, sure + choose(parts.length - sure + 1)));
  }
  return kept;
}

function remains(file: FileNode, choose: Choose): FileNode {
  const { text, mtime, mode, uid, saved, ctime } = file;
  const whole: Durable = { text, mtime, mode, uid };
  const settled =
    saved !== null &&
    saved.text === text &&
    saved.mtime === mtime &&
    saved.mode === mode &&
    saved.uid === uid;
  if (settled) return file;
  const states: Durable[] = [whole, saved ?? { text: "", mtime, mode: 0o600, uid }];
  if (saved?.text !== text && text.length > 1) {
    states.push(
      { ...whole, text: text.slice(0, text.length >> 1) },
      { ...whole, text: "\0".repeat(text.length) },
    );
  }
  const left = states[choose(states.length)] ?? whole;
  return { kind: "file", ...left, ctime, saved: left };
}

/** Everything that `decide` can come to, each once, by trying every choice; at most `limit`, then null. */
export function everyChoice<T>(limit: number, decide: (choose: Choose) => T): readonly T[] | null {
  const results: T[] = [];
  const path: { taken: number; count: number }[] = [];
  for (;;) {
    let depth = 0;
    results.push(
      decide((count) => {
        if (count < 2) return 0;
        path[depth] ??= { taken: 0, count };
        depth += 1;
        return path[depth - 1]?.taken ?? 0;
      }),
    );
    while (path.length > 0 && (path.at(-1)?.taken ?? 0) + 1 >= (path.at(-1)?.count ?? 0)) path.pop();
    const last = path.at(-1);
    if (last === undefined) return results;
    if (results.length >= limit) return null;
    last.taken += 1;
  }
}
