import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { DuckDBInstance } from "@duckdb/node-api";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { DaemonClient } from "../../server/src/cli/client.ts";
import { decodeRows } from "../../server/src/footer.ts";
import type { PlanDocument, RunResult } from "../../server/src/protocol.ts";
import { createTestBench, type TestBench } from "../support/daemon.ts";
import { makeRoot } from "../support/dataset.ts";

/** Files that others wrote: `TAMP_CORPUS` names the folder that holds `valid`, `broken` and `hive`. */
const CORPUS = process.env.TAMP_CORPUS ?? "";
const THERE = CORPUS !== "" && existsSync(CORPUS);
const HIVE = THERE ? readdirSync(join(CORPUS, "hive")).sort() : [];

let bench: TestBench;
let client: DaemonClient;
const roots: string[] = [];

beforeAll(async () => {
  bench = await createTestBench();
  client = await bench.start();
});
afterAll(async () => {
  await bench.dispose();
  for (const root of roots) {
    rmSync(root, { recursive: true, force: true });
    rmSync(join(dirname(root), `.${basename(root)}.tamp`), { recursive: true, force: true });
  }
  if (!THERE) process.stderr.write("TAMP_CORPUS is not set: the tests over the corpus were skipped\n");
});

function newRoot(): string {
  const root = makeRoot();
  roots.push(root);
  return root;
}

function dataFiles(root: string): readonly string[] {
  const names = readdirSync(root, { recursive: true, encoding: "utf8" });
  return names.filter((name) => name.endsWith(".parquet")).sort();
}

/** Copies a tree with every Parquet file twice, so that each partition has something to merge. */
function copyTwice(from: string, to: string): void {
  cpSync(from, to, { recursive: true });
  for (const name of dataFiles(to))
    cpSync(join(to, name), join(to, name.replace(/\.parquet$/, "-twice.parquet")));
}

async function planOf(root: string): Promise<PlanDocument> {
  const { planId } = await client.request("tamp/plan", { dataset: root, operation: "compact", sync: true });
  return client.request("tamp/plan/document", { planId });
}

async function compact(root: string): Promise<{ readonly plan: PlanDocument; readonly result: RunResult }> {
  const policy = { minFiles: 2, settleMs: 0 };
  await client.request("tamp/dataset/open", { dataset: root, policy, watch: false });
  const plan = await planOf(root);
  const result = await client.request("tamp/execute", { dataset: root, planId: plan.planId, overlapMs: 0 });
  return { plan, result };
}

/** Rows of each partition as an independent reader sees them, in any order. */
async function rowsByHyparquet(root: string): Promise<Readonly<Record<string, readonly string[]>>> {
  const rows: Record<string, string[]> = {};
  for (const name of dataFiles(root)) {
    const found = await decodeRows(join(root, name), 0, 1e9);
    const list = rows[dirname(name)] ?? [];
    rows[dirname(name)] = list;
    list.push(...found.map((row) => JSON.stringify(row, spell)));
  }
  for (const list of Object.values(rows)) list.sort();
  return rows;
}

function spell(_key: string, value: unknown): unknown {
  if (typeof value === "bigint") return `${value}n`;
  if (typeof value === "number" && (Number.isNaN(value) || Object.is(value, -0)))
    return `number ${1 / value} ${value}`;
  return value instanceof Uint8Array ? Buffer.from(value).toString("hex") : value;
}

async function rowsByDuckdb(root: string): Promise<readonly string[]> {
  const instance = await DuckDBInstance.create(":memory:");
  const db = await instance.connect();
  const rows: string[] = [];
  for (const name of dataFiles(root)) {
    const partition = dirname(name);
    const path = join(root, name).replace(/[[*?]/g, "[$&]").replace(/'/g, "''");
    const text = `SELECT t::VARCHAR FROM read_parquet('${path}', hive_partitioning = false) t`;
    const reader = await db.runAndReadAll(text);
    rows.push(...reader.getRows().map(([row]) => `${partition}: ${String(row)}`));
  }
  db.closeSync();
  instance.closeSync();
  return rows.sort();
}

describe.skipIf(!THERE)("partitioned trees of others", () => {
  it.each(HIVE)("%s keeps every row where it was, by two readers", async (name) => {
    const root = newRoot();
    copyTwice(join(CORPUS, "hive", name), root);
    const before = { hyparquet: await rowsByHyparquet(root), duckdb: await rowsByDuckdb(root) };
    const files = dataFiles(root).length;
    const { plan, result } = await compact(root);
    expect(result.kind).toBe("published");
    expect(plan.stats.beforeFileCount).toBe(files);
    expect(dataFiles(root)).toHaveLength(plan.stats.afterFileCount);
    expect(await rowsByHyparquet(root)).toEqual(before.hyparquet);
    expect(await rowsByDuckdb(root)).toEqual(before.duckdb);
    expect((await planOf(root)).kind).toBe("nothing_to_do");
    expect((await client.request("tamp/undo", { dataset: root })).kind).toBe("undone");
    expect(dataFiles(root)).toHaveLength(files);
  });
});

describe.skipIf(!THERE)("odd but valid files of others", () => {
  it("are rewritten row for row or skipped with a reason", async () => {
    const root = newRoot();
    for (const name of readdirSync(join(CORPUS, "valid")).filter((file) => file.endsWith(".parquet"))) {
      const folder = join(root, name.replace(/\.parquet$/, ""));
      mkdirSync(folder);
      cpSync(join(CORPUS, "valid", name), join(folder, "a.parquet"));
      cpSync(join(CORPUS, "valid", name), join(folder, "b.parquet"));
    }
    const { plan, result } = await compact(root);
    const touched = new Set(
      result.groups.filter(({ kind }) => kind === "published").map(({ partition }) => partition),
    );
    expect(touched.size).toBeGreaterThan(5);
    for (const { reason, detail } of plan.skipped) expect(`${reason} ${detail}`).toMatch(/\w/);
    for (const partition of touched) {
      const [output] = dataFiles(join(root, partition));
      const original = join(CORPUS, "valid", `${partition}.parquet`);
      const wanted = (await decodeRows(original, 0, 1e9)).map((row) => JSON.stringify(row, spell));
      const found = await decodeRows(join(root, partition, output ?? ""), 0, 1e9);
      expect(found.map((row) => JSON.stringify(row, spell))).toEqual([...wanted, ...wanted]);
    }
  });
});

describe.skipIf(!THERE)("broken files of others", () => {
  it("cost nothing but themselves: no byte is lost and the daemon answers", async () => {
    const root = newRoot();
    copyTwice(join(CORPUS, "broken"), root);
    const before = Object.fromEntries(
      dataFiles(root).map((name) => [name, readFileSync(join(root, name)).toString("base64")]),
    );
    await compact(root);
    const after = dataFiles(root);
    for (const [name, bytes] of Object.entries(before)) {
      if (after.includes(name)) expect(readFileSync(join(root, name)).toString("base64")).toBe(bytes);
    }
    await client.request("tamp/undo", { dataset: root });
    for (const [name, bytes] of Object.entries(before))
      expect(readFileSync(join(root, name)).toString("base64")).toBe(bytes);
  });
});
