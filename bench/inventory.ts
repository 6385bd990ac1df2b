/**
 * The inventory at the size people have. A figure is one JSON line; what is compared runs in a process of its own,
 * of the same kind. `npm run bench -- inventory`, or some parts of it: `npm run bench -- inventory restart delay`.
 */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import {
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { setTimeout as delay } from "node:timers/promises";
import { createInventory, type Inventory } from "../server/src/inventory.ts";
import { createInventoryPool } from "../server/src/inventory-pool.ts";
import { createSnapshotStore } from "../server/src/inventory-snapshot.ts";
import { buildEntry } from "../test/support/build-worker.ts";
import { parquetBytes } from "../test/support/dataset.ts";
import { startServer } from "../test/support/tamp-process.ts";

const FILES_PER_DIRECTORY = 100;
const ROUNDS = 7;
const MIB = 2 ** 20;
/** Beyond the settling of files and the end of the inventory's worker. */
const QUIET_AFTER_MS = 25_000;
const IDLE_MS = 10_000;

const content = parquetBytes({ rows: 10 });

/** What a child does, and tells its parent. */
const ROLES = { walk, restart, hold, burst } as const;
type Role = keyof typeof ROLES;
type Told = Readonly<Record<string, number>>;

const PARTS = { restart: benchRestart, delay: benchDelay, memory: benchMemory, idle: benchIdle } as const;

const [first = "", ...rest] = process.argv.slice(2);
if (process.send !== undefined && first in ROLES) {
  process.send(await ROLES[first as Role](rest[0] ?? "", rest[1] ?? "", rest[2] ?? ""));
  process.disconnect();
} else {
  const wanted = first === "" ? Object.keys(PARTS) : [first, ...rest];
  const folder = mkdtempSync(join(tmpdir(), "tamp-bench-inventory-"));
  // Nothing of this reaches the user's own folders.
  process.env.XDG_CACHE_HOME = join(folder, "cache-home");
  process.env.XDG_STATE_HOME = join(folder, "state-home");
  try {
    const worker = await buildEntry("server/src/inventory-worker.ts");
    for (const part of wanted) await PARTS[part as keyof typeof PARTS]?.(join(folder, part), worker);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Opening 100,000 files that have not changed, against a walk that does nothing but list and stat them. */
async function benchRestart(folder: string, worker: string): Promise<void> {
  const root = makeFiles(join(folder, "data"), 1000, "copy");
  const cache = join(folder, "cache");
  const cold = await run("restart", root, cache, worker);
  const warm: Told[] = [];
  const bare: Told[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    warm.push(await run("restart", root, cache, worker));
    bare.push(await run("walk", root));
  }
  const ms = { warm: median(warm, "ms"), bare: median(bare, "ms") };
  report("cold open of 100,000 files, ms", cold.ms);
  report("warm open of 100,000 files, ms", ms.warm);
  report("bare walk of 100,000 files, ms", ms.bare);
  report("warm open / bare walk", ms.warm / ms.bare, "<= 1.5");
  report("with the start of the process, warm / bare", median(warm, "wholeMs") / median(bare, "wholeMs"));
  report("footers read by a warm open", Math.max(...warm.map(({ footerReads }) => footerReads ?? -1)), "= 0");
  report("worst event-loop delay of a warm open of 100,000 files, ms", worst(warm), "<= 50");
  report("resident after a warm open of 100,000 files, MiB", median(warm, "residentMib"));
}

async function benchDelay(folder: string, worker: string): Promise<void> {
  const root = makeFiles(join(folder, "data"), 200, "copy");
  const cold: Told[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    cold.push(await run("restart", root, join(folder, `cache-${round}`), worker));
  }
  report("worst event-loop delay of a cold open of 20,000 files, ms", worst(cold), "<= 50");
  const bursts: Told[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    bursts.push(await run("burst", root, join(folder, "cache-0"), worker));
    for (const name of readdirSync(root))
      if (name.startsWith("burst")) rmSync(join(root, name), { recursive: true });
  }
  report("worst event-loop delay of a burst of 5,000 files, ms", worst(bursts), "<= 50");
  report("reconciling a burst of 5,000 files, ms", median(bursts, "ms"));
}

/** Real names, 100 to an inode: a million inodes would take many minutes to make. */
async function benchMemory(folder: string, worker: string): Promise<void> {
  const root = makeFiles(join(folder, "data"), 10_000, "link");
  const told = await run("hold", root, join(folder, "cache"), worker);
  report("resident with 1,000,000 files, worker ended, MiB", told.residentMib, "< 400 MB");
  report("at most resident until then, MiB", told.mostMib);
  report("cold open of 1,000,000 files, ms", told.ms);
  report("worst event-loop delay of it, ms", told.delayMs, "<= 50");
  report("comparing 1,000,000 files with the disk, ms", told.againMs);
  const warm = await run("hold", root, join(folder, "cache"), worker);
  report("warm open of 1,000,000 files, ms", warm.ms);
  report("worst event-loop delay of the warm open, ms", warm.delayMs, "<= 50");
  report("resident after a warm open of 1,000,000 files, MiB", warm.residentMib, "< 400 MB");
  report("footers read by the warm open", warm.footerReads, "= 0");
}

/** The daemon itself, with everything that it does beside the inventory. */
async function benchIdle(folder: string): Promise<void> {
  if (process.platform !== "linux") {
    console.log(JSON.stringify({ bench: "inventory", skipped: "idle figures are read from /proc" }));
    return;
  }
  const root = makeFiles(join(folder, "data"), 1000, "copy");
  for (const kind of ["cold", "warm"]) {
    const server = await startServer();
    const started = performance.now();
    await server.connection.sendRequest("tamp/dataset/open", { dataset: root, watch: true });
    report(`daemon: ${kind} open and watch of 100,000 files, ms`, performance.now() - started);
    await delay(QUIET_AFTER_MS);
    const before = cpuSeconds(server.pid);
    await delay(IDLE_MS);
    const { resident, most } = memoryOf(server.pid);
    report(`daemon: processor seconds of 10 s idle, ${kind}`, cpuSeconds(server.pid) - before, "= 0");
    report(`daemon: resident while idle with 100,000 files, ${kind}, MiB`, resident, "<= 150");
    report(`daemon: at most resident, ${kind}, MiB`, most);
    await server.client.close();
  }
}

async function run(role: Role, ...args: readonly string[]): Promise<Told> {
  const started = performance.now();
  const child = fork(process.argv[1] ?? "", [role, ...args]);
  const told = await answerOf(child);
  await once(child, "exit");
  return { ...told, wholeMs: performance.now() - started };
}

async function answerOf(child: ChildProcess): Promise<Told> {
  const ended = once(child, "exit").then(() => Promise.reject(new Error("a child failed")));
  const [told] = await Promise.race([once(child, "message"), ended]);
  ended.catch(() => {});
  return told as Told;
}

async function walk(root: string): Promise<Told> {
  const started = performance.now();
  let files = 0;
  for (const directory of readdirSync(root)) {
    for (const name of readdirSync(join(root, directory))) {
      const stat = lstatSync(`${root}/${directory}/${name}`, { bigint: true });
      if (stat.isFile()) files += 1;
    }
  }
  return { ms: performance.now() - started, files };
}

async function restart(root: string, cache: string, worker: string): Promise<Told> {
  const opened = await open(root, cache, worker);
  await opened.end();
  return opened.told;
}

/** Opens, compares once more, and stays until the worker has ended. */
async function hold(root: string, cache: string, worker: string): Promise<Told> {
  const { inventory, told, end } = await open(root, cache, worker);
  const againMs = await timed(() => inventory.reconcile());
  await delay(1500);
  const { resident, most } = memoryOf(process.pid);
  await end();
  return { ...told, againMs, residentMib: resident, mostMib: most };
}

/** Another hand writes 5,000 files; the hints name their directories. */
async function burst(root: string, cache: string, worker: string): Promise<Told> {
  const { inventory, end } = await open(root, cache, worker);
  const names = Array.from({ length: 50 }, (_, index) => `burst=${index}`);
  for (const name of names) makeDirectory(join(root, name), "copy");
  const { ms, delayMs } = await watched(() => inventory.reconcile(["", ...names]));
  await end();
  return { ms, delayMs };
}

interface Opened {
  readonly inventory: Inventory;
  readonly told: Told;
  end(): Promise<void>;
}

async function open(root: string, cache: string, worker: string): Promise<Opened> {
  const now = (): number => Date.now() + 60_000;
  const pool = createInventoryPool({ workerEntry: worker, idleMs: 1000 });
  const snapshots = createSnapshotStore(cache, now);
  const inventory = createInventory({ root, pool, smallFileBytes: MIB, now, snapshots });
  const { ms, delayMs } = await watched(() => inventory.reconcile());
  const { footerReads } = inventory;
  const told = { ms, delayMs, footerReads, residentMib: process.memoryUsage().rss / MIB };
  const end = async (): Promise<void> => {
    await inventory.dispose();
    await pool.dispose();
  };
  return { inventory, told, end };
}

async function watched(
  work: () => Promise<unknown>,
): Promise<{ readonly ms: number; readonly delayMs: number }> {
  const histogram = monitorEventLoopDelay({ resolution: 1 });
  histogram.enable();
  const ms = await timed(work);
  // A delay is seen once it is over.
  await delay(5);
  histogram.disable();
  return { ms, delayMs: histogram.max / 1e6 };
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  await work();
  return performance.now() - started;
}

function makeFiles(root: string, directories: number, how: "copy" | "link"): string {
  for (let index = 0; index < directories; index += 1) makeDirectory(join(root, `day=${index}`), how);
  return root;
}

function makeDirectory(folder: string, how: "copy" | "link"): void {
  mkdirSync(folder, { recursive: true });
  const names = Array.from(
    { length: FILES_PER_DIRECTORY },
    (_, index) => `part-${String(index).padStart(5, "0")}.parquet`,
  );
  for (const [index, name] of names.entries()) {
    if (how === "copy" || index === 0) writeFileSync(join(folder, name), content);
    else linkSync(join(folder, names[0] ?? ""), join(folder, name));
  }
}

function memoryOf(pid: number): { readonly resident: number; readonly most: number } {
  if (process.platform !== "linux") {
    return { resident: process.memoryUsage().rss / MIB, most: process.resourceUsage().maxRSS / 1024 };
  }
  const text = readFileSync(`/proc/${pid}/status`, "utf8");
  const field = (name: string): number => Number(new RegExp(`${name}:\\s+(\\d+)`).exec(text)?.[1]) / 1024;
  return { resident: field("VmRSS"), most: field("VmHWM") };
}

function cpuSeconds(pid: number): number {
  const text = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

function median(told: readonly Told[], key: string): number {
  const values = told.map((item) => item[key] ?? Number.NaN).sort((a, b) => a - b);
  return values[Math.floor(values.length / 2)] ?? Number.NaN;
}

function worst(told: readonly Told[]): number {
  return Math.max(...told.map(({ delayMs = Number.NaN }) => delayMs));
}

function report(figure: string, value: number | undefined, aim?: string): void {
  const rounded = Math.round((value ?? Number.NaN) * 100) / 100;
  console.log(JSON.stringify({ bench: "inventory", figure, value: rounded, ...(aim && { aim }) }));
}
