import { randomBytes } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { resolve } from "node:path";
import { createInterface } from "node:readline/promises";
import { setTimeout as delay } from "node:timers/promises";
import packageJson from "../package.json" with { type: "json" };
import type { CliIo } from "./cli/io.ts";
import { runCli } from "./cli/program.ts";
import { linkInProcess } from "./cli-link.ts";
import { serveConnection } from "./connection.ts";
import { Daemon } from "./daemon.ts";
import { createDuckdbEngine } from "./engines/duckdb.ts";
import { errno, nodeFs } from "./fs.ts";
import { createInventory } from "./inventory.ts";
import { createInventoryPool } from "./inventory-pool.ts";
import { createChokidarWatcher } from "./watchers/chokidar.ts";

const DEFAULT_MEMORY_BYTES = 2 ** 30;
const DEADLINE_MS = 60 * 60_000;
const CLIENT_POLL_MS = 2_000;

/** Workers and children are bundles beside this one. */
function entry(name: string): URL {
  return new URL(`./${name}.mjs`, import.meta.url);
}

function createDaemon(): Daemon {
  const pool = createInventoryPool({ workerEntry: entry("inventory-worker") });
  return new Daemon({
    ports: {
      fs: nodeFs,
      now: () => Date.now(),
      clock: () => performance.now(),
      sleep: (ms) => delay(ms),
      randomHex: (bytes) => randomBytes(bytes).toString("hex"),
    },
    engine: createDuckdbEngine({ childEntry: entry("duckdb-child"), nodePath: process.execPath }),
    watcher: createChokidarWatcher({ workerEntry: entry("watch-worker") }),
    createInventory: (root, smallFileBytes) =>
      createInventory({ root, pool, smallFileBytes, now: () => Date.now() }),
    checkerEntry: entry("validate-worker"),
    defaults: { memoryBytes: DEFAULT_MEMORY_BYTES, threads: availableParallelism(), deadlineMs: DEADLINE_MS },
    version: packageJson.version,
  });
}

/** Nothing but frames goes to stdout; the end of stdin or of the client's process ends the daemon. */
async function serve(options: { readonly clientProcessId?: number }): Promise<number> {
  const daemon = createDaemon();
  const watchClient = (pid: number): void => {
    const timer = setInterval(() => {
      if (isAlive(pid)) return;
      clearInterval(timer);
      process.stdin.destroy();
    }, CLIENT_POLL_MS);
    timer.unref();
  };
  if (options.clientProcessId !== undefined) watchClient(options.clientProcessId);
  process.once("SIGTERM", () => process.stdin.destroy());
  process.once("SIGINT", () => process.stdin.destroy());
  return serveConnection({
    daemon,
    input: process.stdin,
    output: process.stdout,
    onClientProcess: watchClient,
  });
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return errno(error) !== "ESRCH";
  }
}

function createIo(): CliIo {
  const interrupted = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => interrupted.abort());
  return {
    out: (text) => void process.stdout.write(text),
    err: (text) => void process.stderr.write(text),
    outIsTty: process.stdout.isTTY === true,
    errIsTty: process.stderr.isTTY === true,
    columns: process.stdout.columns ?? 80,
    color: process.env.NO_COLOR === undefined && process.stdout.isTTY === true,
    confirm,
    signal: interrupted.signal,
    now: () => Date.now(),
    readFile: (path) => readFile(path, "utf8"),
    writeFile: (path, text) => writeFile(path, text),
    resolvePath: (path) => resolve(path),
    sleep: (ms, signal) => delay(ms, undefined, { signal }),
  };
}

async function confirm(question: string): Promise<boolean> {
  if (!process.stdin.isTTY) return false;
  const prompt = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return /^y(es)?$/i.test((await prompt.question(`${question} [y/N] `)).trim());
  } finally {
    prompt.close();
  }
}

// A reader that goes away (`| head`) must not end a run half-way; `serve` notices it by itself.
for (const stream of [process.stdout, process.stderr]) stream.on("error", () => {});

const code = await runCli(process.argv.slice(2), {
  io: createIo(),
  connect: () => linkInProcess({ daemon: createDaemon() }),
  serve,
  version: packageJson.version,
});
// Large output to a pipe is written asynchronously: let it drain, then end whatever a library left running.
await new Promise<void>((done) => void process.stdout.write("", () => done()));
process.exit(code);
