import { listedFiles, type Truth } from "./crash-oracle.ts";
import type { Dice } from "./dice.ts";
import { fileText, rowsOf } from "./memory-engine.ts";
import {
  createFile,
  type Disk,
  find,
  giveFile,
  type Image,
  renameFile,
  syncPath,
  unlinkFile,
  writeFile,
} from "./memory-fs.ts";
import { ROOT, USERS } from "./memory-machine.ts";

/** What the meddling draws from and writes down into. */
export interface Meddled {
  readonly dice: Dice;
  /** Somebody else may delete, replace and rewrite files; else new ones arrive at most. */
  readonly meddled: boolean;
  /** What was done, for who has to find out why. */
  readonly lines: string[];
  /** Rows are numbered over the whole script. */
  row: number;
}

export function newRows(script: Meddled): readonly string[] {
  return Array.from({ length: 1 + script.dice.below(3) }, () => {
    script.row += 1;
    return `r${script.row}`;
  });
}

/** Somebody else changes some file of the dataset. Answers what holds from then on. */
export function meddle(script: Meddled, disk: Disk, truth: Truth): Truth {
  const { dice, lines, meddled } = script;
  const path = dice.pick([...listedFiles(disk).keys()]);
  const kind = meddled ? dice.pick(["arrive", "replace", "remove", "rewrite"] as const) : "arrive";
  const name =
    kind === "arrive" ? `${path.slice(0, path.lastIndexOf("/") + 1)}guest${script.row}.parquet` : path;
  const rows = newRows(script);
  lines.push(`  somebody else: ${kind} ${name} ${kind === "remove" ? "" : rows.join(" ")}`);
  return interfere(disk, truth, { kind, path: name, rows });
}

/** What somebody else does to a name below the root, durably and at once. */
export interface Interference {
  readonly kind: "arrive" | "replace" | "remove" | "rewrite";
  readonly path: string;
  readonly rows: readonly string[];
}

/** Answers what holds from then on. No process could die in the middle of it. */
export function interfere(disk: Disk, truth: Truth, interference: Interference): Truth {
  const { kind, path } = interference;
  const { onChange } = disk;
  disk.onChange = () => {};
  const old = { inode: find(disk, `${ROOT}/${path}`), rows: kind === "arrive" ? [] : rowsAt(disk, path) };
  change(disk, interference);
  const after = { inode: find(disk, `${ROOT}/${path}`), rows: kind === "remove" ? [] : interference.rows };
  disk.onChange = onChange;
  return kind === "arrive"
    ? withArrival(truth, disk, path, interference.rows)
    : withMeddling(truth, disk, old, after);
}

function change(disk: Disk, { kind, path: name, rows }: Interference): void {
  const path = `${ROOT}/${name}`;
  const folder = path.slice(0, path.lastIndexOf("/"));
  if (kind === "remove") unlinkFile(disk, path);
  else if (kind === "rewrite") writeFile(disk, path, fileText(rows));
  else {
    const temp = "/d/guest";
    createFile(disk, temp);
    writeFile(disk, temp, fileText(rows));
    giveFile(disk, temp, USERS);
    renameFile(disk, temp, path);
    syncPath(disk, "/d");
  }
  if (kind !== "remove") syncPath(disk, path);
  syncPath(disk, folder);
}

function withArrival(truth: Truth, disk: Disk, path: string, rows: readonly string[]): Truth {
  const inode = find(disk, `${ROOT}/${path}`) as number;
  const node = disk.nodes.get(inode);
  if (node?.kind !== "file") return truth;
  return {
    ...truth,
    sure: new Set([...truth.sure, ...rows]),
    kept: new Map([...truth.kept, [inode, { text: node.text, mtime: node.mtime }]]),
    names: new Set([...truth.names, path]),
    originals: truth.originals === null ? null : new Map([...truth.originals, [path, inode]]),
  };
}

interface Held {
  readonly inode: number | null;
  readonly rows: readonly string[];
}

/** The rows that were overwritten may be gone, or back from elsewhere; the new ones must not get lost. */
function withMeddling(truth: Truth, disk: Disk, old: Held, after: Held): Truth {
  const kept = new Map(truth.kept);
  if (old.inode !== null) kept.delete(old.inode);
  const node = after.inode === null ? undefined : disk.nodes.get(after.inode);
  if (node?.kind === "file" && after.inode !== null)
    kept.set(after.inode, { text: node.text, mtime: node.mtime });
  return {
    ...truth,
    sure: new Set([...truth.sure].filter((row) => !old.rows.includes(row))),
    guests: new Set([...[...truth.guests].filter((row) => !old.rows.includes(row)), ...after.rows]),
    loose: new Set([...truth.loose, ...old.rows]),
    kept,
    groups: truth.groups.filter((group) => !group.some(({ inode }) => inode === old.inode)),
    originals: null,
    mayQuarantine: true,
  };
}

export function rowsAt(image: Pick<Image, "nodes">, path: string): readonly string[] {
  return rowsOf(listedFiles(image).get(path)?.node.text ?? "") ?? [];
}
