// What readers that do not cooperate see while Tamp swaps files, and the overlapMs that follows from it.
import { mkdtempSync } from "node:fs";
import { mkdir, readFile, rm, statfs, writeFile } from "node:fs/promises";
import { availableParallelism, cpus, loadavg, platform, tmpdir, totalmem } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { DEFAULT_OVERLAP_MS } from "@tamp/core";
import { runCrowdedCell, runSmallCell } from "./exposure/cells.ts";
import { measureListing } from "./exposure/listing.ts";
import { isInstalled, READERS, type ReaderInfo } from "./exposure/readers.ts";
import { type Line, markdownReport } from "./exposure/report.ts";
import { createScene, type Scene } from "./exposure/swaps.ts";
import { measureWindows } from "./exposure/windows.ts";

const USAGE = `usage: npm run bench -- exposure [--quick] [--chosen MS] [--dir DIR] [--reader NAME]... [--json] [--write FILE] [--tables FILE]
  --quick    small numbers, some seconds
  --chosen   the overlapMs that is set against 0 (default: the product's, ${DEFAULT_OVERLAP_MS})
  --dir      where the directories are made (default: the system's temporary folder)
  --reader   only these of ${READERS.map(({ name }) => name).join(", ")}
  --json     JSON lines only, no tables
  --write    the tables into this file as well
  --tables   measure nothing: tables of the JSON lines in this file, where the later of two like lines counts
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
    readonly limitMs: number;
  }[];
  readonly listings: readonly { readonly files: number; readonly lists: number; readonly reads: number }[];
  readonly windows: readonly { readonly overlapMs: number; readonly rounds: number }[];
}

const FULL: Scale = {
  thorough: 2000,
  curve: 300,
  around: [10, 50, 250, 1000],
  smallDirs: 32,
  limitMs: 600_000,
  crowds: [
    { files: 2000, dirs: 2, restMs: 200, listsOnly: false, overlaps: [0, 250], swaps: 60, limitMs: 60_000 },
    {
      files: 10_000,
      dirs: 4,
      restMs: 200,
      listsOnly: true,
      overlaps: [0, 10, 50, 100, 250],
      swaps: 200,
      limitMs: 60_000,
    },
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
  crowds: [{ files: 1000, dirs: 2, restMs: 20, listsOnly: true, overlaps: [0], swaps: 5, limitMs: 2000 }],
  listings: [{ files: 24, lists: 20, reads: 5 }],
  windows: [{ overlapMs: 0, rounds: 10 }],
};

interface Options {
  readonly scale: Scale;
  readonly chosen: number;
  readonly readers: readonly ReaderInfo[];
  /** The folder that the directories are made in. */
  readonly parent: string;
  readonly print: (line: Line) => void;
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
      tables: { type: "string" },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) return console.log(USAGE);
  const chosen = Number(values.chosen);
  const wanted = READERS.filter(({ name }) => values.reader?.includes(name) ?? true);
  const lines =
    values.tables === undefined
      ? await measure({ quick: values.quick, chosen, wanted, dir: values.dir })
      : await readLines(values.tables);
  const report = markdownReport(lines, [0, chosen]);
  if (!values.json) console.log(report);
  if (values.write !== undefined) await writeFile(values.write, report);
}

async function readLines(path: string): Promise<readonly Line[]> {
  const byCell = new Map<string, Line>();
  for (const text of (await readFile(path, "utf8")).split("\n").filter((found) => found.startsWith("{"))) {
    const line: Line & { kind?: string; files?: number; overlapMs?: number } = JSON.parse(text);
    const what = line.figure === "facts" ? line.facts : "reader" in line ? line.reader : line.kind;
    byCell.set(JSON.stringify([line.figure, what, line.files, line.overlapMs]), line);
  }
  return [...byCell.values()];
}

async function measure(request: {
  readonly quick: boolean;
  readonly chosen: number;
  readonly wanted: readonly ReaderInfo[];
  readonly dir: string;
}): Promise<readonly Line[]> {
  const { quick, chosen, wanted } = request;
  const lines: Line[] = [];
  const print = (line: Line): void => {
    console.log(JSON.stringify({ bench: "exposure", ...line }));
    lines.push(line);
  };
  const readers = wanted.filter(isInstalled);
  for (const reader of wanted)
    if (!readers.includes(reader)) print({ figure: "skipped", reader: reader.name });
  const parent = mkdtempSync(join(request.dir, "tamp-bench-exposure-"));
  const options: Options = { scale: quick ? QUICK : FULL, chosen, readers, parent, print };
  try {
    print({ figure: "facts", facts: await describe(parent, quick) });
    await runSmall(options);
    await runCrowded(options);
    await runListings(options);
    await runWindows(options);
  } finally {
    await rm(parent, { recursive: true });
  }
  return lines;
}

async function runSmall({ scale, chosen, readers, parent, print }: Options): Promise<void> {
  const scenes = await makeScenes(join(parent, "small"), scale.smallDirs, SMALL.sources);
  const thorough = [0, chosen];
  const overlaps = [...new Set([...thorough, ...scale.around])].sort((a, b) => a - b);
  for (const reader of readers.filter(({ listsOnly }) => !listsOnly)) {
    for (const overlapMs of overlaps) {
      const swaps = thorough.includes(overlapMs) ? scale.thorough : scale.curve;
      const cell = { reader, overlapMs, swaps, limitMs: scale.limitMs };
      print({ figure: "reads", ...(await runSmallCell(cell, scenes)) });
    }
  }
}

async function runCrowded({ scale, readers, parent, print }: Options): Promise<void> {
  for (const { files, dirs, restMs, listsOnly, overlaps, swaps, limitMs } of scale.crowds) {
    const folder = join(parent, `crowded-${files}`);
    const scenes = await makeScenes(folder, dirs, files);
    for (const reader of readers.filter((found) => found.listsOnly === listsOnly)) {
      for (const overlapMs of overlaps) {
        const cell = { reader, overlapMs, swaps, limitMs };
        print({ figure: "reads", ...(await runCrowdedCell(cell, scenes, restMs)) });
      }
    }
    await rm(folder, { recursive: true });
  }
}

async function runListings({ scale, readers, parent, print }: Options): Promise<void> {
  for (const { files, ...rounds } of scale.listings) {
    const folder = join(parent, `listed-${files}`);
    const scenes = await makeScenes(folder, 1, files);
    for (const reader of readers.filter(({ listsOnly }) => !listsOnly)) {
      print({ figure: "listing", ...(await measureListing(reader, scenes, rounds)) });
    }
    await rm(folder, { recursive: true });
  }
}

async function runWindows({ scale, parent, print }: Options): Promise<void> {
  const scenes = await makeScenes(join(parent, "windows"), 4, SMALL.sources);
  for (const { overlapMs, rounds } of scale.windows) {
    for (const result of await measureWindows(scenes, overlapMs, rounds)) {
      print({ figure: "window", ...result });
    }
  }
}

async function makeScenes(folder: string, dirs: number, files: number): Promise<readonly Scene[]> {
  await mkdir(folder);
  const scenes: Scene[] = [];
  for (let dir = 0; dir < dirs; dir += 1) {
    scenes.push(await createScene(folder, dir, { ...SMALL, bystanders: files - SMALL.sources }));
  }
  return scenes;
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
    `load average of other work before the first figure: ${loadavg()[0]?.toFixed(1)}`,
  ];
}

await main();
