import { statSync } from "node:fs";
import { stat, statfs } from "node:fs/promises";
import { join } from "node:path";
import type { DuckDBConnection } from "@duckdb/node-api";
import { DuckDBInstance, version } from "@duckdb/node-api";
import type { DigestTask, EngineLimits, RewriteTask, RowDigest, TaskInput } from "../engine.ts";
import type { ChildMessage, ChildRequest, ChildResult, ChildTask } from "./duckdb.ts";
import type { SourceFile } from "./duckdb-sql.ts";
import {
  copyStatement,
  digestStatement,
  hasNestedFloat,
  literalPattern,
  quoteText,
  surveyStatement,
} from "./duckdb-sql.ts";

// Entry of the engine's process, which ends with its parent.

const PROGRESS_EVERY_MS = 100;
/** Share of the free disk that spilling may take. */
const SPILL_SHARE = 0.5;

interface Database {
  readonly folder: string;
  readonly instance: DuckDBInstance;
  readonly connection: DuckDBConnection;
}

let database: Database | null = null;
/** The latest rewrite's inputs were digested on the way: pinned files do not change, or the run is given up. */
let surveyed: { readonly statement: string; readonly digest: RowDigest } | null = null;
let busy = 0;
let queue: Promise<void> = Promise.resolve();

process.on("disconnect", end);
// Ctrl-C reaches the whole process group: the parent decides what becomes of the run.
process.on("SIGINT", () => {});

process.on("message", (request: ChildRequest) => {
  if (request.kind === "close") end();
  else enqueue(request);
});

send({ kind: "ready", version: version() });

/** A statement under way cannot be waited for, and ends with nothing less. */
function end(): void {
  if (busy > 0) process.kill(process.pid, "SIGKILL");
  closeDatabase();
  process.exit(0);
}

function enqueue(request: ChildTask): void {
  busy += 1;
  queue = queue.then(async () => {
    send(await answer(request));
    busy -= 1;
  });
}

function send(message: ChildMessage): void {
  if (process.connected) process.send?.(message);
}

async function answer(request: ChildTask): Promise<ChildMessage> {
  try {
    return { kind: "result", id: request.id, result: await perform(request) };
  } catch (error) {
    return {
      kind: "failure",
      id: request.id,
      message: error instanceof Error ? error.message : String(error),
    };
  }
}

/** Threads hold row groups of their own: where memory is short for several, it may do for one. */
async function perform(request: ChildTask): Promise<ChildResult> {
  try {
    return await attempt(request, request.limits);
  } catch (error) {
    const short = error instanceof Error && error.message.startsWith("Out of Memory Error");
    if (!short || request.limits.threads === 1) throw error;
    closeDatabase();
    return attempt(request, { ...request.limits, threads: 1 });
  }
}

async function attempt(request: ChildTask, limits: EngineLimits): Promise<ChildResult> {
  const { connection } = await open(request.task.folder, limits);
  if (request.kind === "digest") return digest(connection, request.task);
  await rewrite(connection, request.task, (fraction) => send({ kind: "progress", id: request.id, fraction }));
  return null;
}

/** One database per run folder, so that the lockdown names no folder but that. */
async function open(folder: string, limits: EngineLimits): Promise<Database> {
  if (database?.folder === folder) return database;
  closeDatabase();
  const instance = await DuckDBInstance.create(":memory:");
  const connection = await instance.connect();
  database = { folder, instance, connection };
  for (const statement of await lockdown(folder, limits)) await connection.run(statement);
  return database;
}

function closeDatabase(): void {
  database?.connection.closeSync();
  database?.instance.closeSync();
  database = null;
}

/**
 * In the one order that works: nothing can be set after the lock, and no folder allowed after external access is
 * off. The boundary is this process; the lockdown is defence in depth.
 */
async function lockdown(folder: string, limits: EngineLimits): Promise<readonly string[]> {
  const disk = await statfs(folder);
  const spillBytes = Math.floor(disk.bavail * disk.bsize * SPILL_SHARE);
  const settings = [
    `memory_limit = '${limits.memoryBytes} B'`,
    `threads = ${limits.threads}`,
    `temp_directory = ${quoteText(join(folder, "tmp"))}`,
    `max_temp_directory_size = '${spillBytes} B'`,
    "autoinstall_known_extensions = false",
    "autoload_known_extensions = false",
    "preserve_insertion_order = true",
    "TimeZone = 'UTC'",
    "enable_progress_bar = true",
    "enable_progress_bar_print = false",
    // The cache trusts sizes and times of files; validation must read what is on disk.
    "enable_external_file_cache = false",
    // Otherwise `geo` metadata changes the types of plain columns, and a second `geo` entry is written.
    "enable_geoparquet_conversion = false",
    // File lists hold patterns, and a pattern is checked as it is written before what it matches is.
    `allowed_directories = [${quoteText(folder)}, ${quoteText(literalPattern(folder))}]`,
    "enable_external_access = false",
    "lock_configuration = true",
  ];
  return settings.map((setting) => `SET ${setting}`);
}

async function rewrite(
  connection: DuckDBConnection,
  task: RewriteTask,
  onProgress: (fraction: number) => void,
): Promise<void> {
  const { codec, columns, keyValues, rowsPerGroup } = task;
  const files = sourceFiles(task.folder, task.inputs);
  const inputBytes = await totalBytes(files);
  const dictionary = await dictionaryKeeps(connection, files, task);
  const total = task.outputs.reduce((sum, { rows }) => sum + rows, 0);
  let firstRow = 0;
  for (const { path, rows } of task.outputs) {
    const output = join(task.folder, path);
    const range = { files, firstRow, rows, output };
    const statement = copyStatement({ ...range, codec, columns, keyValues, rowsPerGroup, dictionary });
    const before = firstRow;
    const stop = reportProgress(connection, output, (inputBytes * rows) / total, (share) => {
      onProgress((before + share * rows) / total);
    });
    const [written] = await firstRowOf(connection, statement).finally(stop);
    if (Number(written) !== rows)
      throw new Error(`${path} received ${written} rows where ${rows} were planned.`);
    firstRow += rows;
  }
}

async function totalBytes(files: readonly SourceFile[]): Promise<number> {
  let bytes = 0;
  for (const { path } of files) bytes += (await stat(path)).size;
  return bytes;
}

/** Whether dictionaries would keep every zero and NaN apart that the policy does not give up. */
async function dictionaryKeeps(
  connection: DuckDBConnection,
  files: readonly SourceFile[],
  { allow, columns }: RewriteTask,
): Promise<boolean> {
  const zerosMatter = !allow.includes("signed-zero");
  const payloadsMatter = !allow.includes("nan-payload");
  if (!zerosMatter && !payloadsMatter) return true;
  if (hasNestedFloat(columns)) return false;
  const survey = surveyStatement(files, columns);
  if (survey === null) return true;
  const [rows, sum, zeros, payloads] = await firstRowOf(connection, survey);
  surveyed = { statement: digestStatement(files, columns), digest: { rows: Number(rows), sum: String(sum) } };
  return !(zerosMatter && zeros === true) && !(payloadsMatter && payloads === true);
}

/** Over several files DuckDB reports nothing until the end; the output's size stands in for it. */
function reportProgress(
  connection: DuckDBConnection,
  output: string,
  expectedBytes: number,
  onShare: (share: number) => void,
): () => void {
  let best = 0;
  const timer = setInterval(() => {
    const bytes = statSync(output, { throwIfNoEntry: false })?.size ?? 0;
    best = Math.max(best, connection.progress.percentage / 100, Math.min(0.99, bytes / expectedBytes));
    onShare(Math.min(best, 1));
  }, PROGRESS_EVERY_MS);
  return () => clearInterval(timer);
}

async function digest(connection: DuckDBConnection, task: DigestTask): Promise<RowDigest> {
  if (task.files.length === 0) return { rows: 0, sum: "0" };
  const files = sourceFiles(task.folder, task.files);
  const statement = digestStatement(files, task.columns);
  if (surveyed?.statement === statement) return surveyed.digest;
  const [rows, sum] = await firstRowOf(connection, statement);
  return { rows: Number(rows), sum: String(sum) };
}

function sourceFiles(folder: string, files: readonly TaskInput[]): readonly SourceFile[] {
  return files.map(({ path, rows }) => ({ path: join(folder, path), rows }));
}

async function firstRowOf(connection: DuckDBConnection, statement: string): Promise<readonly unknown[]> {
  const reader = await connection.runAndReadAll(statement);
  return reader.getRowsJS()[0] ?? [];
}
