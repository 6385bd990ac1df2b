// Cold scan of a dataset's footers: our inventory against DuckDB's parquet_file_metadata over the same files.
import { copyFileSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DuckDBInstance } from "@duckdb/node-api";
import { createInventory, type Inventory } from "../server/src/inventory.ts";
import { createInventoryPool } from "../server/src/inventory-pool.ts";
import { buildEntry } from "../test/support/build-worker.ts";

const FILES = 20_000;
const PARTITIONS = 200;
const ORIGINALS = 50;
const ROUNDS = 5;

const root = mkdtempSync(join(tmpdir(), "tamp-bench-scan-"));
const workerEntry = await buildEntry("server/src/inventory-worker.ts");
try {
  await writeFiles();
  const ours: number[] = [];
  const oursWithStart: number[] = [];
  const theirs: number[] = [];
  const theirsWithStart: number[] = [];
  const again: number[] = [];
  const cpu = { ours: [] as number[], theirs: [] as number[] };
  for (let round = 0; round < ROUNDS; round += 1) {
    const [started, held, rescan, oursCpu] = await scanWithInventory();
    cpu.ours.push(oursCpu);
    oursWithStart.push(started);
    ours.push(held);
    again.push(rescan);
    const [instance, query, theirsCpu] = await scanWithDuckDb();
    cpu.theirs.push(theirsCpu);
    theirsWithStart.push(instance);
    theirs.push(query);
  }
  report("inventory, cold scan", median(ours));
  report("duckdb, parquet_file_metadata", median(theirs));
  report("inventory with the start of its worker", median(oursWithStart));
  report("duckdb with the start of an instance", median(theirsWithStart));
  report("inventory, nothing changed", median(again));
  console.log(
    JSON.stringify({ bench: "scan", figure: "ratio of medians", value: ratio(ours, theirs), aim: "<= 1.0" }),
  );
  console.log(
    JSON.stringify({ bench: "scan", figure: "ratio of processor time", value: ratio(cpu.ours, cpu.theirs) }),
  );
  console.log(
    JSON.stringify({
      bench: "scan",
      figure: "ratio with starts",
      value: ratio(oursWithStart, theirsWithStart),
    }),
  );
} finally {
  rmSync(root, { recursive: true });
}

/** Milliseconds: with a worker to start, with a worker that runs, of a second look; processor time of the second. */
async function scanWithInventory(): Promise<readonly [number, number, number, number]> {
  const pool = createInventoryPool({ workerEntry });
  const make = (): Inventory =>
    createInventory({ root, pool, smallFileBytes: 2 ** 20, now: () => Date.now() + 60_000 });
  const started = await timed(() => make().reconcile());
  const inventory = make();
  const before = process.cpuUsage();
  const held = await timed(() => inventory.reconcile());
  const cpu = cpuSince(before);
  const again = await timed(() => inventory.reconcile());
  if (inventory.totals.fileCount !== FILES || inventory.footerReads !== FILES)
    throw new Error("files are missing");
  await pool.dispose();
  return [started, held, again, cpu];
}

async function scanWithDuckDb(): Promise<readonly [number, number, number]> {
  const before = performance.now();
  const instance = await DuckDBInstance.create(":memory:");
  const connection = await instance.connect();
  let found = 0;
  const beforeCpu = process.cpuUsage();
  const query = await timed(async () => {
    const reader = await connection.runAndReadAll(
      `select count(*)::integer from parquet_file_metadata(['${root}/*/*.parquet'])`,
    );
    found = Number(reader.getRows()[0]?.[0]);
  });
  const cpu = cpuSince(beforeCpu);
  const whole = performance.now() - before;
  connection.closeSync();
  instance.closeSync();
  if (found !== FILES) throw new Error(`DuckDB found ${found} files`);
  return [whole, query, cpu];
}

/** Milliseconds of all threads, which other work on the machine distorts least. */
function cpuSince(before: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

/** A few files are written, and copied under many names: to write them all would take longer than to scan them. */
async function writeFiles(): Promise<void> {
  const instance = await DuckDBInstance.create(":memory:");
  const connection = await instance.connect();
  const originals: string[] = [];
  for (let file = 0; file < ORIGINALS; file += 1) {
    const path = join(root, `original-${file}`);
    await connection.run(
      `copy (select range as id, 'name ' || range as name, range / 7 as score, now() as at, range % 5 as kind,
       range::decimal(18,2) as amount, date '2024-01-01' + (range % 365)::integer as day, range % 2 = 0 as flag
       from range(${file * 100}, ${file * 100 + 100})) to '${path}' (format parquet)`,
    );
    originals.push(path);
  }
  connection.closeSync();
  instance.closeSync();
  for (let file = 0; file < FILES; file += 1) {
    const folder = join(root, `day=${file % PARTITIONS}`);
    if (file < PARTITIONS) mkdirSync(folder);
    copyFileSync(originals[file % ORIGINALS] ?? "", join(folder, `part-${file}.parquet`));
  }
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}

function ratio(a: readonly number[], b: readonly number[]): number {
  return Math.round((median(a) / median(b)) * 100) / 100;
}

function report(figure: string, ms: number): void {
  console.log(JSON.stringify({ bench: "scan", figure, files: FILES, ms: Math.round(ms * 10) / 10 }));
}
