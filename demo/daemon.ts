import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import type { DaemonClient } from "../server/src/cli/client.ts";
import { createClient } from "../server/src/cli-link.ts";
import { createRpc } from "../server/src/rpc.ts";

/**
 * Starts `tamp serve --stdio` as any other program would, and speaks its protocol. What the daemon keeps for its user
 * it keeps in `home`.
 */
export async function startDaemon(repository: string, home: string): Promise<DaemonClient> {
  const entry = join(repository, "server", "bin", "tamp.mjs");
  const folders = {
    XDG_CACHE_HOME: join(home, "cache"),
    XDG_CONFIG_HOME: join(home, "config"),
    XDG_STATE_HOME: join(home, "state"),
  };
  const child = spawn(process.execPath, [entry, "serve", "--stdio"], {
    stdio: ["pipe", "pipe", "inherit"],
    env: { ...process.env, ...folders },
  });
  const exited = once(child, "exit");
  const connection = createRpc(child.stdout, child.stdin);
  connection.listen();
  await connection.sendRequest("initialize", { processId: process.pid, clientInfo: { name: "demo" } });
  await connection.sendNotification("initialized");
  return createClient(connection, async () => {
    await connection.sendRequest("shutdown");
    await connection.sendNotification("exit");
    await exited;
    connection.dispose();
  });
}
