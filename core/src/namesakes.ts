import { type DataFile, fileFacts } from "./dataset.ts";

/**
 * Names of one and the same file, each with another one of them: to retire one name changes the ctime of all, and
 * rewriting them would part what somebody linked on purpose.
 */
export function findNamesakes(files: readonly DataFile[]): ReadonlyMap<string, string> {
  const suspects = repeatedInodes(files);
  const names = new Map<string, string[]>();
  for (const file of suspects.size > 0 ? files : []) {
    const { inode, path, otherDevice } = fileFacts(file);
    if (otherDevice || !suspects.has(Number(inode))) continue;
    const known = names.get(inode);
    if (known === undefined) names.set(inode, [path]);
    else known.push(path);
  }
  const namesakes = new Map<string, string>();
  for (const paths of names.values()) {
    const [first = "", second] = paths.sort();
    if (second === undefined) continue;
    for (const path of paths) namesakes.set(path, path === first ? second : first);
  }
  return namesakes;
}

/** Inodes that may occur twice: rounded to doubles, of which a million is sorted at little cost. */
function repeatedInodes(files: readonly DataFile[]): ReadonlySet<number> {
  const inodes = new Float64Array(files.length);
  for (const [index, file] of files.entries()) inodes[index] = Number(fileFacts(file).inode);
  inodes.sort();
  const repeated = new Set<number>();
  let previous = Number.NaN;
  for (const inode of inodes) {
    if (inode === previous) repeated.add(inode);
    previous = inode;
  }
  return repeated;
}
