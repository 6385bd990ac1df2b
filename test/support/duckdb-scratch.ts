/** A scratch folder, a DuckDB of the test's own to make and read files, and the DuckDB engine under test. */
import { mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { type DuckDBConnection, DuckDBInstance } from "@duckdb/node-api";
import type { ColumnSchema } from "@tamp/core";
import { build } from "esbuild";
import { type FileMetaData, parquetMetadata } from "hyparquet";
import type {
  EngineLimits,
  KeyValue,
  RewriteTask,
  RunningEngine,
  TaskInput,
} from "../../server/src/engine.ts";
import { createDuckdbEngine } from "../../server/src/engines/duckdb.ts";
import { columnsOf } from "../../server/src/footer-schema.ts";

const repository = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

export const limits: EngineLimits = { memoryBytes: 512 * 2 ** 20, threads: 2, deadlineMs: 15_000 };

/** Of the test file that opened it: every test file loads this module anew. */
export let childEntry: string;
export let running: RunningEngine;
let scratch: string;
let sql: DuckDBConnection;

/** `name` keeps the bundles of test files that run at the same time apart. */
export async function openScratch(name: string): Promise<void> {
  childEntry = join(repository, `node_modules/.cache/test-build/duckdb-child-${name}.mjs`);
  await build({
    entryPoints: [join(repository, "server/src/engines/duckdb-child.ts")],
    outfile: childEntry,
    bundle: true,
    platform: "node",
    format: "esm",
    external: ["@duckdb/node-api"],
    logLevel: "error",
  });
  scratch = await mkdtemp(join(tmpdir(), "tamp-engine-"));
  sql = await (await DuckDBInstance.create(":memory:")).connect();
  await sql.run("SET enable_external_file_cache = false; SET TimeZone = 'UTC'");
  running = await createDuckdbEngine({ childEntry, nodePath: process.execPath }).start(limits);
}

export async function closeScratch(): Promise<void> {
  await running.dispose();
  sql.closeSync();
  await rm(scratch, { recursive: true, force: true });
}

export async function newFolder(name: string): Promise<string> {
  const folder = join(scratch, name);
  await mkdir(folder, { recursive: true });
  return folder;
}

export async function rowsOf(query: string): Promise<readonly (readonly unknown[])[]> {
  return (await sql.runAndReadAll(query)).getRowsJS();
}

/** A fixture from a query, in `folder`. */
export async function fixture(folder: string, name: string, query: string, options = ""): Promise<TaskInput> {
  const path = join(folder, name).replaceAll("'", "''");
  const [row] = await rowsOf(`COPY (${query}) TO '${path}' (FORMAT parquet${options})`);
  return { path: name, rows: Number(row?.[0]) };
}

export async function footer(folder: string, name: string): Promise<FileMetaData> {
  return parquetMetadata(await readFile(join(folder, name)), { geoparquet: false });
}

export async function columnsIn(folder: string, name: string): Promise<readonly ColumnSchema[]> {
  return columnsOf(await footer(folder, name));
}

export interface TaskParts {
  readonly folder: string;
  readonly inputs: readonly TaskInput[];
  readonly rows?: readonly number[];
  readonly rowsPerGroup?: number;
  readonly keyValues?: readonly KeyValue[];
  readonly allow?: readonly string[];
  readonly codec?: string;
}

export async function taskOf(parts: TaskParts): Promise<RewriteTask> {
  const { folder, inputs } = parts;
  const total = inputs.reduce((sum, { rows }) => sum + rows, 0);
  return {
    folder,
    inputs,
    outputs: (parts.rows ?? [total]).map((rows, index) => ({ path: `out-${index}.parquet`, rows })),
    codec: parts.codec ?? "zstd",
    rowsPerGroup: parts.rowsPerGroup ?? 122_880,
    keyValues: parts.keyValues ?? [],
    columns: await columnsIn(folder, inputs[0]?.path ?? ""),
    allow: parts.allow ?? [],
  };
}

export async function rewrite(parts: TaskParts): Promise<RewriteTask> {
  const task = await taskOf(parts);
  await running.rewrite(task, () => {});
  return task;
}
