/** The built `tamp` as a process of its own, its children, and datasets whose rewrite takes a while. Linux only. */
import { type ChildProcess, type SpawnOptions, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { DuckDBInstance } from "@duckdb/node-api";
import type { DaemonClient } from "../../server/src/cli/client.ts";
import { createClient } from "../../server/src/cli-link.ts";
import { createRpc, type MessageConnection } from "../../server/src/rpc.ts";

/** `npm run bench` bundles its scripts elsewhere and names the repository. */
const repository = process.env.TAMP_REPOSITORY ?? fileURLToPath(new URL("../..", import.meta.url));
export const TAMP = join(repository, "server", "bin", "tamp.mjs");

export interface Finished {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly out: string;
  readonly err: string;
}

export interface TampProcess {
  readonly child: ChildProcess;
  readonly pid: number;
  readonly finished: Promise<Finished>;
}

/** Runs `tamp`; `prefix` is a program that runs it in turn, such as `prlimit --nofile=32`. */
export function startTamp(
  args: readonly string[],
  options: SpawnOptions = {},
  prefix: readonly string[] = [],
): TampProcess {
  const [program = "", ...rest] = [...prefix, process.execPath, TAMP, ...args];
  const child = spawn(program, rest, { stdio: ["ignore", "pipe", "pipe"], ...options });
  let out = "";
  let err = "";
  child.stdout?.on("data", (chunk: Buffer) => {
    out += chunk.toString();
  });
  child.stderr?.on("data", (chunk: Buffer) => {
    err += chunk.toString();
  });
  const finished = once(child, "close").then(([code, signal]): Finished => ({ code, signal, out, err }));
  return { child, pid: child.pid ?? 0, finished };
}

export function tamp(...args: readonly string[]): Promise<Finished> {
  return startTamp(args).finished;
}

export interface Server {
  readonly child: ChildProcess;
  readonly pid: number;
  readonly connection: MessageConnection;
  readonly client: DaemonClient;
  readonly exited: Promise<unknown>;
}

/** `tamp serve --stdio`, told that `clientPid` is its client. */
export async function startServer(
  clientPid: number | null = null,
  prefix: readonly string[] = [],
): Promise<Server> {
  const [program = "", ...rest] = [...prefix, process.execPath, TAMP, "serve", "--stdio"];
  const child = spawn(program, rest, { stdio: ["pipe", "pipe", "inherit"] });
  const exited = once(child, "exit");
  const connection = createRpc(child.stdout, child.stdin);
  connection.onError(() => {});
  // Calls under way are rejected then, and by nothing else.
  child.once("close", () => connection.dispose());
  connection.listen();
  await connection.sendRequest("initialize", { processId: clientPid, clientInfo: { name: "test" } });
  await connection.sendNotification("initialized");
  const client = createClient(connection, async () => {
    await connection.sendRequest("shutdown");
    await connection.sendNotification("exit");
    await exited;
  });
  return { child, pid: child.pid ?? 0, connection, client, exited };
}

/** A process that no later one with its id is taken for. */
export interface KnownProcess {
  readonly pid: number;
  readonly start: string;
}

/** The processes that `pid` started and that live. */
export function childrenOf(pid: number): readonly KnownProcess[] {
  const pids = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  return pids.flatMap((name) => {
    const known = processState(Number(name));
    return known !== null && known.parent === pid && known.state !== "Z" ? [known] : [];
  });
}

export function isGone({ pid, start }: KnownProcess): boolean {
  const found = processState(pid);
  return found === null || found.start !== start || found.state === "Z" || found.state === "X";
}

function processState(
  pid: number,
): (KnownProcess & { readonly parent: number; readonly state: string }) | null {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "utf8");
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
    return { pid, state: fields[0] ?? "", parent: Number(fields[1]), start: fields[19] ?? "" };
  } catch {
    return null;
  }
}

/** Waits for what must come; where it can only come from `child`, no longer than that lives. */
export async function until(condition: () => boolean, child?: ChildProcess): Promise<void> {
  while (!condition()) {
    if (child !== undefined && hasEnded(child)) throw new Error("the process ended before it came to that");
    await delay(2);
  }
}

export function hasEnded({ exitCode, signalCode }: ChildProcess): boolean {
  return exitCode !== null || signalCode !== null;
}

export function workspaceOf(root: string): string {
  return join(dirname(root), `.${basename(root)}.tamp`);
}

/** Paths relative to `folder` of all that is not a directory; none where the folder is gone. */
export function filesBelow(folder: string): readonly string[] {
  if (!existsSync(folder)) return [];
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true });
  const paths = entries
    .filter((entry) => !entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name));
  return paths.map((path) => path.slice(folder.length + 1)).sort();
}

/** Inode, mtime and size of every file by its path. */
export function stampsOf(root: string): ReadonlyMap<string, string> {
  return new Map(
    filesBelow(root).map((path) => {
      const { ino, mtimeNs, size } = statSync(join(root, path), { bigint: true });
      return [path, `${ino} ${mtimeNs} ${size}`];
    }),
  );
}

/** The outputs that a run has staged so far, with what is written of each. */
export function stagedBytes(root: string): readonly number[] {
  const workspace = workspaceOf(root);
  const staged = filesBelow(workspace).filter((path) => path.endsWith(".pqstage"));
  return staged.map((path) => statSync(join(workspace, path), { throwIfNoEntry: false })?.size ?? 0);
}

/** `files` Parquet files whose rewrite with gzip takes seconds: their text hardly compresses. */
export async function writeSlowFiles(root: string, files: number, rows: number): Promise<void> {
  mkdirSync(root, { recursive: true });
  const instance = await DuckDBInstance.create(":memory:");
  const db = await instance.connect();
  for (let file = 0; file < files; file += 1) {
    const columns = `${file * rows} + i AS id, md5((i + ${file * rows})::VARCHAR) || md5((i * 7)::VARCHAR) AS payload`;
    const path = join(root, `part-${file}.parquet`).replaceAll("'", "''");
    await db.run(`COPY (SELECT ${columns} FROM range(${rows}) t(i)) TO '${path}' (FORMAT parquet)`);
  }
  db.closeSync();
  instance.closeSync();
}
