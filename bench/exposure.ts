// What readers that do not cooperate see while Tamp swaps files, and the overlapMs that follows from it.
import { mkdtempSync } from "node:fs";
import { mkdir, rm, statfs, writeFile } from "node:fs/promises";
import { availableParallelism, cpus, platform, tmpdir, totalmem } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { DEFAULT_OVERLAP_MS } from "@tamp/core";
import { type Cell, type CellResult, runCrowdedCell, runSmallCell } from "./exposure/cells.ts";
import { type ListingResult, measureListing } from "./exposure/listing.ts";
import { isInstalled, READERS, type ReaderInfo } from "./exposure/readers.ts";
import { markdownReport } from "./exposure/report.ts";
import { createScene, type Scene } from "./exposure/swaps.ts";
import { measureWindows, type WindowResult } from "./exposure/windows.ts";

const USAGE = `usage: npm run bench -- exposure [--quick] [--chosen MS] [--dir DIR] [--reader NAME]... [--json] [--write FILE]
  --quick    small numbers, some seconds
  --chosen   the overlapMs that is set against 0 (default: the product's, ${DEFAULT_OVERLAP_MS})
  --dir      where the directories are made (default: the system's temporary folder)
  --reader   only these of ${READERS.map(({ name }) => name).join(", ")}
  --json     JSON lines only, no tables
  --write    the tables into this file as well
Readers in Python count where TAMP_PYTHON (default: python3) can import them.`;

const SMALL = { sources: 24, rowsPerSource: 50, outputs: 2 };

/** How much is measured. */
interface Scale {
  /** Swaps that each reader overlaps for 0 and for the chosen value, and for the values around them. */
  readonly thorough: number;
  readonly curve: number;
  readonly around: readonly number[];
  readonly smallDirs: number;
  readonly limitMs: number;
  /** Directories of so many files, for readers that list alone or for all others. */
  readonly crowds: readonly {
    readonly files: number;
    readonly dirs: number;
    readonly restMs: number;
    readonly listsOnly: boolean;
    readonly overlaps: readonly number[];
    readonly swaps: number;
  }[];
  readonly listings: readonly { readonly files: number; readonly lists: number; readonly reads: number }[];
  readonly windows: readonly { readonly overlapMs: number; readonly rounds: number }[];
}

const FULL: Scale = {
  thorough: 2000,
  curve: 300,
  around: [10, 50, 250, 1000],
  smallDirs: 32,
  limitMs: 120_000,
  crowds: [
    { files: 2000, dirs: 2, restMs: 200, listsOnly: false, overlaps: [0, 250], swaps: 60 },
    { files: 10_000, dirs: 4, restMs: 200, listsOnly: true, overlaps: [0, 10, 50, 100, 250], swaps: 200 },
  ],
  listings: [
    { files: 24, lists: 500, reads: 200 },
    { files: 2000, lists: 200, reads: 10 },
    { files: 10_000, lists: 100, reads: 3 },
  ],
  windows: [
    { overlapMs: 0, rounds: 200 },
    { overlapMs: 10, rounds: 100 },
    { overlapMs: 50, rounds: 100 },
    { overlapMs: 250, rounds: 40 },
    { overlapMs: 1000, rounds: 10 },
  ],
};

const QUICK: Scale = {
  thorough: 10,
  curve: 0,
  around: [],
  smallDirs: 16,
  limitMs: 2000,
  crowds: [{ files: 1000, dirs: 2, restMs: 20, listsOnly: true, overlaps: [0], swaps: 5 }],
  listings: [{ files: 24, lists: 20, reads: 5 }],
  windows: [{ overlapMs: 0, rounds: 10 }],
};

interface Options {
  readonly scale: Scale;
  readonly chosen: number;
  readonly readers: readonly ReaderInfo[];
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      quick: { type: "boolean", default: false },
      chosen: { type: "string", default: String(DEFAULT_OVERLAP_MS) },
      dir: { type: "string", default: tmpdir() },
      reader: { type: "string", multiple: true },
      json: { type: "boolean", default: false },
      write: { type: "string" },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) return console.log(USAGE);
  const scale = values.quick ? QUICK : FULL;
  const wanted = READERS.filter(({ name }) => values.reader?.includes(name) ?? true);
  const readers = wanted.filter(isInstalled);
  for (const { name } of wanted)
    if (!readers.some((reader) => reader.name === name)) print({ skipped: name });
  const options = { scale, chosen: Number(values.chosen), readers };
  const parent = mkdtempSync(join(values.dir, "tamp-bench-exposure-"));
  try {
    const cells = [...(await runSmall(options, parent)), ...(await runCrowded(options, parent))];
    const listings = await runListings(options, parent);
    const windows = await runWindows(options, parent);
    const facts = await describe(parent, values.quick);
    const report = markdownReport({ facts, compared: [0, options.chosen], cells, listings, windows });
    if (!values.json) console.log(report);
    if (values.write !== undefined) await writeFile(values.write, report);
  } finally {
    await rm(parent, { recursive: true });
  }
}

async function runSmall({ scale, chosen, readers }: Options, parent: string): Promise<readonly CellResult[]> {
  const scenes = await makeScenes(join(parent, "small"), scale.smallDirs, SMALL.sources);
  const thorough = [0, chosen];
  const overlaps = [...new Set([...thorough, ...scale.around])].sort((a, b) => a - b);
  const results: CellResult[] = [];
  for (const reader of readers.filter(({ listsOnly }) => !listsOnly)) {
    for (const overlapMs of overlaps) {
      const swaps = thorough.includes(overlapMs) ? scale.thorough : scale.curve;
      results.push(
        printCell(await runSmallCell({ reader, overlapMs, swaps, limitMs: scale.limitMs }, scenes)),
      );
    }
  }
  return results;
}

async function runCrowded({ scale, readers }: Options, parent: string): Promise<readonly CellResult[]> {
  const results: CellResult[] = [];
  for (const { files, dirs, restMs, listsOnly, overlaps, swaps } of scale.crowds) {
    const folder = join(parent, `crowded-${files}`);
    const scenes = await makeScenes(folder, dirs, files);
    for (const reader of readers.filter((found) => found.listsOnly === listsOnly)) {
      for (const overlapMs of overlaps) {
        const cell: Cell = { reader, overlapMs, swaps, limitMs: scale.limitMs / 4 };
        results.push(printCell(await runCrowdedCell(cell, scenes, restMs)));
      }
    }
    await rm(folder, { recursive: true });
  }
  return results;
}

async function runListings({ scale, readers }: Options, parent: string): Promise<readonly ListingResult[]> {
  const results: ListingResult[] = [];
  for (const { files, ...rounds } of scale.listings) {
    const folder = join(parent, `listed-${files}`);
    const scenes = await makeScenes(folder, 1, files);
    for (const reader of readers.filter(({ listsOnly }) => !listsOnly)) {
      const result = await measureListing(reader, scenes, rounds);
      print({ figure: "listing", ...result, reader: reader.name });
      results.push(result);
    }
    await rm(folder, { recursive: true });
  }
  return results;
}

async function runWindows({ scale }: Options, parent: string): Promise<readonly WindowResult[]> {
  const scenes = await makeScenes(join(parent, "windows"), 4, SMALL.sources);
  const results: WindowResult[] = [];
  for (const { overlapMs, rounds } of scale.windows) {
    for (const result of await measureWindows(scenes, overlapMs, rounds)) {
      print({ figure: "window", ...result });
      results.push(result);
    }
  }
  return results;
}

async function makeScenes(folder: string, dirs: number, files: number): Promise<readonly Scene[]> {
  await mkdir(folder);
  const scenes: Scene[] = [];
  for (let dir = 0; dir < dirs; dir += 1) {
    scenes.push(await createScene(folder, dir, { ...SMALL, bystanders: files - SMALL.sources }));
  }
  return scenes;
}

function printCell(result: CellResult): CellResult {
  print({ figure: "reads", ...result, reader: result.reader.name });
  return result;
}

function print(figure: object): void {
  console.log(JSON.stringify({ bench: "exposure", ...figure }));
}

const FILE_SYSTEMS: Readonly<Record<number, string>> = {
  61267: "ext4",
  16914836: "tmpfs",
  2435016766: "btrfs",
  1481003842: "xfs",
  2035054128: "overlayfs",
  26985: "NFS",
};

async function describe(folder: string, quick: boolean): Promise<readonly string[]> {
  const { type } = await statfs(folder);
  const memory = Math.round(totalmem() / 2 ** 30);
  return [
    `${new Date().toISOString().slice(0, 10)}, ${quick ? "quick" : "full"}: \`npm run bench -- exposure ${process.argv.slice(2).join(" ")}\``,
    `${availableParallelism()} cores (${cpus()[0]?.model.trim() ?? "unknown"}), ${memory} GiB, ${platform()}, Node ${process.version}, ${FILE_SYSTEMS[type] ?? `file system 0x${type.toString(16)}`}`,
  ];
}

await main();
