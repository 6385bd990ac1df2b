import { isHiddenName, partitionOf } from "@tamp/core";
import type { InventoryPool } from "./inventory-pool.ts";
import { type ForeignHit, type Located, type ScannedDirectory, subdirectoriesOf } from "./scan.ts";

/** What was listed of a dataset: all of it, or some directories and everything new below them. */
export interface DatasetScan {
  readonly whole: boolean;
  readonly rootMissing: boolean;
  readonly directories: readonly ScannedDirectory[];
  readonly ancestors: readonly ForeignHit[];
  /** Second names of directories that are known under another one. */
  readonly duplicates: readonly string[];
}

export async function scanWhole(
  pool: InventoryPool,
  root: string,
  settle?: (directory: ScannedDirectory) => ScannedDirectory,
): Promise<DatasetScan> {
  const scanned = await pool.scan({ root, directories: [""], recursive: true }, settle);
  const rootMissing = scanned.directories.some(({ path, kind }) => path === "" && kind === "gone");
  return { whole: true, rootMissing, duplicates: [], ...scanned };
}

export interface PartialScan {
  readonly pool: InventoryPool;
  readonly root: string;
  readonly known: ReadonlyMap<string, Located>;
  /** Hints; a directory that is not known stands for its nearest ancestor that is. */
  readonly directories: readonly string[];
}

/** Lists the hinted directories themselves, then walks those of their sub-directories that are new. */
export async function scanDirectories(options: PartialScan): Promise<DatasetScan> {
  const { pool, root, known } = options;
  const list = (directories: readonly string[], recursive: boolean) =>
    pool.scan({ root, directories, recursive });
  const first = await list([...new Set(options.directories.map((path) => nearestKnown(known, path)))], false);
  if (first.directories.some(({ path, kind }) => path === "" && kind === "gone")) {
    return scanWhole(pool, root);
  }
  const listed = new Set(first.directories.map((directory) => directory.path));
  const fresh = freshBelow(known, first.directories);
  const namesakes = namesOf(known, fresh);
  // A directory that was moved here is still known under its old name, until the old parent is listed too.
  const parents = new Set([...namesakes.values()].map(partitionOf).filter((path) => !listed.has(path)));
  const second = parents.size > 0 ? await list([...parents], false) : EMPTY;
  const seen = [...first.directories, ...second.directories];
  const present = new Set(seen.flatMap((directory) => subdirectoriesOf(directory).map(entryText)));
  const isDuplicate = ({ path, key }: Located): boolean => {
    const other = namesakes.get(key);
    return other !== undefined && other !== path && present.has(entryText({ path: other, key }));
  };
  const all = freshBelow(known, seen);
  const walk = all.filter((directory) => !isDuplicate(directory)).map((directory) => directory.path);
  const third = walk.length > 0 ? await list(walk, true) : EMPTY;
  return {
    whole: false,
    rootMissing: false,
    directories: [...seen, ...third.directories],
    ancestors: [],
    duplicates: all.filter(isDuplicate).map((directory) => directory.path),
  };
}

const EMPTY: { readonly directories: readonly ScannedDirectory[] } = { directories: [] };

/** Only directories that a walk found are ever listed: hidden ones and those behind symlinks are not. */
function nearestKnown(known: ReadonlyMap<string, Located>, hint: string): string {
  const components = hint.split("/").filter((component) => component !== "" && component !== ".");
  const hidden = components.findIndex((component) => component === ".." || isHiddenName(component));
  let path = (hidden < 0 ? components : components.slice(0, hidden)).join("/");
  while (path !== "" && !known.has(path)) path = partitionOf(path);
  return path;
}

/** Sub-directories that are not known, or stand now where another one stood. */
function freshBelow(
  known: ReadonlyMap<string, Located>,
  directories: readonly ScannedDirectory[],
): readonly Located[] {
  const listed = new Set(directories.map((directory) => directory.path));
  return directories
    .flatMap(subdirectoriesOf)
    .filter(({ path, key }) => known.get(path)?.key !== key && !listed.has(path));
}

/** Of those that are known under another name: key to that name. */
function namesOf(
  known: ReadonlyMap<string, Located>,
  fresh: readonly Located[],
): ReadonlyMap<string, string> {
  if (fresh.length === 0) return new Map();
  const keys = new Set(fresh.map((directory) => directory.key));
  return new Map([...known.values()].filter(({ key }) => keys.has(key)).map(({ path, key }) => [key, path]));
}

function entryText({ path, key }: Located): string {
  return `${key} ${path}`;
}
