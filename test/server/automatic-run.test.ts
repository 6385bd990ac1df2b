import { rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { readParams } from "../../server/src/check.ts";
import { createChecker } from "../../server/src/checker.ts";
import { Daemon, type DaemonEvent } from "../../server/src/daemon.ts";
import { runDataset } from "../../server/src/dataset-run.ts";
import type { Engine } from "../../server/src/engine.ts";
import { createDuckdbEngine } from "../../server/src/engines/duckdb.ts";
import { undo } from "../../server/src/handlers/history.ts";
import { createInventory } from "../../server/src/inventory.ts";
import { createInventoryPool, type InventoryPool } from "../../server/src/inventory-pool.ts";
import type { OpenDataset } from "../../server/src/open-dataset.ts";
import type { WatchEvents } from "../../server/src/watcher.ts";
import { buildEntry } from "../support/build-worker.ts";
import { makeRoot, writeDataset } from "../support/dataset.ts";
import { type FakeEngine, fakeEngine } from "../support/fake-engine.ts";
import { quietDeps, testPorts } from "../support/ports.ts";

let pool: InventoryPool;
let checkerEntry: string | URL;
let childEntry: string | URL;
const folders: string[] = [];

beforeAll(async () => {
  pool = createInventoryPool({ workerEntry: await buildEntry("server/src/inventory-worker.ts") });
  checkerEntry = await buildEntry("server/src/checker-worker.ts");
  childEntry = await buildEntry("server/src/engines/duckdb-child.ts");
});
afterAll(() => pool.dispose());
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

interface Scene {
  readonly root: string;
  readonly engine: FakeEngine;
  readonly events: DaemonEvent[];
  readonly watches: WatchEvents[];
  /** Bytes that the history was told of. */
  readonly arrived: number[];
  start(environment?: Readonly<Record<string, string>>): Daemon;
}

function scene({ hold = false, real = false } = {}): Scene {
  const folder = makeRoot();
  folders.push(folder);
  const files = Object.fromEntries(["a", "b", "c"].map((name) => [`${name}.parquet`, { rows: 3 }]));
  const root = writeDataset(join(folder, "data"), files);
  const engine = fakeEngine({ hold });
  const used: Engine = real ? createDuckdbEngine({ childEntry, nodePath: process.execPath }) : engine;
  const watches: WatchEvents[] = [];
  const arrived: number[] = [];
  const { createHistory, policyWatch } = quietDeps();
  const events: DaemonEvent[] = [];
  const start = (environment = {}): Daemon => {
    const user = {
      configFolder: null,
      home: null,
      environment: { TAMP_ON_THRESHOLD: "execute", ...environment },
    };
    const daemon = new Daemon({
      ports: testPorts({ user }),
      engine: used,
      watcher: {
        async watch(_root, given) {
          watches.push(given);
          return { dispose: async () => {} };
        },
        dispose: async () => {},
      },
      createInventory: (options) => createInventory({ ...options, pool, now: () => Date.now() }),
      policyWatch,
      createHistory: (of) => ({ ...createHistory(of), arrived: (bytes) => arrived.push(bytes) }),
      createChecker: (deadlineMs) => createChecker(checkerEntry, deadlineMs),
      defaults: { memoryBytes: 2 ** 28, threads: 1, deadlineMs: 10_000 },
      version: "0.0.0-test",
    });
    daemon.onEvent((event) => events.push(event));
    return daemon;
  };
  return { root, engine, events, watches, arrived, start };
}

const request = (root: string, automate = true) => ({
  root,
  policy: { minFiles: 2, settleMs: 0, minAgeMs: 0, allow: ["nullability", "time-unit"] },
  workspace: null,
  watch: true,
  mustExist: false,
  recover: false,
  automate,
});

/** Long enough for a plan of three files, and for what would follow it. */
const pause = () => new Promise((resolve) => setTimeout(resolve, 300));

it("what the policy wants executed is executed", async () => {
  const { root, engine, start } = scene({ hold: true });
  const daemon = start();
  const begun = engine.nextRewrite();
  await daemon.open(request(root));
  await begun;
  expect(daemon.dataset(root).summary().automation.state).toBe("running");
  await daemon.dispose();
  expect(engine.rewrites()).toBe(1);
});

it.each<readonly [string, (daemon: Daemon, dataset: OpenDataset) => unknown]>([
  ["its dataset is closed", (daemon, { root }) => daemon.close(root)],
  ["the daemon ends", (daemon) => daemon.dispose()],
  ["the client does not want it any more", (daemon, { root }) => daemon.open(request(root, false))],
])("nothing is executed where %s while its plan is made", async (_, meddle) => {
  const { root, engine, start } = scene();
  const daemon = start();
  await meddle(daemon, await daemon.open(request(root)));
  await pause();
  expect(engine.rewrites()).toBe(0);
  await daemon.dispose();
});

it("a run that nobody asked for ends when its dataset is closed", async () => {
  const { root, engine, events, start } = scene({ hold: true });
  const daemon = start();
  const begun = engine.nextRewrite();
  await daemon.open(request(root));
  await begun;
  await daemon.close(root);
  expect(events.flatMap((event) => (event.kind === "finished" ? [event.result.kind] : []))).toEqual([
    "cancelled",
  ]);
  await daemon.dispose();
});

/** Of small files whatever their number, by the real engine. */
async function compact(daemon: Daemon, dataset: OpenDataset): Promise<void> {
  const { plan, planId } = await dataset.makePlan([]);
  const result = await runDataset(daemon, dataset, {
    plan,
    planId,
    signal: new AbortController().signal,
    overlapMs: 0,
  });
  expect(result.kind).toBe("published");
}

it("what earlier runs have spent of the budget counts from the first judgement on", async () => {
  const { root, events, start } = scene({ real: true });
  const names = Array.from({ length: 20 }, (_, index) => `more-${index}.parquet`);
  writeDataset(root, Object.fromEntries(names.map((name) => [name, { rows: 3 }])));
  const first = start({ TAMP_ON_THRESHOLD: "notify" });
  const before = await first.open(request(root));
  const spentBytes = before.summary().totalBytes;
  await compact(first, before);
  await first.dispose();
  writeDataset(root, { "d.parquet": { rows: 3 }, "e.parquet": { rows: 3 } });
  events.splice(0);
  const second = start({ TAMP_DAILY_BUDGET: `${spentBytes}B` });
  const dataset = await second.open(request(root));
  await pause();
  expect(dataset.summary().automation.state).toBe("waiting");
  expect(events.map(({ kind }) => kind)).not.toContain("finished");
  await second.dispose();
});

it("files that an undo gives back did not arrive", async () => {
  const { root, watches, arrived, start } = scene({ real: true });
  const daemon = start({ TAMP_ON_THRESHOLD: "notify" });
  const dataset = await daemon.open(request(root));
  await compact(daemon, dataset);
  arrived.splice(0);
  const params = readParams({ dataset: root });
  const { signal } = new AbortController();
  const undoing = undo({ daemon, params, signal, trusted: true, notify: () => {} });
  watches[0]?.onHint([""]);
  expect((await undoing).kind).toBe("undone");
  await pause();
  expect(dataset.view().fileCount).toBe(3);
  expect(arrived.reduce((sum, bytes) => sum + bytes, 0)).toBe(0);
  await daemon.dispose();
});
