import { opendirSync } from "node:fs";
import { join } from "node:path";
import { FEW_DIRECTORIES, openChokidarTree } from "./chokidar-tree.ts";
import { openDirectoryTree } from "./directory-tree.ts";
import type { OpenTree, Tree, TreeOptions } from "./tree.ts";

export type TreeKind = "chokidar" | "directories";

const ADAPTERS: { readonly [kind in TreeKind]: OpenTree } = {
  chokidar: openChokidarTree,
  directories: openDirectoryTree,
};

/** `given` takes the place of the choice. */
export function treeOpener(given: TreeKind | null): OpenTree {
  return (options: TreeOptions): Tree => ADAPTERS[given ?? kindFor(options.root)](options);
}

/** Many entries are too many as well: chokidar reads every one of them. */
const SMALL = { directories: FEW_DIRECTORIES, entries: 100 * FEW_DIRECTORIES };

/** Which adapter fits the tree below `root`, from a walk that ends as soon as it is known to be large. */
export function kindFor(root: string, small = SMALL): TreeKind {
  if (process.platform !== "linux") return "chokidar";
  const directories = [root];
  let entries = 0;
  for (const path of directories) {
    entries += addDirectories(path, directories, small.entries - entries);
    if (directories.length > small.directories || entries >= small.entries) return "directories";
  }
  return "chokidar";
}

/** Adds the directories in `path` to `directories`, and answers how many entries were read. */
function addDirectories(path: string, directories: string[], most: number): number {
  let entries = 0;
  try {
    const directory = opendirSync(path);
    try {
      for (let entry = directory.readSync(); entry !== null && entries < most; entry = directory.readSync()) {
        entries += 1;
        if (entry.isDirectory()) directories.push(join(path, entry.name));
      }
    } finally {
      directory.closeSync();
    }
  } catch {
    // The adapter meets the same error and tells it.
  }
  return entries;
}
