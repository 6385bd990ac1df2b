import { readdir, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Engine, RewriteTask, TaskInput } from "../../server/src/engine.ts";
import { createDuckdbEngine, type DuckdbEngineOptions } from "../../server/src/engines/duckdb.ts";
import {
  childEntry,
  closeScratch,
  columnsIn,
  fixture,
  footer,
  limits,
  newFolder,
  openScratch,
  rewrite,
  rowsOf,
  running,
  taskOf,
} from "../support/duckdb-scratch.ts";

let engine: Engine;

beforeAll(async () => {
  await openScratch("engine");
  engine = createDuckdbEngine({ childEntry, nodePath: process.execPath });
});

afterAll(closeScratch);

/** Row groups are whole vectors of this many rows, or what the inputs left of them. */
const VECTOR = 2048;

function inputRows(index: number): number {
  return index % 7 === 0 ? 17_000 + index * 13 : index % 50 === 3 ? 0 : 100 + ((index * 37) % 900);
}

describe("rewriting many small files", () => {
  let folder: string;
  let total: number;
  const inputs: TaskInput[] = [];

  beforeAll(async () => {
    folder = await newFolder("many");
    total = 0;
    for (let index = 0; index < 300; index += 1) {
      const rows = inputRows(index);
      const wide = index % 5 === 0 ? 8 : 1;
      const query = `SELECT range + ${total} AS p, repeat(md5(range::VARCHAR), ${wide}) AS s FROM range(${rows})`;
      inputs.push(await fixture(folder, `${index}.parquet`, query));
      total += rows;
    }
  });

  const splits: readonly (readonly [string, readonly number[] | null, number])[] = [
    ["one output", null, 122_880],
    ["smaller row groups", null, 20_480],
    ["three outputs", [333_333, 366_668], 122_880],
    ["an output without rows", [0, 17_000, 1], 50_000],
  ];
  test.each(splits)("keeps order and row-group bounds: %s", async (_, firsts, rowsPerGroup) => {
    const rest = total - (firsts ?? []).reduce((sum, rows) => sum + rows, 0);
    const fractions: number[] = [];
    const task = await taskOf({ folder, inputs, rows: [...(firsts ?? []), rest], rowsPerGroup });
    await running.rewrite(task, (fraction) => fractions.push(fraction));
    let first = 0;
    for (const output of task.outputs) {
      const path = join(folder, output.path);
      const ordered = `SELECT count(*), coalesce(bool_and(p = ${first} + file_row_number), true) FROM '${path}'`;
      expect(await rowsOf(ordered)).toEqual([[BigInt(output.rows), true]]);
      const groups = (await footer(folder, output.path)).row_groups.map((group) => Number(group.num_rows));
      expect(Math.max(0, ...groups)).toBeLessThan(rowsPerGroup + VECTOR);
      expect(Math.min(rowsPerGroup, ...groups.slice(0, -1))).toBeGreaterThan(rowsPerGroup - VECTOR);
      first += output.rows;
    }
    expect(fractions.every((fraction, at) => fraction >= (fractions[at - 1] ?? 0) && fraction <= 1)).toBe(
      true,
    );
    const { columns } = task;
    const before = await running.digest({ folder, files: inputs, columns });
    expect(before.rows).toBe(total);
    expect(await running.digest({ folder, files: task.outputs, columns })).toEqual(before);
  });
});

test("splits one input by position", async () => {
  const folder = await newFolder("single");
  const input = await fixture(folder, "in.parquet", "SELECT range AS p FROM range(500000)");
  const task = await rewrite({ folder, inputs: [input], rows: [200_001, 299_998, 1] });
  const files = task.outputs.map(({ path }) => `'${join(folder, path)}'`).join(", ");
  const query = `SELECT min(p), max(p), count(*) FROM read_parquet([${files}]) GROUP BY file_index ORDER BY 1`;
  expect(await rowsOf(query)).toEqual([
    [0n, 200_000n, 200_001n],
    [200_001n, 499_998n, 299_998n],
    [499_999n, 499_999n, 1n],
  ]);
});

test("carries key-value metadata and the codec", async () => {
  const folder = await newFolder("metadata");
  const input = await fixture(folder, "in.parquet", "SELECT 1 AS a");
  const keyValues = [
    { key: "quote \" and ' here", value: "line\nend \u0000 nul \\ é 😀 '" },
    { key: "geo", value: '{"version":"1.0.0"}' },
    { key: "ARROW:schema", value: "/////w==" },
  ];
  for (const codec of engine.codecs) {
    await rewrite({ folder, inputs: [input], keyValues, codec });
    const written = await footer(folder, "out-0.parquet");
    expect(written.key_value_metadata).toEqual(keyValues);
    expect(written.row_groups[0]?.columns[0]?.meta_data?.codec).toBe(codec.toUpperCase());
  }
});

test("column names that DuckDB uses itself", async () => {
  const folder = await newFolder("names");
  const query = `SELECT range AS file_row_number, 7 AS file_index, 'x' AS filename, 1 AS "a ""b' c.d" FROM range(3)`;
  const inputs = [await fixture(folder, "a.parquet", query), await fixture(folder, "b.parquet", query)];
  const task = await rewrite({ folder, inputs, rows: [4, 2] });
  expect(await rowsOf(`SELECT "file_row_number" FROM '${join(folder, "out-0.parquet")}'`)).toHaveLength(4);
  expect(await columnsIn(folder, "out-1.parquet")).toEqual(task.columns);
  const { columns } = task;
  const before = await running.digest({ folder, files: inputs, columns });
  expect(await running.digest({ folder, files: task.outputs, columns })).toEqual(before);
});

const plusNan = `011111111111${"1".padEnd(52, "0")}`;
const otherNan = `011111111111${"1".padEnd(46, "0")}101010`;
// Chosen as text: the optimizer takes branches with equal values for one.
const zeros = "(CASE WHEN range % 2 = 0 THEN '0.0' ELSE '-0.0' END)::DOUBLE";
const nans = `(CASE WHEN range % 2 = 0 THEN '${plusNan}' ELSE '${otherNan}' END)::BIT::DOUBLE`;

function double(bits: string): string {
  return `'${bits}'::BIT::DOUBLE`;
}

describe("floats that compare equal", () => {
  const cases: readonly (readonly [string, string, string, readonly string[], number])[] = [
    ["both zeros", zeros, "v", [], 2],
    ["both zeros, given up", zeros, "v", ["signed-zero"], 1],
    ["several NaNs", nans, "v", [], 2],
    ["several NaNs, given up", nans, "v", ["nan-payload"], 1],
    ["both zeros in FLOAT", `(${zeros})::FLOAT`, "v", [], 2],
    ["both zeros in a list", `[${zeros}]`, "v[1]", [], 2],
    ["several NaNs in a struct", `{'f': ${nans}}`, "v.f", [], 2],
  ];
  test.each(cases)("%s", async (name, value, leaf, allow, kinds) => {
    const folder = await newFolder(`floats ${name}`);
    const query = `SELECT ${value} AS v FROM range(4000)`;
    const input = await fixture(folder, "in.parquet", query, ", DICTIONARY_SIZE_LIMIT 0");
    const task = await rewrite({ folder, inputs: [input], allow });
    const output = join(folder, "out-0.parquet");
    expect(await rowsOf(`SELECT count(DISTINCT (${leaf})::BIT::VARCHAR) FROM '${output}'`)).toEqual([
      [BigInt(kinds)],
    ]);
    const { columns } = task;
    const before = await running.digest({ folder, files: [input], columns });
    const after = await running.digest({ folder, files: task.outputs, columns });
    expect(after.sum === before.sum).toBe(kinds === 2);
  });

  test("dictionaries stay where floats are plain", async () => {
    const folder = await newFolder("plain floats");
    const input = await fixture(folder, "in.parquet", "SELECT (range % 5 + 1)::DOUBLE AS v FROM range(4000)");
    await rewrite({ folder, inputs: [input] });
    const [group] = (await footer(folder, "out-0.parquet")).row_groups;
    expect(group?.columns[0]?.meta_data?.encodings.join()).toContain("DICTIONARY");
  });
});

describe("the digest tells apart", () => {
  const rows = "(VALUES (1, 'a'), (2, 'b'), (3, 'c')) AS t(x, y)";
  const cases: readonly (readonly [string, string, string])[] = [
    ["a dropped row", `SELECT * FROM ${rows}`, `SELECT * FROM ${rows} WHERE x <> 2`],
    ["a doubled row", `SELECT * FROM ${rows}`, `SELECT * FROM ${rows} UNION ALL SELECT 3, 'c'`],
    ["one row doubled, one dropped", `SELECT * FROM ${rows}`, "VALUES (1, 'a'), (2, 'b'), (2, 'b')"],
    ["two rows swapped", `SELECT * FROM ${rows}`, "VALUES (2, 'b'), (1, 'a'), (3, 'c')"],
    ["values misaligned", `SELECT * FROM ${rows}`, "VALUES (1, 'b'), (2, 'a'), (3, 'c')"],
    ["equal columns swapped", "SELECT 1, 2", "SELECT 2, 1"],
    ["-0.0 for 0.0", "SELECT 0.0::DOUBLE", "SELECT -0.0::DOUBLE"],
    ["-0.0 for 0.0 in FLOAT", "SELECT 0.0::FLOAT", "SELECT -0.0::FLOAT"],
    ["another NaN", `SELECT ${double(plusNan)}`, `SELECT ${double(otherNan)}`],
    ["NULL for []", "SELECT NULL::INT[]", "SELECT []::INT[]"],
    ["[NULL] for []", "SELECT [NULL]::INT[]", "SELECT []::INT[]"],
    ["[NULL] for NULL", "SELECT [NULL]::INT[]", "SELECT NULL::INT[]"],
    ["other inner lists", "SELECT [[1], [2]]", "SELECT [[1, 2]]"],
    ["['NULL'] for [NULL]", "SELECT ['NULL']", "SELECT [NULL]::VARCHAR[]"],
    ["a null struct", "SELECT {'a': NULL::INT}", "SELECT NULL::STRUCT(a INT)"],
    ["a null map", "SELECT MAP {}::MAP(INT, INT)", "SELECT NULL::MAP(INT, INT)"],
    ["-0.0 in a list", "SELECT [0.0::DOUBLE]", "SELECT [-0.0::DOUBLE]"],
    ["another NaN in a struct", `SELECT {'a': [${double(plusNan)}]}`, `SELECT {'a': [${double(otherNan)}]}`],
    [
      "another NaN in a map",
      `SELECT MAP {1: {'b': ${double(plusNan)}}}`,
      `SELECT MAP {1: {'b': ${double(otherNan)}}}`,
    ],
    ["a null struct with a float", "SELECT {'a': NULL::FLOAT}", "SELECT NULL::STRUCT(a FLOAT)"],
    ["other bytes in a list", "SELECT ['\\xFF'::BLOB]", "SELECT ['\\xFE'::BLOB]"],
    ["30 days for a month", "SELECT INTERVAL 1 MONTH", "SELECT INTERVAL 30 DAY"],
    ["30 days for a month in a list", "SELECT [INTERVAL 1 MONTH]", "SELECT [INTERVAL 30 DAY]"],
  ];
  test.each(cases)("%s", async (name, before, after) => {
    const folder = await newFolder(`digest ${name.replaceAll(/\W/g, "_")}`);
    const left = await fixture(folder, "left.parquet", before, ", DICTIONARY_SIZE_LIMIT 0");
    const right = await fixture(folder, "right.parquet", after, ", DICTIONARY_SIZE_LIMIT 0");
    const columns = await columnsIn(folder, "left.parquet");
    const expected = await running.digest({ folder, files: [left], columns });
    expect(await running.digest({ folder, files: [left], columns })).toEqual(expected);
    expect(await running.digest({ folder, files: [right], columns })).not.toEqual(expected);
  });
});

describe("the child process", () => {
  const slow = "SELECT range AS p, md5(range::VARCHAR) AS s FROM range(300000)";

  async function slowTask(name: string): Promise<RewriteTask> {
    const folder = await newFolder(name);
    const input = await fixture(folder, "in.parquet", slow);
    return taskOf({ folder, inputs: Array.from({ length: 40 }, () => input), codec: "gzip" });
  }

  test("rejects at once when killed", async () => {
    const task = await slowTask("killed");
    const own = await engine.start(limits);
    const call = own.rewrite(task, () => {});
    const started = performance.now();
    setTimeout(() => own.kill(), 100);
    await expect(call).rejects.toMatchObject({ code: "Cancelled" });
    expect(performance.now() - started).toBeLessThan(1000);
    await expect(own.digest({ ...task, files: task.inputs })).rejects.toMatchObject({
      code: "Cancelled",
    });
    await own.dispose();
  });

  test("rejects at its deadline", async () => {
    const task = await slowTask("late");
    const own = await engine.start({ ...limits, deadlineMs: 700 });
    await expect(own.rewrite(task, () => {})).rejects.toMatchObject({ code: "DeadlineExceeded" });
    await own.dispose();
  });

  test("says how it crashed", async () => {
    const task = await slowTask("crashed");
    const crash = "data:text/javascript,setTimeout(()=>{console.error(`out_of_luck`);process.abort()},600)";
    const fragile = createDuckdbEngine({
      childEntry,
      nodePath: process.execPath,
      env: { NODE_OPTIONS: `--import=${crash}` },
    });
    const own = await fragile.start(limits);
    await expect(own.rewrite(task, () => {})).rejects.toMatchObject({
      code: "EngineFailed",
      message: expect.stringMatching(/SIGABRT.*out_of_luck/s),
    });
    await own.dispose();
  });

  const nowhere = join(tmpdir(), "nowhere.mjs");
  const missing: readonly (readonly [string, Partial<DuckdbEngineOptions>, RegExp])[] = [
    ["its entry", { childEntry: nowhere }, /nowhere\.mjs/],
    ["its runtime", { nodePath: nowhere }, /could not be run/],
  ];
  test.each(missing)("is unavailable without %s", async (_, options, message) => {
    const absent = createDuckdbEngine({ childEntry, nodePath: process.execPath, ...options });
    await expect(absent.start(limits)).rejects.toMatchObject({
      code: "EngineUnavailable",
      message: expect.stringMatching(message),
    });
  });

  test("that never answers is given up, and so is one that is no longer wanted", async () => {
    const mute = join(await newFolder("mute"), "child.mjs");
    await writeFile(mute, "setInterval(() => {}, 1000);");
    const options = { childEntry: mute, nodePath: process.execPath };
    await expect(createDuckdbEngine({ ...options, startMs: 50 }).start(limits)).rejects.toMatchObject({
      code: "EngineUnavailable",
      message: expect.stringMatching(/did not start within 0\.05 s/),
    });
    const cancel = new AbortController();
    const started = createDuckdbEngine(options).start(limits, cancel.signal);
    cancel.abort();
    await expect(started).rejects.toMatchObject({ code: "Cancelled" });
    await expect(engine.start(limits, cancel.signal)).rejects.toMatchObject({ code: "Cancelled" });
  });

  test("reads and writes nothing outside its folder", async () => {
    const folder = await newFolder("inside");
    const outside = await newFolder("outside");
    const input = await fixture(folder, "in.parquet", "SELECT 1 AS a");
    await fixture(outside, "other.parquet", "SELECT 1 AS a");
    const task = await taskOf({ folder, inputs: [input] });
    const stray = { path: "../outside/other.parquet", rows: 1 };
    const refused = { code: "EngineFailed", message: expect.stringMatching(/disabled by configuration/) };
    await expect(running.rewrite({ ...task, inputs: [stray] }, () => {})).rejects.toMatchObject(refused);
    const written = { ...task, outputs: [{ path: "../outside/new.parquet", rows: 1 }] };
    await expect(running.rewrite(written, () => {})).rejects.toMatchObject(refused);
    expect(await readdir(outside)).toEqual(["other.parquet"]);
    await running.rewrite(task, () => {});
  });

  test("tells a broken file from a broken engine", async () => {
    const folder = await newFolder("wrong counts");
    const input = await fixture(folder, "in.parquet", "SELECT 1 AS a");
    const task = await taskOf({ folder, inputs: [{ ...input, rows: 2 }] });
    await expect(running.rewrite(task, () => {})).rejects.toMatchObject({ code: "EngineFailed" });
    expect((await running.digest({ folder, files: [input], columns: task.columns })).rows).toBe(1);
  });
});

test("a folder name full of pattern characters", async () => {
  const folder = await newFolder('[x]\'*? {a,b} "q" %20');
  const inputs = [
    await fixture(folder, "[1]*.parquet", "SELECT range AS p FROM range(10)"),
    await fixture(folder, "1x.parquet", "SELECT range + 10 AS p FROM range(10)"),
  ];
  const task = await rewrite({ folder, inputs, rows: [5, 15] });
  const { columns } = task;
  const before = await running.digest({ folder, files: inputs, columns });
  expect(await running.digest({ folder, files: task.outputs, columns })).toEqual(before);
});
