import { fileFacts, type PartitionFiles } from "./dataset.ts";
import { STRETCH } from "./steps.ts";

/**
 * Names of one and the same file, each with another one of them: to retire one name changes the ctime of all, and
 * rewriting them would part what somebody linked on purpose. The partitions are walked once, and again only where
 * an inode seems to repeat; no file is held.
 */
export function* findNamesakes(
  partitions: Iterable<PartitionFiles>,
): Generator<void, ReadonlyMap<string, string>> {
  const suspects = yield* repeatedInodes(partitions);
  const names = new Map<string, string[]>();
  for (const { files } of suspects.size > 0 ? partitions : []) {
    for (const [index, file] of files.entries()) {
      if (index % STRETCH === STRETCH - 1) yield;
      const { inode, path, otherDevice } = fileFacts(file);
      if (otherDevice || !suspects.has(Number(inode))) continue;
      const known = names.get(inode);
      if (known === undefined) names.set(inode, [path]);
      else known.push(path);
    }
    yield;
  }
  return yield* pairNames(names);
}

function* pairNames(names: ReadonlyMap<string, string[]>): Generator<void, ReadonlyMap<string, string>> {
  const namesakes = new Map<string, string>();
  let count = 0;
  for (const paths of names.values()) {
    const [first = "", second] = paths.sort();
    count += 1;
    if (count % STRETCH === 0) yield;
    if (second === undefined) continue;
    for (const path of paths) namesakes.set(path, path === first ? second : first);
  }
  return namesakes;
}

/** A prime, so that inodes beyond 2^53, which are multiples of a power of two as doubles, spread as well. */
const BUCKETS = 251;

interface Bucket {
  inodes: Float64Array;
  count: number;
}

/** Inodes that may occur twice, as doubles: in buckets, because to sort a million at once would take too long. */
function* repeatedInodes(partitions: Iterable<PartitionFiles>): Generator<void, ReadonlySet<number>> {
  const buckets = Array.from({ length: BUCKETS }, (): Bucket => ({ inodes: new Float64Array(8), count: 0 }));
  for (const piece of partitions) {
    const count = piece.inodes?.length ?? piece.files.length;
    for (let index = 0; index < count; index += 1) {
      put(buckets, piece.inodes?.[index] ?? inodeAt(piece, index));
      if (index % STRETCH === STRETCH - 1) yield;
    }
    yield;
  }
  const repeated = new Set<number>();
  for (const { inodes, count } of buckets) {
    const sorted = inodes.subarray(0, count).sort();
    for (let index = 1; index < count; index += 1) {
      if (sorted[index] === sorted[index - 1]) repeated.add(sorted[index] as number);
    }
    yield;
  }
  return repeated;
}

function inodeAt({ files }: PartitionFiles, index: number): number {
  const file = files[index];
  return file === undefined ? Number.NaN : Number(fileFacts(file).inode);
}

function put(buckets: readonly Bucket[], inode: number): void {
  const bucket = buckets[inode % BUCKETS];
  // No number is no inode, and the same as nothing else.
  if (bucket === undefined) return;
  if (bucket.count === bucket.inodes.length) {
    const grown = new Float64Array(2 * bucket.count);
    grown.set(bucket.inodes);
    bucket.inodes = grown;
  }
  bucket.inodes[bucket.count] = inode;
  bucket.count += 1;
}
