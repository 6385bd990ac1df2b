import { type ChildProcess, spawn } from "node:child_process";
import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import {
  childrenOf,
  isGone,
  type KnownProcess,
  type Server,
  stagedBytes,
  startServer,
  until,
  workspaceOf,
  writeSlowFiles,
} from "../test/support/tamp-process.ts";

/**
 * Milliseconds from the end of a run in the middle of a long rewrite until the engine's process is gone, for every way
 * in which it can be ended. Linux only: processes are watched in /proc.
 */
const TRIALS = Number(process.argv[2] ?? 20);
const BOUND_MS = 2000;

interface Ending {
  readonly name: string;
  readonly act: (server: Server, cancel: AbortController, client: ChildProcess) => void;
}

const ENDINGS: readonly Ending[] = [
  { name: "cancel", act: (_server, cancel) => cancel.abort() },
  { name: "exit", act: ({ connection }) => void connection.sendNotification("exit") },
  { name: "stdin_end", act: ({ child }) => void child.stdin?.end() },
  { name: "sigterm", act: ({ child }) => void child.kill("SIGTERM") },
  { name: "client_killed", act: (_server, _cancel, client) => void client.kill("SIGKILL") },
  { name: "daemon_killed", act: ({ child }) => void child.kill("SIGKILL") },
];

async function main(): Promise<void> {
  const parent = mkdtempSync(join(tmpdir(), "tamp-bench-"));
  try {
    await writeSlowFiles(join(parent, "template"), 6, 150_000);
    for (const ending of ENDINGS) {
      const values: number[] = [];
      for (let trial = 0; trial < TRIALS; trial += 1) values.push(await measure(parent, ending));
      values.sort((a, b) => a - b);
      print({
        figure: ending.name,
        trials: TRIALS,
        medianMs: Math.round(values[Math.floor(values.length / 2)] ?? Number.NaN),
        maxMs: Math.round(values.at(-1) ?? Number.NaN),
        boundMs: BOUND_MS,
        load: Math.round(loadavg()[0] ?? 0),
      });
    }
  } finally {
    rmSync(parent, { recursive: true, force: true });
  }
}

async function measure(parent: string, { act }: Ending): Promise<number> {
  const root = join(parent, "data");
  cpSync(join(parent, "template"), root, { recursive: true });
  const client = spawn("sleep", ["600"]);
  const server = await startServer(client.pid ?? null);
  const cancel = new AbortController();
  try {
    const engine = await rewriting(server, root, cancel.signal);
    const begin = performance.now();
    act(server, cancel, client);
    await until(() => engine.every(isGone));
    return performance.now() - begin;
  } finally {
    client.kill("SIGKILL");
    server.child.stdin?.end();
    await server.exited;
    rmSync(root, { recursive: true, force: true });
    rmSync(workspaceOf(root), { recursive: true, force: true });
  }
}

/** The engine's process, once it has written a part of its output. */
async function rewriting(
  { client, child, pid }: Server,
  root: string,
  signal: AbortSignal,
): Promise<readonly KnownProcess[]> {
  const policy = { minFiles: 2, settleMs: 0, compression: "gzip" };
  await client.request("tamp/dataset/open", { dataset: root, policy, watch: false });
  const { planId } = await client.request("tamp/plan", { dataset: root, operation: "compact", sync: true });
  client.request("tamp/execute", { dataset: root, planId }, { signal }).catch(() => {});
  await until(() => stagedBytes(root).some((bytes) => bytes > 1_000_000), child);
  return childrenOf(pid);
}

function print(figure: object): void {
  console.log(JSON.stringify({ bench: "cancel", ...figure }));
}

await main();
