import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { DaemonClient } from "../../server/src/cli/client.ts";
import { createClient } from "../../server/src/cli-link.ts";
import { createRpc } from "../../server/src/rpc.ts";
import { ARMED_FILE, type Armed, LOG_FILE } from "./failpoints.ts";

/** A folder through which a process of the failing build is armed, and tells what it called. */
export interface Arming {
  readonly folder: string;
  arm(armed: Armed): void;
  disarm(): void;
  /** Names in the order of their calls; a `!` leads where the fault struck. */
  calls(id: string): readonly string[];
  dispose(): void;
}

export function createArming(): Arming {
  const folder = mkdtempSync(join(realpathSync(tmpdir()), "tamp-armed-"));
  const armedFile = join(folder, ARMED_FILE);
  const log = join(folder, LOG_FILE);
  return {
    folder,
    arm(armed) {
      rmSync(log, { force: true });
      writeFileSync(armedFile, JSON.stringify(armed));
    },
    disarm: () => rmSync(armedFile, { force: true }),
    calls(id) {
      const lines = existsSync(log) ? readFileSync(log, "utf8").split("\n") : [];
      return lines.flatMap((line) => (line.startsWith(`${id} `) ? [line.slice(id.length + 1)] : []));
    },
    dispose: () => rmSync(folder, { recursive: true, force: true }),
  };
}

export interface ServedDaemon {
  readonly client: DaemonClient;
  readonly process: ChildProcess;
  dispose(): Promise<void>;
}

/** `serve --stdio` of the failing build; without an arming it never fails. */
export async function serveFailing(entry: string, arming: Arming | null): Promise<ServedDaemon> {
  const child = spawn(process.execPath, [entry, "serve", "--stdio"], {
    stdio: ["pipe", "pipe", "inherit"],
    env: envOf(arming),
  });
  const ended = once(child, "exit");
  const connection = createRpc(child.stdout, child.stdin);
  connection.onError(() => {});
  connection.listen();
  await connection.sendRequest("initialize", { processId: process.pid, clientInfo: { name: "test" } });
  await connection.sendNotification("initialized");
  return {
    client: createClient(connection, async () => {}),
    process: child,
    async dispose() {
      child.kill("SIGKILL");
      await ended;
      connection.dispose();
    },
  };
}

export interface Finished {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly text: string;
}

/** A command of the failing build in a process group of its own, which a planted kill takes as a whole. */
export async function runFailing(entry: string, arming: Arming, args: readonly string[]): Promise<Finished> {
  const child = spawn(process.execPath, [entry, ...args], {
    detached: true,
    stdio: ["ignore", "pipe", "pipe"],
    env: envOf(arming),
  });
  let text = "";
  const hear = (chunk: Buffer): void => {
    text += chunk.toString();
  };
  child.stdout.on("data", hear);
  child.stderr.on("data", hear);
  const [code, signal] = await once(child, "close");
  return { code, signal, text };
}

function envOf(arming: Arming | null): NodeJS.ProcessEnv {
  const { TAMP_FAILPOINTS: _, ...env } = process.env;
  return arming === null ? env : { ...env, TAMP_FAILPOINTS: arming.folder };
}
