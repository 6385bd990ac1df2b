import { mkdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { createChecker } from "../../server/src/checker.ts";
import { Daemon, type DaemonEvent } from "../../server/src/daemon.ts";
import { createInventory } from "../../server/src/inventory.ts";
import { createInventoryPool, type InventoryPool } from "../../server/src/inventory-pool.ts";
import type { WatchEvents } from "../../server/src/watcher.ts";
import { buildEntry } from "../support/build-worker.ts";
import { makeRoot, parquetBytes, writeDataset } from "../support/dataset.ts";
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
  /** Bytes that the history was told of. */
  readonly arrived: number[];
}

function scene(): Scene {
  const root = writeDataset(makeRoot(), { "a.parquet": { rows: 3 }, "b.parquet": { rows: 3 } });
  roots.push(root);
  const watches: WatchEvents[] = [];
  let disposed = 0;
  const arrived: number[] = [];
  const { createHistory, policyWatch } = quietDeps();
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
    policyWatch,
    createHistory: (of) => ({ ...createHistory(of), arrived: (bytes) => arrived.push(bytes) }),
    createChecker: () => createChecker("", 10_000),
    defaults: { memoryBytes: 2 ** 28, threads: 1, deadlineMs: 10_000 },
    version: "0.0.0-test",
  });
  const events: DaemonEvent[] = [];
  daemon.onEvent((event) => events.push(event));
  return { daemon, root, watches, disposed: () => disposed, events, arrived };
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
  await expect.poll(() => events.map(({ kind }) => kind)).toEqual(["changed", "crossed"]);
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

const turn = () => new Promise((resolve) => setTimeout(resolve, 20));
const crossedOf = (events: readonly DaemonEvent[]) => events.filter(({ kind }) => kind === "crossed").length;

it("what became due while a run was under way is told when it ends, though nothing else has changed", async () => {
  const { daemon, root, watches, events } = scene();
  const dataset = await daemon.open(request(root, { minFiles: 2, settleMs: 300 }));
  expect(crossedOf(events)).toBe(0);
  await dataset.exclusively(async () => {
    watches[0]?.onHint([""]);
    await new Promise((resolve) => setTimeout(resolve, 600));
  });
  await expect.poll(() => crossedOf(events), { timeout: 3_000 }).toBe(1);
  await daemon.dispose();
});

it("what came in is counted once, however comparisons overlap", async () => {
  const { daemon, root, arrived } = scene();
  writeDataset(root, { "x/c.parquet": { rows: 3 }, "y/c.parquet": { rows: 3 } });
  const dataset = await daemon.open(request(root));
  arrived.splice(0);
  const before = dataset.summary().totalBytes;
  writeDataset(root, { "x/d.parquet": { rows: 30 }, "y/e.parquet": { rows: 30 } });
  await Promise.all([dataset.refresh(["x"]), dataset.refresh(["y"])]);
  expect(arrived.reduce((sum, bytes) => sum + bytes, 0)).toBe(dataset.summary().totalBytes - before);
  await daemon.dispose();
});

it("a root that is away for a while does not make old news new", async () => {
  const { daemon, root, watches, events } = scene();
  const dataset = await daemon.open(request(root));
  await expect.poll(() => crossedOf(events)).toBe(1);
  renameSync(root, `${root}.away`);
  await watches[0]?.onOverflow("a test");
  await expect.poll(() => dataset.summary().state).toBe("missing");
  await new Promise((resolve) => setTimeout(resolve, 700));
  renameSync(`${root}.away`, root);
  await watches[0]?.onOverflow("a test");
  await dataset.judge();
  await turn();
  expect(dataset.summary()).toMatchObject({ state: "ready", fileCount: 2 });
  expect(crossedOf(events)).toBe(1);
  await daemon.dispose();
});

it("tells of a table format that takes the dataset over, though no file has changed", async () => {
  const { daemon, root, watches, events } = scene();
  const dataset = await daemon.open(request(root));
  await expect.poll(() => crossedOf(events)).toBe(1);
  events.splice(0);
  mkdirSync(join(root, "_delta_log"));
  watches[0]?.onHint([""]);
  await expect.poll(() => events.map(({ kind }) => kind)).toContain("changed");
  const reasons = () => dataset.summary().health.reasons.map(({ kind }) => kind);
  await expect.poll(reasons, { timeout: 3_000 }).toContain("foreign_format");
  await daemon.dispose();
});

it.each([
  ["may still be written: it is unsettled", 3_600_000, { unsettled: [5, 2], quarantined: [0, 0] }],
  ["has settled: it is quarantined", 0, { unsettled: [0, 0], quarantined: [2, 1] }],
])("a half-written file is counted once. It %s", async (_, settleMs, { unsettled, quarantined }) => {
  const { daemon, root } = scene();
  const torn = parquetBytes({ rows: 5 }).slice(0, 200);
  writeDataset(root, { "x/a.parquet": torn, "x/b.parquet": { rows: 3 }, "y/a.parquet": torn });
  const dataset = await daemon.open(request(root, { minFiles: 2, settleMs }));
  const inAll = { unsettledCount: unsettled[0], quarantinedCount: quarantined[0] };
  expect(dataset.summary()).toMatchObject(inAll);
  expect(dataset.stats([], await dataset.makePlan([]))).toMatchObject(inAll);
  const inX = { unsettledCount: unsettled[1], quarantinedCount: quarantined[1] };
  expect(dataset.stats(["x"], await dataset.makePlan(["x"]))).toMatchObject(inX);
  await daemon.dispose();
});

describe("opening and closing at once", () => {
  it("one that fails to open does not close what another has opened", async () => {
    const { daemon, root } = scene();
    for (const name of ["a.parquet", "b.parquet"]) rmSync(join(root, name));
    const strict = daemon.open({ ...request(root), mustExist: true });
    const other = daemon.open(request(root));
    await expect(strict).rejects.toMatchObject({ code: "NoMatchingFiles" });
    expect(daemon.dataset(root)).toBe(await other);
    await daemon.dispose();
  });

  it("what was closed while it was opened is not answered as open", async () => {
    const { daemon, root } = scene();
    const opening = daemon.open(request(root));
    const refused = expect(opening).rejects.toMatchObject({ code: "DatasetNotOpen" });
    await daemon.close(root);
    await refused;
    const again = await daemon.open(request(root));
    expect(daemon.list()).toEqual([again]);
    expect(again.summary().fileCount).toBe(2);
    await daemon.dispose();
  });

  it("an opening that fails changes nothing of what is open", async () => {
    const { daemon, root } = scene();
    writeDataset(root, { "tamp.jsonc": Buffer.from(`{ "defaults": { "smallFile": "20MB" } }`) });
    const dataset = await daemon.open(request(root));
    const wrong = {
      ...request(root, { minFiles: 2, settleMs: 0, targetSize: "1MB" }),
      workspace: "/nowhere",
    };
    await expect(daemon.open(wrong)).rejects.toMatchObject({ code: "InvalidPolicy" });
    expect(dataset.workspace).toBeNull();
    expect(dataset.clientPolicy).toEqual(request(root).policy);
    await daemon.dispose();
  });

  it("of several requests the last one holds", async () => {
    const { daemon, root } = scene();
    const policies = [3, 4, 5, 6].map((minFiles) => ({ minFiles, settleMs: 0 }));
    const [dataset] = await Promise.all(policies.map((policy) => daemon.open(request(root, policy))));
    expect(dataset?.currentPolicy().minFiles).toBe(6);
    expect(dataset?.clientPolicy).toEqual(policies.at(-1));
    await daemon.dispose();
  });
});

it("keeps plans by the files they list, and always the newest", async () => {
  const { daemon, root } = scene();
  const dataset = await daemon.open(request(root));
  const made = await dataset.makePlan([]);
  const keep = (planId: string, files: number): void => {
    const skipped = new Array(files).fill({ path: "a.parquet", reason: "at_target" });
    daemon.keepPlan(dataset, { ...made, planId, plan: { ...made.plan, skipped } });
  };
  const kept = (): readonly string[] =>
    ["a", "b", "c", "d"].filter((planId) => {
      try {
        return daemon.plan(planId).dataset === dataset;
      } catch {
        return false;
      }
    });
  keep("a", 100_000);
  keep("b", 100_000);
  expect(kept()).toEqual(["a", "b"]);
  keep("c", 150_000);
  expect(kept()).toEqual(["b", "c"]);
  keep("d", 2_000_000);
  expect(kept()).toEqual(["d"]);
  await daemon.close(root);
  keep("a", 1);
  expect(kept()).toEqual([]);
  await daemon.dispose();
});

it("tells that a file has settled, though nothing else has changed", async () => {
  const { daemon, root, watches, events } = scene();
  const dataset = await daemon.open(request(root, { minFiles: 20, settleMs: 300 }));
  await expect.poll(() => dataset.summary().unsettledCount, { timeout: 3_000 }).toBe(0);
  await turn();
  const before = events.length;
  writeDataset(root, { "c.parquet": { rows: 3 } });
  watches[0]?.onHint([""]);
  const told = (): readonly DaemonEvent[] => events.slice(before);
  await expect.poll(() => told().length, { timeout: 3_000 }).toBe(1);
  expect(dataset.summary().unsettledCount).toBe(1);
  await expect.poll(() => told().length, { timeout: 3_000 }).toBe(2);
  expect(told()[1]).toMatchObject({ kind: "changed", change: { added: 0, changed: 0, removed: 0 } });
  expect(dataset.summary().unsettledCount).toBe(0);
  await daemon.dispose();
});

it("sees what others write while a run is at work in other directories", async () => {
  const { daemon, root, watches } = scene();
  const dataset = await daemon.open(request(root));
  const late = { "day=1/a.parquet": { rows: 3 }, "day=2/a.parquet": { rows: 3 } };
  await dataset.exclusively(
    async () => {
      writeDataset(root, late);
      watches[0]?.onHint(["day=1"]);
      await turn();
      expect(dataset.view().find("day=1/a.parquet")).toBeNull();
      watches[0]?.onHint(["day=2"]);
      await expect.poll(() => dataset.view().find("day=2/a.parquet") !== null).toBe(true);
    },
    new Set(["day=1"]),
  );
  await expect.poll(() => dataset.view().fileCount).toBe(4);
  await daemon.dispose();
});

it("plans nothing while a policy file is wrong that was never right", async () => {
  const { daemon, root } = scene();
  const write = (text: string): unknown => writeDataset(root, { "tamp.jsonc": Buffer.from(text) });
  write('{ "defaults": { "minFile": 3, "exclude": ["**"] } }');
  const dataset = await daemon.open({ ...request(root), watch: false });
  const refused = (await dataset.makePlan([])).plan;
  expect(refused).toMatchObject({ kind: "refused", because: "policy" });
  expect(refused.kind === "refused" && refused.reason).toContain("minFile");
  write('{ "defaults": { "minFiles": 2 } }');
  await daemon.open({ ...request(root), watch: false });
  expect((await dataset.makePlan([])).plan.kind).toBe("planned");
  write("{");
  await daemon.open({ ...request(root), watch: false });
  expect((await dataset.makePlan([])).plan.kind).toBe("planned");
  expect(dataset.summary().warnings.join()).toContain("last good");
  await daemon.dispose();
});
