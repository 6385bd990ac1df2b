import { createChecker } from "../../server/src/checker.ts";
import type { DaemonClient } from "../../server/src/cli/client.ts";
import { linkInProcess } from "../../server/src/cli-link.ts";
import { Daemon } from "../../server/src/daemon.ts";
import type { Engine } from "../../server/src/engine.ts";
import { createDuckdbEngine } from "../../server/src/engines/duckdb.ts";
import { nodeFs, type PublicationFs } from "../../server/src/fs.ts";
import { createInventory } from "../../server/src/inventory.ts";
import { createInventoryPool, type InventoryPool } from "../../server/src/inventory-pool.ts";
import type { Ports } from "../../server/src/maintain.ts";
import type { Watcher } from "../../server/src/watcher.ts";
import { buildEntry } from "./build-worker.ts";
import { quietDeps, testPorts } from "./ports.ts";

export interface TestDaemonOptions {
  readonly fs?: PublicationFs;
  /** Stands between the run and the real engine. */
  readonly wrapEngine?: (engine: Engine) => Engine;
  readonly now?: () => number;
  /** In place of the test's other ports. */
  readonly ports?: Partial<Ports>;
}

export interface TestBench {
  /** A daemon with the real engine and the real workers, and a client of its protocol. */
  start(options?: TestDaemonOptions): Promise<DaemonClient>;
  dispose(): Promise<void>;
}

/** Bundles workers and children once; the daemons of one test file share the inventory's worker. */
export async function createTestBench(): Promise<TestBench> {
  const inventoryWorker = await buildEntry("server/src/inventory-worker.ts");
  const checkerEntry = await buildEntry("server/src/checker-worker.ts");
  const childEntry = await buildEntry("server/src/engines/duckdb-child.ts");
  const pool: InventoryPool = createInventoryPool({ workerEntry: inventoryWorker });
  const clients: DaemonClient[] = [];
  return {
    async start({
      fs = nodeFs,
      wrapEngine = (engine: Engine) => engine,
      now = () => Date.now(),
      ports = {},
    } = {}) {
      const daemon = new Daemon({
        ports: testPorts({ fs, now, ...ports }),
        engine: wrapEngine(createDuckdbEngine({ childEntry, nodePath: process.execPath })),
        watcher: NO_WATCHER,
        createInventory: (options) => createInventory({ ...options, pool, now }),
        ...quietDeps(),
        createChecker: (deadlineMs) => createChecker(checkerEntry, deadlineMs),
        defaults: { memoryBytes: 512 * 2 ** 20, threads: 2, deadlineMs: 60_000 },
        version: "0.0.0-test",
      });
      const client = await linkInProcess({ daemon });
      clients.push(client);
      return client;
    },
    async dispose() {
      for (const client of clients) await client.close().catch(() => {});
      await pool.dispose();
    },
  };
}

/** Datasets are refreshed on request only. */
const NO_WATCHER: Watcher = {
  watch: async () => ({ dispose: async () => {} }),
  dispose: async () => {},
};
