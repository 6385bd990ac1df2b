import { chmodSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { createInventoryPool, type InventoryPool } from "../../server/src/inventory-pool.ts";
import type { ChangesResult, CheckResult, DatasetSummary, HistoryResult } from "../../server/src/protocol.ts";
import { buildEntry } from "../support/build-worker.ts";
import { makeRoot, writeDataset } from "../support/dataset.ts";
import { createPair, type Pair } from "../support/pair.ts";

let pool: InventoryPool;
const pairs: Pair[] = [];
const roots: string[] = [];

beforeAll(async () => {
  pool = createInventoryPool({ workerEntry: await buildEntry("server/src/inventory-worker.ts") });
});
afterAll(() => pool.dispose());
afterEach(async () => {
  for (const pair of pairs.splice(0)) {
    pair.end();
    await pair.exitCode;
  }
  for (const root of roots.splice(0)) rmSync(root, { recursive: true, force: true });
});

const POLICY = { minFiles: 2, settleMs: 0, minAgeMs: 0 };

interface Opened {
  readonly pair: Pair;
  readonly dataset: string;
  readonly generation: number;
}

async function opened(names: readonly string[], policy: object = POLICY): Promise<Opened> {
  const dataset = makeRoot();
  roots.push(dataset);
  writeDataset(dataset, Object.fromEntries(names.map((name) => [name, { rows: 10 }])));
  const pair = createPair({ pool });
  pairs.push(pair);
  await pair.ask("initialize", {});
  const { result } = await pair.ask("tamp/dataset/open", { dataset, policy, watch: false });
  return { pair, dataset, generation: (result as DatasetSummary).generation };
}

describe("tamp/dataset/changes", () => {
  const changes = async ({ pair, dataset }: Opened, since: number, sync = true): Promise<ChangesResult> =>
    (await pair.ask("tamp/dataset/changes", { dataset, since, sync })).result as ChangesResult;
  const shortly = ({ fresh, changed, removed }: ChangesResult) => ({
    fresh,
    changed: changed.map(({ path }) => path),
    removed,
  });

  it("gives what is new, different or gone since a generation", async () => {
    const at = await opened(["a.parquet", "b.parquet", "c.parquet"]);
    expect(shortly(await changes(at, at.generation))).toEqual({ fresh: false, changed: [], removed: [] });
    writeDataset(at.dataset, { "b.parquet": { rows: 20 }, "k=1/new.parquet": { rows: 7 } });
    rmSync(join(at.dataset, "c.parquet"));
    renameSync(join(at.dataset, "a.parquet"), join(at.dataset, "z.parquet"));
    const first = await changes(at, at.generation);
    expect(shortly(first)).toEqual({
      fresh: false,
      changed: ["b.parquet", "k=1/new.parquet", "z.parquet"],
      removed: ["a.parquet", "c.parquet"],
    });
    expect(first.changed[1]).toMatchObject({ state: "settled", rows: 7, rowGroupCount: 1 });
    expect(first.generation).toBeGreaterThan(at.generation);
    writeDataset(at.dataset, { "c.parquet": { rows: 1 } });
    expect(shortly(await changes(at, first.generation))).toEqual({
      fresh: false,
      changed: ["c.parquet"],
      removed: [],
    });
    expect(shortly(await changes(at, at.generation)).removed).toEqual(["a.parquet"]);
  });

  it("compares with the disk only where it is asked to", async () => {
    const at = await opened(["a.parquet"]);
    writeDataset(at.dataset, { "b.parquet": { rows: 3 } });
    expect(shortly(await changes(at, at.generation, false)).changed).toEqual([]);
    expect(shortly(await changes(at, at.generation)).changed).toEqual(["b.parquet"]);
  });

  it("is what a copy needs to become the list of files", async () => {
    const at = await opened(["a.parquet", "b.parquet", "k=1/c.parquet"]);
    const list = async () => {
      const { result } = await at.pair.ask("tamp/dataset/files", { dataset: at.dataset });
      return (result as { items: ChangesResult["changed"] }).items;
    };
    const copy = new Map((await list()).map((file) => [file.path, file]));
    rmSync(join(at.dataset, "k=1"), { recursive: true });
    writeDataset(at.dataset, { "a.parquet": { rows: 11 }, "k=2/d.parquet": { rows: 2 } });
    const { changed, removed } = await changes(at, at.generation);
    for (const path of removed) copy.delete(path);
    for (const file of changed) copy.set(file.path, file);
    expect([...copy.values()].sort((a, b) => (a.path < b.path ? -1 : 1))).toEqual(await list());
  });

  it("asks for a fresh copy where the generation was never told", async () => {
    const at = await opened(["a.parquet"]);
    expect(await changes(at, at.generation + 1)).toEqual({
      generation: at.generation,
      fresh: true,
      changed: [],
      removed: [],
    });
  });

  it.each([[undefined], [-1], ["3"], [1.5]])("refuses %j as a generation", async (since) => {
    const { pair, dataset } = await opened([]);
    const { error } = await pair.ask("tamp/dataset/changes", { dataset, since });
    expect(error).toMatchObject({ data: { code: "InvalidParams" } });
    expect(error?.message).toContain("since");
  });
});

/** Rights can be lost where there are any, or where root may become somebody else for a while. */
const noRightsToLose =
  process.getuid === undefined || (process.getuid() === 0 && process.seteuid === undefined);
const NOBODY = 65_534;

async function withoutRights<T>(root: string, directory: string, work: () => Promise<T>): Promise<T> {
  const path = join(root, directory);
  const isRoot = process.getuid?.() === 0;
  chmodSync(root, 0o755);
  chmodSync(path, 0);
  if (isRoot) process.seteuid?.(NOBODY);
  try {
    return await work();
  } finally {
    if (isRoot) process.seteuid?.(0);
    chmodSync(path, 0o755);
  }
}

it.skipIf(noRightsToLose)("a root that cannot be listed is no empty one", async () => {
  const { pair, dataset } = await opened(["a.parquet"]);
  const { error } = await withoutRights(dataset, "", () =>
    pair.ask("tamp/dataset/open", { dataset, watch: false, mustExist: true }),
  );
  expect(error).toMatchObject({ data: { code: "NoMatchingFiles" } });
  expect(error?.message).toContain("the root cannot be listed (EACCES)");
});

describe("tamp/check", () => {
  const check = async ({ pair, dataset }: Opened, params: object = {}): Promise<CheckResult> =>
    (await pair.ask("tamp/check", { dataset, ...params })).result as CheckResult;

  it("names the partitions over a threshold, and no others", async () => {
    const at = await opened(["k=1/a.parquet", "k=1/b.parquet", "k=1/c.parquet", "k=2/a.parquet"]);
    const found = await check(at);
    expect(found).toMatchObject({ crossed: true, counts: { fileCount: 4, partitionCount: 2 } });
    expect(found.crossings).toMatchObject([
      { partition: "k=1", trigger: "count", files: 3, limit: 2, value: 3 },
    ]);
    expect(found.health.score).toBeLessThan(100);
    expect(await check(at, { partitionFilter: ["k=2"] })).toMatchObject({
      crossed: false,
      crossings: [],
      counts: { fileCount: 1 },
    });
  });

  it("is not crossed by a file that cannot be read, but tells it", async () => {
    const at = await opened(["k=1/a.parquet"]);
    writeFileSync(join(at.dataset, "k=1", "broken.parquet"), "this is no Parquet file");
    const found = await check(at, { sync: true });
    expect(found).toMatchObject({ crossed: false, counts: { fileCount: 2, quarantinedCount: 1 } });
    expect(found.quarantined).toEqual([{ path: "k=1/broken.parquet", detail: expect.stringMatching(/./) }]);
  });

  it.skipIf(noRightsToLose).each<readonly [string, readonly string[], boolean]>([
    ["all of the dataset", [], true],
    ["a partition that it belongs to", ["k=1"], true],
    ["one that may lie in it", ["k=1/l=1/m=1", "k=2"], true],
    ["one beside it", ["k=1/l=2"], false],
  ])(
    "does not speak for a directory that cannot be listed: %s",
    async (_name, partitionFilter, isPartial) => {
      const at = await opened(["k=1/l=1/a.parquet", "k=1/l=2/a.parquet", "k=2/a.parquet"]);
      const found = await withoutRights(at.dataset, "k=1/l=1", () =>
        check(at, { partitionFilter, sync: true }),
      );
      const unseen = expect.stringMatching(/^k=1\/l=1 cannot be listed \(EACCES\)/);
      expect(found).toMatchObject({ crossed: false, warnings: [unseen] });
      expect(found.incomplete).toEqual(isPartial ? unseen : undefined);
      expect(await check(at, { partitionFilter: ["k=1/l=1"], sync: true })).toMatchObject({ warnings: [] });
    },
  );

  it("tells that a policy file is wrong, and judges by what it said before", async () => {
    const at = await opened(["a.parquet", "b.parquet"], { settleMs: 0, minAgeMs: 0 });
    const file = join(at.dataset, "tamp.jsonc");
    const reopen = async (text: string): Promise<CheckResult> => {
      writeFileSync(file, text);
      await at.pair.ask("tamp/dataset/open", {
        dataset: at.dataset,
        policy: { settleMs: 0, minAgeMs: 0 },
        watch: false,
      });
      return check(at);
    };
    const sound = await reopen('{ "defaults": { "minFiles": 2 } }');
    expect(sound).toMatchObject({ crossed: true, warnings: [] });
    expect(sound.incomplete).toBeUndefined();
    const broken = await reopen('{ "defaults": { "minFiles": 1 } }');
    expect(broken).toMatchObject({ crossed: true, incomplete: expect.stringContaining("minFiles") });
    expect(broken.warnings).toEqual([expect.stringContaining("minFiles")]);
  });

  it("judges nothing where a table format owns the files", async () => {
    const at = await opened(["_delta_log/0.parquet", "a.parquet", "b.parquet", "c.parquet"]);
    const found = await check(at);
    expect(found).toMatchObject({ crossed: false, crossings: [] });
    expect(found.refused).toContain("Delta Lake");
  });

  it.each([
    [{ partitionFilter: ["k=9"] }, "NoMatchingFiles"],
    [{ partitionFilter: [".."] }, "InvalidFilter"],
    [{ partitionFilter: "k=1" }, "InvalidParams"],
    [{ dataset: "/nowhere" }, "DatasetNotOpen"],
  ])("fails with %j", async (params, code) => {
    const { pair, dataset } = await opened(["k=1/a.parquet"]);
    const { error } = await pair.ask("tamp/check", { dataset, ...params });
    expect(error).toMatchObject({ data: { code } });
  });
});

describe("tamp/dataset/history", () => {
  it("is empty for a user without a home", async () => {
    const { pair, dataset } = await opened(["a.parquet"]);
    const { result } = await pair.ask("tamp/dataset/history", { dataset });
    expect(result as HistoryResult).toEqual({ dataset, points: [], runs: [], amplification: null });
  });

  it.each([[{ limit: 0 }], [{ limit: 2_001 }], [{ sinceMs: -1 }], [{ sinceMs: "7d" }]])(
    "refuses %j",
    async (params) => {
      const { pair, dataset } = await opened(["a.parquet"]);
      const { error } = await pair.ask("tamp/dataset/history", { dataset, ...params });
      expect(error).toMatchObject({ data: { code: "InvalidParams" } });
    },
  );
});
