// A process that reads directories over and over, knowing nothing of the swaps in them.
import { closeSync, fstatSync, openSync, readdirSync, readFileSync, readSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { DuckDBInstance, version as duckdbVersion } from "@duckdb/node-api";
import { asyncBufferFromFile, parquetMetadata, parquetReadObjects } from "hyparquet";
import { compressors } from "hyparquet-compressors";
import { type Layout, rowsIn, rowsOfName } from "./layout.ts";
import type { Answer, Job } from "./messages.ts";
import { countRows, type Seen } from "./verdict.ts";

/** Calls `onListed` when the names are known and `onOpened` whenever one more file is open, where it can tell. */
type ReadDir = (dir: string, onListed?: () => void, onOpened?: () => void) => Promise<Iterable<number>>;

interface Reader {
  readonly version: string;
  /** Every id in the directory, as this reader sees it. */
  readonly read: ReadDir;
  readonly list: (dir: string) => Promise<readonly string[]>;
}

const job = JSON.parse(process.argv[2] ?? "") as Job;
const reader = await createReader(job.reader, job.layout);
const rows = rowsIn(job.layout);
if (job.timing === null) await hammer();
else await measure(job.timing.lists, job.timing.reads);

async function hammer(): Promise<never> {
  process.stdin.on("end", () => process.exit(0)).resume();
  for (const dir of job.dirs) await readOnce(dir);
  answer({ kind: "ready", version: reader.version, nowUs: nowUs() });
  while (true) {
    const dir = Math.floor(Math.random() * job.dirs.length);
    const startUs = nowUs();
    const seen = await readOnce(job.dirs[dir] ?? "");
    answer({ kind: "read", dir, startUs, endUs: nowUs(), ...seen });
    // Lets the end of stdin be noticed where a reader never waits.
    await new Promise((resolve) => setImmediate(resolve));
  }
}

async function readOnce(dir: string): Promise<Seen> {
  let ids: Iterable<number>;
  try {
    ids = await reader.read(dir);
  } catch (error) {
    return { missing: 0, repeated: 0, error: String(error).replaceAll(dir, "") };
  }
  return { ...countRows(ids, rows), error: null };
}

async function measure(lists: number, reads: number): Promise<void> {
  const dir = job.dirs[0] ?? "";
  await reader.list(dir);
  answer({ kind: "ready", version: reader.version, nowUs: nowUs() });
  for (let round = 0; round < lists; round += 1) {
    const start = nowUs();
    await reader.list(dir);
    answer({ kind: "timing", what: "list", us: nowUs() - start });
  }
  for (let round = 0; round < reads; round += 1) {
    const start = nowUs();
    let listed: number | null = null;
    let opened: number | null = null;
    await reader.read(
      dir,
      () => {
        listed = nowUs();
      },
      () => {
        opened = nowUs();
      },
    );
    answer({ kind: "timing", what: "read", us: nowUs() - start });
    if (listed !== null && opened !== null)
      answer({ kind: "timing", what: "list_to_last_open", us: opened - listed });
  }
}

function answer(message: Answer): void {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}

function nowUs(): number {
  return Number(process.hrtime.bigint() / 1000n);
}

async function createReader(name: string, layout: Layout): Promise<Reader> {
  switch (name) {
    case "duckdb":
      return duckdb();
    case "duckdb-glob":
      return listOnly(await duckdb(), layout);
    case "hyparquet":
      return { version: versionOf("hyparquet"), read: readWithHyparquet, list: listParquet };
    case "loop":
      return { version: process.version, read: loop({ skipGone: false }), list: listParquet };
    case "loop-skip":
      return { version: process.version, read: loop({ skipGone: true }), list: listParquet };
    case "readdir":
      return listOnly({ version: process.version, list: listParquet }, layout);
    default:
      throw new Error(`no reader is called ${name}`);
  }
}

async function listParquet(dir: string): Promise<readonly string[]> {
  return (await readdir(dir)).filter((name) => name.endsWith(".parquet"));
}

async function duckdb(): Promise<Reader> {
  const instance = await DuckDBInstance.create(":memory:");
  const connection = await instance.connect();
  const column = async (sql: string): Promise<readonly unknown[]> =>
    (await connection.runAndReadAll(sql)).getRows().map(([value]) => value);
  return {
    version: duckdbVersion(),
    read: async (dir) => (await column(`select id from read_parquet('${dir}/*.parquet')`)).map(Number),
    list: async (dir) => (await column(`select file from glob('${dir}/*.parquet')`)).map(String),
  };
}

/** Opens nothing: a file's name says which rows it would have read. */
function listOnly({ version, list }: Pick<Reader, "version" | "list">, layout: Layout): Reader {
  const read = async (dir: string): Promise<readonly number[]> =>
    (await list(dir)).flatMap((path) => {
      const range = rowsOfName(layout, path.slice(path.lastIndexOf("/") + 1));
      return range === null ? [] : Array.from({ length: range.rows }, (_, index) => range.from + index);
    });
  return { version, read, list };
}

async function readWithHyparquet(
  ...[dir, onListed, onOpened]: Parameters<ReadDir>
): Promise<Iterable<number>> {
  const names = await listParquet(dir);
  onListed?.();
  const ids: number[] = [];
  for (const name of names) {
    const file = await asyncBufferFromFile(join(dir, name));
    const found = await parquetReadObjects({ file, columns: ["id"], compressors });
    onOpened?.();
    for (const { id } of found) ids.push(Number(id));
  }
  return ids;
}

/** Lists, then opens each name and reads its footer. `skipGone` is what `if os.path.exists(…)` in a script does. */
function loop({ skipGone }: { readonly skipGone: boolean }): ReadDir {
  return async (dir, onListed, onOpened) => {
    const names = readdirSync(dir).filter((name) => name.endsWith(".parquet"));
    onListed?.();
    const ids: number[] = [];
    for (const name of names) {
      try {
        ids.push(...idsInFooter(join(dir, name)));
      } catch (error) {
        if (!(skipGone && (error as NodeJS.ErrnoException).code === "ENOENT")) throw error;
      }
      onOpened?.();
    }
    return ids;
  };
}

/** The ids are consecutive, so that their bounds tell them all. */
function idsInFooter(path: string): readonly number[] {
  const handle = openSync(path, "r");
  const bytes = new Uint8Array(fstatSync(handle).size);
  readSync(handle, bytes);
  closeSync(handle);
  return parquetMetadata(bytes.buffer).row_groups.flatMap(({ columns, num_rows }) => {
    const bounds = columns[0]?.meta_data?.statistics;
    if (typeof bounds?.min_value !== "bigint") throw new Error(`${path} has no bounds`);
    const from = Number(bounds.min_value);
    return Array.from({ length: Number(num_rows) }, (_, index) => from + index);
  });
}

/** The package does not export its package.json. */
function versionOf(name: string): string {
  const repository = process.env.TAMP_REPOSITORY ?? process.cwd();
  const text = readFileSync(join(repository, "node_modules", name, "package.json"), "utf8");
  return (JSON.parse(text) as { version: string }).version;
}
