import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { buildEntry } from "../../test/support/build-worker.ts";
import type { Answer, Job } from "./messages.ts";
import { nowUs } from "./swaps.ts";

export interface ReaderInfo {
  readonly name: string;
  readonly label: string;
  /** Lists and opens nothing: what it sees is what a listing holds. */
  readonly listsOnly: boolean;
  /** The Python module that it needs; null for readers in Node. */
  readonly module: string | null;
}

export const READERS: readonly ReaderInfo[] = [
  { name: "duckdb", label: "DuckDB `read_parquet('dir/*.parquet')`", listsOnly: false, module: null },
  { name: "hyparquet", label: "hyparquet over `readdir`", listsOnly: false, module: null },
  { name: "loop", label: "plain loop over `readdir`", listsOnly: false, module: null },
  { name: "loop-skip", label: "plain loop that skips names that are gone", listsOnly: false, module: null },
  { name: "pyarrow", label: "`pyarrow.dataset`", listsOnly: false, module: "pyarrow" },
  { name: "polars", label: "Polars `scan_parquet(dir)`", listsOnly: false, module: "polars" },
  { name: "readdir", label: "`readdir` alone", listsOnly: true, module: null },
  { name: "duckdb-glob", label: "DuckDB `glob()` alone", listsOnly: true, module: null },
  { name: "pyarrow-list", label: "Arrow's `FileSelector` alone", listsOnly: true, module: "pyarrow" },
];

export function labelOf(name: string): string {
  return READERS.find((reader) => reader.name === name)?.label ?? name;
}

const repository = process.env.TAMP_REPOSITORY ?? process.cwd();
const python = process.env.TAMP_PYTHON ?? "python3";

/** Readers in Python count where their module can be imported. */
export function isInstalled({ module }: ReaderInfo): boolean {
  return module === null || spawnSync(python, ["-c", `import ${module}`]).status === 0;
}

export interface RunningReader {
  readonly version: string;
  /** Ends the reader and waits for it; rejects where it had failed. */
  readonly stop: () => Promise<void>;
  /** Settles when the reader ends by itself. */
  readonly ended: Promise<void>;
}

/** Starts a reader's process and answers when it has read once. */
export async function startReader(
  info: ReaderInfo,
  job: Omit<Job, "reader">,
  onAnswer: (answer: Answer) => void,
): Promise<RunningReader> {
  const child = await spawnReader(info, { ...job, reader: info.name });
  let stderr = "";
  child.stderr?.on("data", (chunk) => {
    stderr += String(chunk);
  });
  const ended = once(child, "close").then(([code]) => {
    if (code !== 0) throw new Error(`the reader ${info.name} ended with code ${code}: ${stderr}`);
  });
  const ready = new Promise<string>((resolve, reject) => {
    ended.then(() => reject(new Error(`the reader ${info.name} ended early`)), reject);
    createInterface({ input: child.stdout as NodeJS.ReadableStream }).on("line", (line) => {
      const message = JSON.parse(line) as Answer;
      if (message.kind === "ready") {
        refuseOtherClock(message.nowUs, info.name);
        resolve(message.version);
      } else onAnswer(message);
    });
  });
  const version = await ready;
  const stop = (): Promise<void> => {
    child.stdin?.end();
    return ended;
  };
  return { version, stop, ended };
}

async function spawnReader({ module }: ReaderInfo, job: Job): Promise<ChildProcess> {
  const argument = JSON.stringify(job);
  const options = { stdio: "pipe" } as const;
  return module === null
    ? spawn(process.execPath, [await buildEntry("bench/exposure/reader-child.ts"), argument], options)
    : spawn(python, [join(repository, "bench/exposure/reader-child.py"), argument], options);
}

/** Reads are set against swaps by the time of the machine's monotonic clock, which all processes must share. */
function refuseOtherClock(theirsUs: number, name: string): void {
  const lagUs = nowUs() - theirsUs;
  if (lagUs < 0 || lagUs > 5e6) throw new Error(`the reader ${name} has another clock (${lagUs} µs apart)`);
}
