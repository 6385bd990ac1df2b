// What watching costs: the watcher port and its adapters against @parcel/watcher, and the daemon from a file that
// appears to the notification that counts it. `npm run bench -- watch ready|idle|daemon` measures a part. Linux only:
// resident memory and processor time are read from /proc.
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { DuckDBInstance } from "@duckdb/node-api";
import { build } from "esbuild";
import { buildEntry } from "../test/support/build-worker.ts";
import { diceOf, randomOf } from "../test/support/dice.ts";
import { type Server, startServer } from "../test/support/tamp-process.ts";
import type { Contender, Said } from "./watch/contender.ts";

const SELF = fileURLToPath(import.meta.url);
const CONTENDERS: readonly Contender[] = ["port", "chokidar", "directories", "parcel"];
const ROUNDS = 3;
const ARRIVALS = 300;
const BURST = 5000;
const PING_MS = 10;
const PATIENCE_MS = 60_000;

/** Runs in the daemon's process before the daemon: on a signal it tells the longest delay since the last one. */
const PROBE = `data:text/javascript,${encodeURIComponent(`
import { writeFileSync } from "node:fs";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { isMainThread } from "node:worker_threads";
const { TAMP_LOOP_DELAY: told } = process.env;
if (isMainThread && process.argv.includes("serve")) {
  const delays = monitorEventLoopDelay({ resolution: 5 });
  delays.enable();
  process.on("SIGUSR2", () => { writeFileSync(told, String(delays.max / 1e6)); delays.reset(); });
}`)}`;

const [mode = "all", ...rest] = process.argv.slice(2);
if (mode === "burst") writeBurst(rest[0] ?? "", readFileSync(rest[1] ?? ""));
else await bench();

async function bench(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "tamp-bench-watch-"));
  // What the daemon keeps of a dataset stays out of the user's own folders.
  process.env.XDG_CACHE_HOME = join(folder, "cache");
  process.env.XDG_STATE_HOME = join(folder, "state");
  try {
    const sample = join(folder, "sample");
    const bytes = await writeSample(sample);
    const is = (...modes: readonly string[]): boolean => modes.includes(mode);
    const large = join(folder, "large");
    if (is("all", "ready", "idle")) writeTree(large, { directories: 1000, filesEach: 100 }, bytes);
    if (is("all", "ready")) await compareContenders(large);
    if (is("all", "idle")) await measureIdle(large);
    const small = join(folder, "small");
    if (is("all", "daemon")) writeTree(small, { directories: 100, filesEach: 100 }, bytes);
    if (is("all", "daemon")) await measureDaemon(small, sample);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Each contender in a process of its own, turn by turn. */
async function compareContenders(root: string): Promise<void> {
  const worker = await buildEntry("server/src/watchers/watch-worker.ts");
  const contender = await buildContender();
  const found = new Map<Contender, { readonly readyMs: number[]; readonly residentMb: number[] }>();
  for (const name of CONTENDERS) found.set(name, { readyMs: [], residentMb: [] });
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const [name, { readyMs, residentMb }] of found) {
      const args = [contender, name, root, worker];
      const { stdout } = await promisify(execFile)(process.execPath, args);
      const said: Said = JSON.parse(stdout);
      readyMs.push(said.readyMs);
      residentMb.push(said.residentMb);
    }
  }
  for (const [name, { readyMs, residentMb }] of found) {
    report(`${name}: time to ready`, median(readyMs), "ms");
    report(`${name}: resident memory`, median(residentMb), "MB");
  }
  const ratio = (of: (name: Contender) => readonly number[]): number =>
    median(of("port")) / median(of("parcel"));
  report(
    "port / parcel: time to ready",
    ratio((name) => found.get(name)?.readyMs ?? []),
    "x",
    2,
  );
  report(
    "port / parcel: resident memory",
    ratio((name) => found.get(name)?.residentMb ?? []),
    "x",
    2,
  );
}

async function buildContender(): Promise<string> {
  const outfile = join(dirname(SELF), "watch-contender.mjs");
  await build({
    entryPoints: [join(process.env.TAMP_REPOSITORY ?? "", "bench/watch/contender.ts")],
    outfile,
    bundle: true,
    platform: "node",
    format: "esm",
    packages: "external",
    alias: { "@tamp/core": join(process.env.TAMP_REPOSITORY ?? "", "core/src/index.ts") },
    logLevel: "warning",
  });
  return outfile;
}

/** The whole daemon with a large dataset at which nothing happens. */
async function measureIdle(root: string): Promise<void> {
  const server = await startServer();
  const began = performance.now();
  await server.connection.sendRequest("tamp/dataset/open", { dataset: root });
  report("daemon, 100,000 files: time to open", performance.now() - began, "ms");
  // Past the first judgements, collections and idle workers.
  await delay(30_000);
  const before = processorMs(server.pid);
  await delay(10_000);
  report(
    "daemon, 100,000 files: processor time while idle",
    (processorMs(server.pid) - before) / 10,
    "ms/s",
    5,
  );
  report("daemon, 100,000 files: resident memory while idle", residentMb(server.pid), "MB", 150);
  await server.client.close();
}

async function measureDaemon(root: string, sample: string): Promise<void> {
  const told = join(dirname(root), "loop-delay");
  const server = await startServer(null, [
    "env",
    `NODE_OPTIONS=--import=${PROBE}`,
    `TAMP_LOOP_DELAY=${told}`,
  ]);
  const counts = countsOf(server);
  await server.connection.sendRequest("tamp/dataset/open", { dataset: root });
  await delay(3000);
  await loopDelayMs(server, told);
  const files = 10_000;
  const arrivals = pinging(server);
  const latencies = await arrive(root, readFileSync(sample), files, counts);
  report("a file that appears is counted: p50", quantile(latencies, 0.5), "ms");
  report("a file that appears is counted: p99", quantile(latencies, 0.99), "ms", 100);
  report("a file that appears is counted: max", Math.max(...latencies), "ms");
  report("round trip of a cheap request meanwhile: max", await arrivals(), "ms");
  report("the daemon's event loop meanwhile: longest delay", await loopDelayMs(server, told), "ms", 50);
  await delay(3000);
  const burst = pinging(server);
  const exactMs = await measureBurst(root, sample, files + ARRIVALS + BURST, counts);
  report("5,000 files in a burst: counts exact after the last", exactMs, "ms", 3000);
  report("round trip of a cheap request during the burst: max", await burst(), "ms");
  report(
    "the daemon's event loop during the burst: longest delay",
    await loopDelayMs(server, told),
    "ms",
    50,
  );
  await server.client.close();
}

async function loopDelayMs({ pid }: Server, told: string): Promise<number> {
  rmSync(told, { force: true });
  process.kill(pid, "SIGUSR2");
  await delay(500);
  return Number(readFileSync(told, "utf8"));
}

interface Counts {
  /** The moment at which a notification counted so many files, or more. */
  reached(files: number): Promise<number>;
}

function countsOf({ connection }: Server): Counts {
  let latest = 0;
  const waiting = new Map<number, (atMs: number) => void>();
  connection.onNotification(
    "tamp/dataset/changed",
    (params: { readonly summary: { readonly fileCount: number } }) => {
      latest = params.summary.fileCount;
      for (const [files, resolve] of waiting) {
        if (latest < files) continue;
        waiting.delete(files);
        resolve(performance.now());
      }
    },
  );
  return {
    reached(files) {
      if (latest >= files) return Promise.resolve(performance.now());
      const reached = new Promise<number>((resolve) => waiting.set(files, resolve));
      const late = delay(PATIENCE_MS, null, { ref: false }).then(() => {
        throw new Error(`${files} files were never counted, ${latest} were`);
      });
      return Promise.race([reached, late]);
    },
  };
}

async function arrive(
  root: string,
  bytes: Buffer,
  files: number,
  counts: Counts,
): Promise<readonly number[]> {
  const dice = diceOf(randomOf(1));
  const latencies: number[] = [];
  for (let index = 0; index < ARRIVALS; index += 1) {
    const directory = join(root, `day=${dice.below(100)}`);
    const making = join(directory, `.arrival-${index}.making`);
    writeFileSync(making, bytes);
    await delay(50 + dice.below(250));
    const renamed = performance.now();
    renameSync(making, join(directory, `arrival-${index}.parquet`));
    latencies.push((await counts.reached(files + index + 1)) - renamed);
  }
  return latencies;
}

/** Written by a process of its own, so that this one measures undisturbed. */
async function measureBurst(root: string, sample: string, files: number, counts: Counts): Promise<number> {
  const exact = counts.reached(files);
  const child: ChildProcess = spawn(process.execPath, [SELF, "burst", root, sample], { stdio: "inherit" });
  await once(child, "exit");
  const written = performance.now();
  return (await exact) - written;
}

function writeBurst(root: string, bytes: Buffer): void {
  for (let index = 0; index < BURST; index += 1)
    writeFileSync(join(root, `day=${index % 100}`, `burst-${index}.parquet`), bytes);
}

/** Asks something cheap all the time; the answer of the answer: the longest round trip. */
function pinging({ connection }: Server): () => Promise<number> {
  let worstMs = 0;
  const under = new Set<Promise<void>>();
  const timer = setInterval(() => {
    const sent = performance.now();
    const asked = connection.sendRequest("tamp/dataset/list", {}).then(() => {
      worstMs = Math.max(worstMs, performance.now() - sent);
      under.delete(asked);
    });
    under.add(asked);
  }, PING_MS);
  return async () => {
    clearInterval(timer);
    await Promise.all(under);
    return worstMs;
  };
}

async function writeSample(path: string): Promise<Buffer> {
  const instance = await DuckDBInstance.create(":memory:");
  const db = await instance.connect();
  await db.run(`copy (select range as id, 'name' as name from range(10)) to '${path}' (format parquet)`);
  db.closeSync();
  instance.closeSync();
  return readFileSync(path);
}

interface Shape {
  readonly directories: number;
  readonly filesEach: number;
}

function writeTree(root: string, { directories, filesEach }: Shape, bytes: Buffer): void {
  for (let directory = 0; directory < directories; directory += 1) {
    const path = join(root, `day=${directory}`);
    mkdirSync(path, { recursive: true });
    for (let file = 0; file < filesEach; file += 1) writeFileSync(join(path, `part-${file}.parquet`), bytes);
  }
}

function residentMb(pid: number): number {
  const kib = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
  return (Number(kib) * 1024) / 1e6;
}

/** User and system time of all threads; the kernel counts in hundredths of a second. */
function processorMs(pid: number): number {
  const text = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

function quantile(values: readonly number[], part: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.ceil(part * sorted.length) - 1)] ?? Number.NaN;
}

function report(figure: string, value: number, unit: string, aim?: number): void {
  const rounded = Number(value.toPrecision(4));
  const within = aim === undefined ? {} : { aim: `<= ${aim}`, met: value <= aim };
  console.log(JSON.stringify({ bench: "watch", figure, value: rounded, unit, ...within }));
}
