import { readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { JournalRecord } from "@tamp/core";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import type { DaemonClient } from "../../server/src/cli/client.ts";
import type { Engine, RunningEngine } from "../../server/src/engine.ts";
import { nodeFs } from "../../server/src/fs.ts";
import { type ReadableJournal, readableOf, readJournals, writeJournal } from "../../server/src/journal.ts";
import type { RunResult, WirePolicy, WireRun } from "../../server/src/protocol.ts";
import { locateWorkspace } from "../../server/src/workspace.ts";
import {
  compact,
  dataset,
  files,
  fingerprints,
  open,
  POLICY,
  plan,
  removeDatasets,
  smallFiles,
} from "../support/compacting.ts";
import { createTestBench, type TestBench } from "../support/daemon.ts";
import { parquetBytes, writeDataset } from "../support/dataset.ts";

const DAY = 86_400_000;

// Several real runs each.
vi.setConfig({ testTimeout: 60_000 });

let bench: TestBench;
/** Milliseconds that the daemon's clock is ahead. */
let ahead = 0;

beforeAll(async () => {
  bench = await createTestBench();
});
afterAll(() => bench.dispose());
afterEach(() => {
  removeDatasets();
  ahead = 0;
});

const start = (): Promise<DaemonClient> => bench.start({ now: () => Date.now() + ahead });

async function runsOf(client: DaemonClient, root: string): Promise<readonly WireRun[]> {
  return (await client.request("tamp/runs", { dataset: root })).runs;
}

/** Partition `a`, then `b`, compacted in two runs. */
async function twoRuns(
  client: DaemonClient,
  policy: WirePolicy = {},
): Promise<{ readonly root: string; readonly first: RunResult; readonly second: RunResult }> {
  const root = dataset(smallFiles(["a"]));
  await open(client, root, { ...POLICY, ...policy });
  const first = await compact(client, root);
  ahead += 1_000_000;
  writeDataset(root, smallFiles(["b"], 3));
  return { root, first, second: await compact(client, root) };
}

/** Compacted twice: the second run has rewritten the two outputs of the first. */
async function chain(
  client: DaemonClient,
): Promise<{ readonly root: string; readonly first: RunResult; readonly second: RunResult }> {
  const root = dataset(smallFiles(["a"]));
  await open(client, root, { ...POLICY, minAgeMs: 0, targetRows: 200 });
  const first = await compact(client, root);
  ahead += 1_000;
  await open(client, root, { ...POLICY, minAgeMs: 0 });
  return { root, first, second: await compact(client, root) };
}

async function journalsOf(root: string): Promise<readonly ReadableJournal[]> {
  return readableOf(await readJournals(nodeFs, [await locateWorkspace(nodeFs, root, null)]));
}

/** Files under the workspace's trash folders. */
async function trashOf(root: string): Promise<readonly string[]> {
  const journals = await journalsOf(root);
  return journals.flatMap(({ folder }) => {
    const parts = readdirSync(folder.path);
    return parts.includes("trash") ? readdirSync(join(folder.path, "trash")) : [];
  });
}

describe("purge", () => {
  it("deletes originals past their retention and nothing else; their runs cannot be undone any more", async () => {
    const client = await start();
    const { root, first, second } = await twoRuns(client);
    const live = fingerprints(root);
    const young = await client.request("tamp/purge", { dataset: root });
    expect(young).toMatchObject({ kind: "nothing_to_do", runs: [], purgedFiles: 0 });
    expect(young.retainedBytes).toBeGreaterThan(0);
    ahead += 7 * DAY;
    const told = await client.request("tamp/purge", { dataset: root, dryRun: true });
    expect(told).toMatchObject({ kind: "purged", dryRun: true, purgedFiles: 7, retainedBytes: 0 });
    expect(await trashOf(root)).toHaveLength(7);
    const purged = await client.request("tamp/purge", { dataset: root });
    expect(purged).toMatchObject({ kind: "purged", dryRun: false, purgedBytes: young.retainedBytes });
    expect(purged.runs.map(({ runId, files }) => [runId, files])).toEqual([
      [first.runId, 4],
      [second.runId, 3],
    ]);
    expect(await trashOf(root)).toEqual([]);
    expect(fingerprints(root)).toEqual(live);
    expect((await runsOf(client, root)).map(({ state, retainedBytes }) => [state, retainedBytes])).toEqual([
      ["purged", 0],
      ["purged", 0],
    ]);
    expect(await client.request("tamp/undo", { dataset: root })).toMatchObject({ kind: "nothing_to_do" });
    const refused = await client.request("tamp/undo", { dataset: root, runId: first.runId });
    expect(refused).toMatchObject({ kind: "refused" });
    expect(refused.reason).toContain("purged");
    expect((await client.request("tamp/purge", { dataset: root, all: true })).kind).toBe("nothing_to_do");
  });

  it("of one run leaves the others undoable", async () => {
    const client = await start();
    const { root, first, second } = await twoRuns(client);
    const purged = await client.request("tamp/purge", { dataset: root, runId: second.runId });
    expect(purged.runs.map(({ runId }) => runId)).toEqual([second.runId]);
    expect(await client.request("tamp/undo", { dataset: root })).toMatchObject({
      kind: "undone",
      runId: first.runId,
      restoredFiles: 4,
    });
  });

  it("is refused for a run that rewrote what an earlier one published, and takes both in their order", async () => {
    const client = await start();
    const { root, first, second } = await chain(client);
    const refused = await client.request("tamp/purge", { dataset: root, runId: second.runId });
    expect(refused).toMatchObject({ kind: "refused", runs: [] });
    expect(refused.reason).toContain(first.runId);
    expect(await trashOf(root)).toHaveLength(6);
    const both = await client.request("tamp/purge", { dataset: root, all: true });
    expect(both.runs.map(({ runId }) => runId)).toEqual([first.runId, second.runId]);
    expect(await trashOf(root)).toEqual([]);
  });

  it("keeps originals whose replacement is gone, unless their run is named", async () => {
    const client = await start();
    const { root, first, second } = await twoRuns(client);
    const output = first.groups[0]?.outputs[0]?.path ?? "";
    rmSync(join(root, output));
    ahead += 30 * DAY;
    const purged = await client.request("tamp/purge", { dataset: root, all: true });
    expect(purged.runs.map(({ runId }) => runId)).toEqual([second.runId]);
    expect(purged.kept).toMatchObject([{ runId: first.runId, reason: expect.stringContaining(output) }]);
    expect(await trashOf(root)).toHaveLength(4);
    const named = await client.request("tamp/purge", { dataset: root, runId: first.runId });
    expect(named).toMatchObject({ kind: "purged", purgedFiles: 4 });
    expect(await trashOf(root)).toEqual([]);
  });

  it("touches no original that somebody has changed in the workspace", async () => {
    const client = await start();
    const { root } = await twoRuns(client);
    const [found] = await journalsOf(root);
    writeFileSync(join(found?.folder.path ?? "", "trash/000001.pqtrash"), "changed");
    const purged = await client.request("tamp/purge", { dataset: root, all: true });
    expect(purged.kept.map(({ reason }) => reason)).toEqual([expect.stringContaining("was changed")]);
    expect(await trashOf(root)).toHaveLength(4);
  });

  it("comes before a run, for what is due, and makes room below the bound on originals", async () => {
    const client = await start();
    const { root, first, second } = await twoRuns(client);
    ahead += 7 * DAY - 500_000;
    writeDataset(root, smallFiles(["c"], 2));
    const planned = await plan(client, root);
    expect(planned.estimate.purgeBytes).toBe(first.stats.rewrittenBytes);
    const third = await client.request("tamp/execute", { dataset: root, plan: planned });
    expect(third.purged.map(({ runId }) => runId)).toEqual([first.runId]);
    ahead += 1_000;
    writeDataset(root, smallFiles(["d"], 2));
    await open(client, root, {
      ...POLICY,
      retentionMs: 365 * DAY,
      maxRetained: third.stats.rewrittenBytes * 2,
    });
    const fourth = await compact(client, root);
    expect(fourth.purged.map(({ runId }) => runId)).toEqual([second.runId]);
    expect(fourth.kind).toBe("published");
  });

  it("by the bound never takes the newest run: a run that would need it is refused before it begins", async () => {
    const client = await start();
    const { root, first, second } = await twoRuns(client);
    writeDataset(root, smallFiles(["c"], 2));
    await open(client, root, { ...POLICY, maxRetained: second.stats.rewrittenBytes + 1 });
    const before = fingerprints(root);
    const refused = await compact(client, root);
    expect(refused).toMatchObject({ kind: "refused", groups: [] });
    expect(refused.reason).toContain("--max-retained");
    expect(refused.purged).toEqual([]);
    expect(fingerprints(root)).toEqual(before);
    for (const { runId } of [second, first])
      expect(await client.request("tamp/undo", { dataset: root })).toMatchObject({ kind: "undone", runId });
  });

  it("forgets runs that keep nothing a month after", async () => {
    const client = await start();
    const { root, first } = await twoRuns(client);
    await client.request("tamp/undo", { dataset: root });
    await client.request("tamp/purge", { dataset: root, all: true });
    expect((await runsOf(client, root)).map(({ state }) => state)).toEqual(["undone", "purged"]);
    ahead += 29 * DAY;
    await client.request("tamp/purge", { dataset: root });
    expect(await runsOf(client, root)).toHaveLength(2);
    ahead += 2 * DAY;
    await client.request("tamp/purge", { dataset: root });
    expect(await runsOf(client, root)).toEqual([]);
    await expect(client.request("tamp/purge", { dataset: root, runId: first.runId })).rejects.toMatchObject({
      code: "RunNotFound",
    });
  });
});

/** Fails at the rewrite number `nth`, counted over all runs. */
function failingEngine(nth: number): (engine: Engine) => Engine {
  let rewrites = 0;
  return (engine) => ({
    ...engine,
    async start(limits, signal): Promise<RunningEngine> {
      const running = await engine.start(limits, signal);
      return {
        digest: (task) => running.digest(task),
        kill: () => running.kill(),
        dispose: () => running.dispose(),
        async rewrite(task, onProgress) {
          rewrites += 1;
          if (rewrites === nth) throw new Error("a poison file");
          await running.rewrite(task, onProgress);
        },
      };
    },
  });
}

describe("a run that was published in part", () => {
  it("goes on where it stopped when its plan is executed again, and is done once", async () => {
    const client = await bench.start({ wrapEngine: failingEngine(2) });
    const root = dataset(smallFiles(["a", "b", "c"]));
    await open(client, root);
    const document = await plan(client, root);
    const execute = () => client.request("tamp/execute", { dataset: root, plan: document, overlapMs: 0 });
    const first = await execute();
    expect(first.kind).toBe("partly_published");
    expect(first.groups.map(({ kind }) => kind)).toEqual(["published", "rolled_back", "published"]);
    expect(first.reason).toContain("a poison file");
    expect(files(root)).toHaveLength(6);
    const second = await execute();
    expect(second.kind).toBe("published");
    expect(second.groups.map(({ kind }) => kind)).toEqual(["skipped", "published", "skipped"]);
    expect(second.groups[0]?.reason).toContain(first.runId);
    expect(second.stats).toMatchObject({ compactedFileCount: 4, afterFileCount: 3 });
    expect((await runsOf(client, root)).map(({ state }) => state)).toEqual(["published", "partly_published"]);
    const third = await execute();
    expect(third).toMatchObject({ kind: "refused" });
    expect(third.reason).toContain(`${first.runId}, ${second.runId} have carried out this plan`);
    for (const runId of [second.runId, first.runId])
      expect(await client.request("tamp/undo", { dataset: root })).toMatchObject({ kind: "undone", runId });
    expect((await execute()).kind).toBe("published");
  });

  it("does not go on where a file of what is left has changed", async () => {
    const client = await bench.start({ wrapEngine: failingEngine(2) });
    const root = dataset(smallFiles(["a", "b"]));
    await open(client, root);
    const document = await plan(client, root);
    await client.request("tamp/execute", { dataset: root, plan: document });
    writeFileSync(join(root, "b/part-1.parquet"), parquetBytes({ rows: 7 }));
    const again = await client.request("tamp/execute", { dataset: root, plan: document });
    expect(again.kind).toBe("refused");
    expect(again.reason).toContain("stale: b/part-1.parquet");
  });
});

/** The latest journal as a crash in the middle of its swap would have left it: all outputs linked, nothing retired. */
async function interrupt(root: string): Promise<JournalRecord> {
  const found = (await journalsOf(root)).at(-1);
  if (found === undefined) throw new Error("no journal");
  for (const { path, trash } of found.record.sources)
    renameSync(join(found.folder.path, trash), join(root, path));
  const record: JournalRecord = { ...found.record, state: "COMMIT" };
  await writeJournal(nodeFs, found.folder, record);
  return record;
}

describe("an interrupted run", () => {
  it("is told when its dataset is opened, and dealt with where that is asked for", async () => {
    const root = dataset(smallFiles(["a"]));
    const before = fingerprints(root);
    const client = await start();
    await open(client, root);
    await compact(client, root);
    const { runId } = await interrupt(root);
    const other = await start();
    const told = await other.request("tamp/dataset/open", { dataset: root, policy: POLICY, watch: false });
    expect(told).toMatchObject({ interruptedGroups: 1, recovered: [], fileCount: 5 });
    expect(told.warnings).toEqual([expect.stringContaining("tamp recover")]);
    expect(await runsOf(other, root)).toMatchObject([{ runId, state: "interrupted" }]);
    ahead += 5_000;
    const third = await start();
    const params = { dataset: root, policy: POLICY, watch: false, recover: true };
    const recovered = await third.request("tamp/dataset/open", params);
    expect(recovered).toMatchObject({ interruptedGroups: 0, warnings: [], fileCount: 4 });
    expect(recovered.recovered).toMatchObject([{ runId, group: 1, action: "roll_back" }]);
    expect(recovered.recovered[0]?.duplicateWindowMs).toBeGreaterThanOrEqual(5_000);
    expect(fingerprints(root)).toEqual(before);
  });

  it("is dealt with before the next run, which says so", async () => {
    const root = dataset(smallFiles(["a"]));
    const client = await start();
    await open(client, root);
    await compact(client, root);
    const { runId } = await interrupt(root);
    writeDataset(root, smallFiles(["b"]));
    const result = await compact(client, root);
    expect(result.recovered).toMatchObject([{ runId, action: "roll_back" }]);
  });
});

describe("runs", () => {
  it("made in another workspace are listed and undone from anywhere", async () => {
    const root = dataset(smallFiles(["a"]));
    const before = fingerprints(root);
    const elsewhere = dataset({});
    const client = await start();
    await client.request("tamp/dataset/open", {
      dataset: root,
      policy: POLICY,
      watch: false,
      workspace: elsewhere,
    });
    const { runId } = await compact(client, root);
    const other = await start();
    await open(other, root);
    const [listed] = await runsOf(other, root);
    expect(listed).toMatchObject({ runId, state: "published", folder: expect.stringContaining(elsewhere) });
    expect(await other.request("tamp/undo", { dataset: root })).toMatchObject({ kind: "undone", runId });
    expect(fingerprints(root)).toEqual(before);
  });

  it("follow a device that has another number since the last start", async () => {
    const root = dataset(smallFiles(["a"]));
    const before = fingerprints(root);
    const client = await start();
    await open(client, root);
    await compact(client, root);
    const [found] = await journalsOf(root);
    if (found === undefined) throw new Error("no journal");
    const moved = <T extends { readonly device: string }>(file: T): T => ({ ...file, device: "4242" });
    const { sources, outputs } = found.record;
    await writeJournal(nodeFs, found.folder, {
      ...found.record,
      root: moved(found.record.root),
      sources: sources.map(moved),
      outputs: outputs.map(moved),
    });
    expect((await client.request("tamp/undo", { dataset: root })).kind).toBe("undone");
    expect(fingerprints(root)).toEqual(before);
  });
});
