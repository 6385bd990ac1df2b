import { randomBytes } from "node:crypto";
import { readFile, realpath, writeFile } from "node:fs/promises";
import { availableParallelism, homedir } from "node:os";
import { basename, dirname, isAbsolute, join, resolve } from "node:path";
import { createInterface } from "node:readline/promises";
import { setTimeout as delay } from "node:timers/promises";
import packageJson from "../package.json" with { type: "json" };
import { createChecker } from "./checker.ts";
import type { CliIo } from "./cli/io.ts";
import { EXIT_FINE, EXIT_PROBLEM } from "./cli/problem.ts";
import { runCli } from "./cli/program.ts";
import { linkInProcess } from "./cli-link.ts";
import { serveConnection } from "./connection.ts";
import { Daemon } from "./daemon.ts";
import { createDatasetHistory } from "./dataset-history.ts";
import { createDuckdbEngine } from "./engines/duckdb.ts";
import { errno, nodeFs } from "./fs.ts";
import { createInventory } from "./inventory.ts";
import { createInventoryPool } from "./inventory-pool.ts";
import { createSnapshotStore } from "./inventory-snapshot.ts";
import { createOpenWriters } from "./open-writers.ts";
import { createPolicyWatch, POLICY_POLL_MS } from "./policy-watch.ts";
import { hostProcesses, isAlive } from "./processes.ts";
import { createUserSettings } from "./user-settings.ts";
import { createThreadedWatcher } from "./watchers/threaded.ts";

const DEFAULT_MEMORY_BYTES = 2 ** 30;
const DEADLINE_MS = 60 * 60_000;
const CLIENT_POLL_MS = 500;
const ENDING_SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** Workers and children are bundles beside this one. */
function entry(name: string): URL {
  return new URL(`./${name}.mjs`, import.meta.url);
}

function createDaemon(): Daemon {
  const pool = createInventoryPool({ workerEntry: entry("inventory-worker") });
  const cache = userFolder("XDG_CACHE_HOME", ".cache");
  const snapshots = cache === null ? null : createSnapshotStore(join(cache, "inventories"), () => Date.now());
  const folder = userFolder("XDG_STATE_HOME", ".local/state");
  const user = createUserSettings(process.env, homeFolder());
  return new Daemon({
    ports: {
      fs: nodeFs,
      processes: hostProcesses,
      openWriters: createOpenWriters(() => performance.now()),
      now: () => Date.now(),
      clock: () => performance.now(),
      sleep: (ms) => delay(ms),
      stateFolder: folder,
      user,
      randomHex: (bytes) => randomBytes(bytes).toString("hex"),
    },
    engine: createDuckdbEngine({ childEntry: entry("duckdb-child"), nodePath: process.execPath }),
    watcher: createThreadedWatcher({ workerEntry: entry("watch-worker") }),
    createInventory: (options) => createInventory({ ...options, pool, snapshots, now: () => Date.now() }),
    createHistory: (root) => createDatasetHistory({ folder, root, now: () => Date.now() }),
    policyWatch: createPolicyWatch({ fs: nodeFs, configFolder: user.configFolder, everyMs: POLICY_POLL_MS }),
    createChecker: (deadlineMs) => createChecker(entry("checker-worker"), deadlineMs),
    defaults: { memoryBytes: DEFAULT_MEMORY_BYTES, threads: availableParallelism(), deadlineMs: DEADLINE_MS },
    version: packageJson.version,
  });
}

/** `$XDG_STATE_HOME/tamp` and the like, in the user's home where it is not set; null for a user without one. */
function userFolder(variable: "XDG_CACHE_HOME" | "XDG_STATE_HOME", below: string): string | null {
  const { [variable]: given = "" } = process.env;
  if (isAbsolute(given)) return join(given, "tamp");
  const home = homeFolder();
  return home === null ? null : join(home, below, "tamp");
}

function homeFolder(): string | null {
  try {
    return homedir();
  } catch {
    return null;
  }
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
  for (const signal of ENDING_SIGNALS) process.once(signal, () => process.stdin.destroy());
  return serveConnection({
    daemon,
    input: process.stdin,
    output: process.stdout,
    onClientProcess: watchClient,
  });
}

function createIo(): CliIo {
  const interrupted = new AbortController();
  for (const signal of ENDING_SIGNALS) process.on(signal, () => interrupted.abort());
  return {
    out: (text) => void process.stdout.write(text),
    err: (text) => void process.stderr.write(text),
    outIsTty: process.stdout.isTTY === true,
    errIsTty: process.stderr.isTTY === true,
    columns: process.stdout.columns ?? (Number(process.env.COLUMNS) || 80),
    color: process.env.NO_COLOR === undefined && process.stdout.isTTY === true,
    confirm: (question) => confirm(question, interrupted.signal),
    signal: interrupted.signal,
    now: () => Date.now(),
    readFile: (path) => readFile(path, "utf8"),
    createFile: (path, text) => writeFile(path, text, { flag: "wx" }),
    resolvePath: (path) => resolve(path),
    realPath,
    sleep: (ms, signal) => delay(ms, undefined, { signal }),
  };
}

async function realPath(path: string): Promise<string> {
  const folder = await realpath(dirname(path)).catch(() => dirname(path));
  return realpath(path).catch(() => join(folder, basename(path)));
}

/** A prompt that ends without an answer (a signal, the end of the input) was answered with no. */
async function confirm(question: string, interrupted: AbortSignal): Promise<boolean> {
  if (!process.stdin.isTTY) return false;
  const prompt = createInterface({ input: process.stdin, output: process.stderr });
  const closed = new AbortController();
  prompt.once("close", () => closed.abort());
  const signal = AbortSignal.any([interrupted, closed.signal]);
  try {
    return /^y(es)?$/i.test((await prompt.question(`${question} [y/N] `, { signal })).trim());
  } catch (error) {
    if (!signal.aborted) throw error;
    process.stderr.write("\n");
    return false;
  } finally {
    prompt.close();
  }
}

// A reader that goes away (`| head`) must not end a run half-way; `serve` notices it by itself. Output that was lost
// in another way (a full disk) is told once and is an error, whatever the command did.
let outputLost = false;
for (const stream of [process.stdout, process.stderr]) {
  stream.on("error", (error) => {
    if (errno(error) === "EPIPE" || outputLost) return;
    outputLost = true;
    const text = `tamp: the output could not be written: ${error.message}\n`;
    if (stream === process.stdout) process.stderr.write(text);
  });
}

const code = await runCli(process.argv.slice(2), {
  io: createIo(),
  connect: () => linkInProcess({ daemon: createDaemon() }),
  serve,
  version: packageJson.version,
});
// Large output to a pipe is written asynchronously: let it drain, then end whatever a library left running.
await new Promise<void>((done) => void process.stdout.write("", () => done()));
process.exit(outputLost && code === EXIT_FINE ? EXIT_PROBLEM : code);
