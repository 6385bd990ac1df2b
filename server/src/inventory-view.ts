import {
  createTotals,
  type DataFile,
  type DatasetTotals,
  type PartitionFiles,
  partitionOf,
} from "@tamp/core";
import {
  applyBlock,
  columnsOf,
  countUnsettled,
  type FileBlock,
  filesOf,
  findFile,
  positionOf,
  type UnsettledCounts,
} from "./inventory-block.ts";

/** One state of a dataset's files, for as long as somebody holds it. */
export interface InventoryView {
  readonly generation: number;
  readonly fileCount: number;
  /**
   * Directory by directory in the order of their paths, large ones in pieces, empty ones left out; may be gone
   * through again. Files are made when they are asked for.
   */
  partitions(): Iterable<PartitionFiles>;
  find(path: string): DataFile | null;
  /** In the order of all paths. */
  page(offset: number, limit: number): readonly DataFile[];
  /** Totals of some directories, and what each of them holds; in no order. */
  fold(wanted: (partition: string) => boolean): FoldedView;
  /** Files that changed after `sinceMs`, milliseconds since the epoch; of some directories, or of all. */
  countUnsettled(sinceMs: number, wanted?: (partition: string) => boolean): Readonly<UnsettledCounts>;
}

export interface FoldedView {
  readonly totals: DatasetTotals;
  readonly partitions: readonly PartitionCounts[];
}

export interface PartitionCounts {
  readonly partition: string;
  readonly files: number;
  readonly smallFiles: number;
  readonly bytes: number;
}

export interface ViewOptions {
  readonly generation: number;
  /** The bound that the blocks' small files were counted by. */
  readonly smallFileBytes: number;
  readonly fileCount: number;
  readonly directories: ReadonlyMap<string, FileBlock>;
}

export function createView(options: ViewOptions): InventoryView {
  const { generation, smallFileBytes, fileCount, directories } = options;
  let runs: readonly Run[] | null = null;
  let sorted: readonly string[] | null = null;
  return {
    generation,
    fileCount,
    partitions: () => ({
      *[Symbol.iterator]() {
        sorted ??= [...directories.keys()].sort();
        for (const path of sorted) {
          const block = directories.get(path);
          if (block !== undefined) yield* piecesOf(block);
        }
      },
    }),
    find(path) {
      const directory = partitionOf(path);
      const block = directories.get(directory);
      return block === undefined
        ? null
        : findFile(block, path.slice(directory === "" ? 0 : directory.length + 1));
    },
    page(offset, limit) {
      runs ??= runsOf(directories);
      return pageOf(runs, offset, limit);
    },
    fold(wanted) {
      const blocks = [...directories.values()].filter(({ path, count }) => count > 0 && wanted(path));
      const totals = createTotals(smallFileBytes);
      for (const block of blocks) applyBlock(totals, block, 1);
      return { totals, partitions: blocks.map(countsOf) };
    },
    countUnsettled(sinceMs, wanted = () => true) {
      const counts = { files: 0, unreadable: 0 };
      for (const block of directories.values()) {
        if (block.sums.newestMs > sinceMs && wanted(block.path)) countUnsettled(block, sinceMs, counts);
      }
      return counts;
    },
  };
}

/** Making the objects of so many files takes a few milliseconds. */
const FILES_PER_PIECE = 4096;

function countsOf({ path, count, sums }: FileBlock): PartitionCounts {
  return { partition: path, files: count, smallFiles: sums.smallFiles, bytes: sums.bytes };
}

function* piecesOf(block: FileBlock): Generator<PartitionFiles> {
  for (let start = 0; start < block.count; start += FILES_PER_PIECE) {
    const end = Math.min(start + FILES_PER_PIECE, block.count);
    let files: readonly DataFile[] | null = null;
    yield {
      partition: block.path,
      inodes: Float64Array.from(columnsOf(block).listing.inodes.subarray(start, end), Number),
      get files() {
        files ??= filesOf(block, start, end);
        return files;
      },
    };
  }
}

/** Neighbours in the order of paths that lie in one directory; `start` counts all files before them. */
interface Run {
  readonly block: FileBlock;
  readonly from: number;
  readonly to: number;
  readonly start: number;
}

/** The files of a directory are parted where those of its sub-directories come between them. */
function runsOf(directories: ReadonlyMap<string, FileBlock>): readonly Run[] {
  const runs: Run[] = [];
  const open: { readonly block: FileBlock; readonly prefix: string; done: number }[] = [];
  let start = 0;
  const emit = (entry: (typeof open)[number], to: number): void => {
    if (to <= entry.done) return;
    runs.push({ block: entry.block, from: entry.done, to, start });
    start += to - entry.done;
    entry.done = to;
  };
  const close = (): void => {
    const entry = open.pop();
    if (entry !== undefined) emit(entry, entry.block.count);
  };
  const entries = [...directories.values()].map((block) => ({
    block,
    prefix: block.path === "" ? "" : `${block.path}/`,
    done: 0,
  }));
  for (const entry of entries.sort((a, b) => (a.prefix < b.prefix ? -1 : 1))) {
    for (
      let top = open.at(-1);
      top !== undefined && !entry.prefix.startsWith(top.prefix);
      top = open.at(-1)
    ) {
      close();
    }
    const above = open.at(-1);
    if (above !== undefined && above.done < above.block.count) {
      const { listing } = columnsOf(above.block);
      emit(above, positionOf(listing, above.block.count, entry.prefix.slice(above.prefix.length)));
    }
    open.push(entry);
  }
  while (open.length > 0) close();
  return runs;
}

function pageOf(runs: readonly Run[], offset: number, limit: number): readonly DataFile[] {
  const files: DataFile[] = [];
  const end = offset + limit;
  for (let at = runAt(runs, offset); at < runs.length; at += 1) {
    const run = runs[at];
    if (run === undefined || run.start >= end) break;
    const from = run.from + Math.max(0, offset - run.start);
    const to = Math.min(run.to, run.from + (end - run.start));
    for (const file of filesOf(run.block, from, to)) files.push(file);
  }
  return files;
}

/** The first run that reaches beyond `offset`. */
function runAt(runs: readonly Run[], offset: number): number {
  let low = 0;
  let high = runs.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const run = runs[middle];
    if (run !== undefined && run.start + run.to - run.from <= offset) low = middle + 1;
    else high = middle;
  }
  return low;
}
