import { rmSync } from "node:fs";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { createChecker } from "../../server/src/checker.ts";
import { Daemon, type DaemonEvent } from "../../server/src/daemon.ts";
import { createInventory } from "../../server/src/inventory.ts";
import { createInventoryPool, type InventoryPool } from "../../server/src/inventory-pool.ts";
import type { WatchEvents } from "../../server/src/watcher.ts";
import { buildEntry } from "../support/build-worker.ts";
import { makeRoot, writeDataset } from "../support/dataset.ts";
import { fakeEngine } from "../support/fake-engine.ts";
import { quietDeps, testPorts } from "../support/ports.ts";

let pool: InventoryPool;
const roots: string[] = [];

beforeAll(async () => {
  pool = createInventoryPool({ workerEntry: await buildEntry("server/src/inventory-worker.ts") });
});
afterAll(() => pool.dispose());
afterEach(() => {
  for (const root of roots.splice(0)) rmSync(root, { recursive: true, force: true });
});

interface Scene {
  readonly daemon: Daemon;
  readonly root: string;
  readonly watches: WatchEvents[];
  readonly disposed: () => number;
  readonly events: DaemonEvent[];
}

function scene(): Scene {
  const root = writeDataset(makeRoot(), { "a.parquet": { rows: 3 }, "b.parquet": { rows: 3 } });
  roots.push(root);
  const watches: WatchEvents[] = [];
  let disposed = 0;
  const daemon = new Daemon({
    ports: testPorts(),
    engine: fakeEngine(),
    watcher: {
      async watch(_root, events) {
        watches.push(events);
        return {
          dispose: async () => {
            disposed += 1;
          },
        };
      },
      dispose: async () => {},
    },
    createInventory: (options) => createInventory({ ...options, pool, now: () => Date.now() }),
    ...quietDeps(),
    createChecker: () => createChecker("", 10_000),
    defaults: { memoryBytes: 2 ** 28, threads: 1, deadlineMs: 10_000 },
    version: "0.0.0-test",
  });
  const events: DaemonEvent[] = [];
  daemon.onEvent((event) => events.push(event));
  return { daemon, root, watches, disposed: () => disposed, events };
}

const request = (root: string, policy: object = { minFiles: 2, settleMs: 0 }) => ({
  root,
  policy,
  workspace: null,
  watch: true,
  mustExist: false,
  recover: false,
  automate: false,
});

it("a dataset opened twice at once is watched once, and not at all when it is closed", async () => {
  const { daemon, root, watches, disposed } = scene();
  await Promise.all([daemon.open(request(root)), daemon.open(request(root))]);
  expect(watches).toHaveLength(1);
  await daemon.close(root);
  expect(disposed()).toBe(1);
  await daemon.dispose();
});

it("what changed while a run was under way is seen when it ends", async () => {
  const { daemon, root, watches } = scene();
  const dataset = await daemon.open(request(root));
  await dataset.exclusively(async () => {
    writeDataset(root, { "late.parquet": { rows: 3 } });
    watches[0]?.onHint([""]);
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(dataset.view().fileCount).toBe(2);
  });
  await expect.poll(() => dataset.view().fileCount, { timeout: 3_000 }).toBe(3);
  await daemon.dispose();
});

it("another policy counts anew without forgetting the files, and the generation never falls", async () => {
  const { daemon, root } = scene();
  const dataset = await daemon.open(request(root));
  const before = dataset.summary();
  expect(before).toMatchObject({ state: "ready", smallFileCount: 2 });
  const opened = daemon.open(request(root, { minFiles: 2, settleMs: 0, smallFile: 1 }));
  expect(dataset.summary()).toMatchObject({ state: "ready", fileCount: 2 });
  await opened;
  expect(dataset.summary()).toMatchObject({ state: "ready", fileCount: 2, smallFileCount: 0 });
  expect(dataset.summary().generation).toBeGreaterThanOrEqual(before.generation);
  await daemon.dispose();
});

it("never tells of a health that was not judged", async () => {
  const { daemon, root, events } = scene();
  const dataset = await daemon.open(request(root));
  const { score } = dataset.summary().health;
  expect(score).toBeLessThan(100);
  expect(events.map(({ kind }) => kind)).toEqual(["crossed", "changed"]);
  await daemon.dispose();
});

it("looks once more when files that were too young are old enough", async () => {
  const { daemon, root, events } = scene();
  await daemon.open(request(root, { minFiles: 2, settleMs: 400 }));
  const crossed = () => events.some(({ kind }) => kind === "crossed");
  expect(crossed()).toBe(false);
  await expect.poll(crossed, { timeout: 3_000 }).toBe(true);
  await daemon.dispose();
});

it("has the health of the files there are, also where nothing is watched", async () => {
  const { daemon, root } = scene();
  const dataset = await daemon.open({ ...request(root), watch: false });
  rmSync(`${root}/b.parquet`);
  await dataset.refresh();
  await dataset.judgeIfStale();
  expect(dataset.summary().health.score).toBe(100);
  await daemon.dispose();
});
