import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { Engine, RewriteTask, RunningEngine } from "../../server/src/engine.ts";
import { decodeRows } from "../../server/src/footer.ts";
import { nodeFs, type PublicationFs } from "../../server/src/fs.ts";
import { readJournals, writeJournal } from "../../server/src/journal.ts";
import { takeLock } from "../../server/src/lock.ts";
import type { PlanDocument } from "../../server/src/protocol.ts";
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
import { parquetBytes } from "../support/dataset.ts";
import { testPorts } from "../support/ports.ts";

let bench: TestBench;
beforeAll(async () => {
  bench = await createTestBench();
});
afterAll(() => bench.dispose());
afterEach(removeDatasets);

async function ids(root: string, name: string): Promise<readonly number[]> {
  const rows = await decodeRows(join(root, name), 0, 1e9);
  return rows.map((row) => Number(Object.values(row)[0]));
}

describe("compact", () => {
  it("rewrites each partition into one file with all rows in their order, then has nothing to do", async () => {
    const root = dataset({ ...smallFiles(["month=1", "month=10"]), "month=2/alone.parquet": { rows: 5 } });
    const client = await bench.start();
    await open(client, root);
    const document = await plan(client, root);
    expect(document.kind).toBe("planned");
    expect(document.stats).toMatchObject({
      beforeFileCount: 9,
      afterFileCount: 3,
      compactedFileCount: 8,
      dryRun: true,
    });
    const result = await compact(client, root);
    expect(result).toMatchObject({
      kind: "published",
      validation: { rowsCompared: 800, groupsPassed: 2, groupsFailed: 0 },
    });
    expect(Object.keys(result.stats)).toEqual(Object.keys(document.stats));
    expect(result.stats).toMatchObject({
      beforeFileCount: 9,
      afterFileCount: 3,
      compactedFileCount: 8,
      dryRun: false,
    });
    expect(files(root)).toHaveLength(3);
    for (const { outputs } of result.groups) {
      expect(await ids(root, outputs[0]?.path ?? "")).toEqual(Array.from({ length: 400 }, (_, id) => id));
    }
    expect((await plan(client, root)).kind).toBe("nothing_to_do");
    expect((await compact(client, root)).kind).toBe("nothing_to_do");
  });

  it("is undone to the same inodes and bytes, and only once", async () => {
    const root = dataset(smallFiles(["a", "b"]));
    const before = fingerprints(root);
    const client = await bench.start();
    await open(client, root);
    await compact(client, root);
    expect(files(root)).toHaveLength(2);
    expect(await client.request("tamp/undo", { dataset: root })).toMatchObject({
      kind: "undone",
      restoredFiles: 8,
      withdrawnFiles: 2,
    });
    expect(fingerprints(root)).toEqual(before);
    expect((await client.request("tamp/undo", { dataset: root })).kind).toBe("nothing_to_do");
    const { runs } = await client.request("tamp/runs", { dataset: root });
    expect(runs.map((run) => run.state)).toEqual(["undone"]);
  });

  it("undoes latest first: an earlier run whose output was rewritten names the later run", async () => {
    const root = dataset(smallFiles([""], 4));
    const client = await bench.start();
    await open(client, root, { ...POLICY, minAgeMs: 0 });
    const first = await compact(client, root);
    copyFileSync(join(root, first.groups[0]?.outputs[0]?.path ?? ""), join(root, "late.parquet"));
    const second = await compact(client, root);
    expect(second.kind).toBe("published");
    const refused = await client.request("tamp/undo", { dataset: root, runId: first.runId });
    expect(refused).toMatchObject({ kind: "refused" });
    expect(refused.reason).toContain(second.runId);
    expect((await client.request("tamp/undo", { dataset: root })).runId).toBe(second.runId);
    expect((await client.request("tamp/undo", { dataset: root })).runId).toBe(first.runId);
    expect(files(root)).toHaveLength(5);
  });

  it("keeps rows apart whose schema differs, and key-value metadata with its file", async () => {
    const keyValues = [{ key: "writer", value: 'it\'s "one"' }];
    const root = dataset({
      "a.parquet": { rows: 3, keyValues },
      "b.parquet": { rows: 3, from: 3, keyValues },
      "c.parquet": { rows: 3 },
      "d.parquet": { rows: 3, extra: ["more"] },
    });
    const client = await bench.start();
    await open(client, root);
    const document = await plan(client, root);
    expect(document.groups.map((group) => group.inputs.map((file) => file.path))).toEqual([
      ["a.parquet", "b.parquet"],
    ]);
    expect(document.skipped.map(({ path, reason }) => [path, reason])).toEqual([
      ["c.parquet", "foreign_schema"],
      ["d.parquet", "foreign_schema"],
    ]);
    expect((await compact(client, root)).kind).toBe("published");
  });

  it("splits a file with too many rows and keeps the order across the parts", async () => {
    const root = dataset({ "big.parquet": { rows: 10_000 } });
    const client = await bench.start();
    await open(client, root, { ...POLICY, targetRows: 3_000 });
    const result = await compact(client, root);
    expect(result.groups[0]?.outputs.map((output) => output.rows)).toEqual([2500, 2500, 2500, 2500]);
    const all = await Promise.all((result.groups[0]?.outputs ?? []).map((output) => ids(root, output.path)));
    expect(all.flat()).toEqual(Array.from({ length: 10_000 }, (_, id) => id));
  });

  it("takes names that mean something to a shell, a glob or SQL", async () => {
    const names = [
      "a[12].parquet",
      "it's.parquet",
      "x*.parquet",
      "~.parquet",
      "-f.parquet",
      "a;DROP.parquet",
      "a\nb.parquet",
      "%2F.parquet",
    ];
    const root = dataset({
      ...Object.fromEntries(names.map((name) => [`k=v=w/${name}`, { rows: 2 }])),
      "k=v=w/a1.txt": new Uint8Array(3),
    });
    const client = await bench.start();
    await open(client, root);
    const result = await compact(client, root);
    expect(result).toMatchObject({ kind: "published", stats: { compactedFileCount: names.length } });
    expect(files(root)).toHaveLength(2);
  });
});

describe("a plan", () => {
  it("that another hand edited, or that leads outside, is refused", async () => {
    const root = dataset(smallFiles(["a"]));
    const client = await bench.start();
    await open(client, root);
    const document = await plan(client, root);
    const [group] = document.groups;
    if (group === undefined) throw new Error("no group");
    const edits: readonly PlanDocument[] = [
      { ...document, groups: [{ ...group, codec: "gzip" }] },
      { ...document, groups: [{ ...group, inputs: group.inputs.slice(1) }] },
      { ...document, groups: [group, group] },
      { ...document, stats: undefined as never },
      { ...document, groups: [null as never] },
      {
        ...document,
        groups: [
          {
            ...group,
            partition: "..",
            inputs: group.inputs.map((file) => ({ ...file, path: "../x.parquet" })),
          },
        ],
      },
    ];
    for (const edited of edits) {
      await expect(client.request("tamp/execute", { dataset: root, plan: edited })).rejects.toMatchObject({
        code: "InvalidParams",
      });
    }
    expect(files(root)).toHaveLength(4);
    expect((await client.request("tamp/execute", { dataset: root, plan: document })).kind).toBe("published");
    expect(await client.request("tamp/execute", { dataset: root, plan: document })).toMatchObject({
      kind: "refused",
    });
  });

  it.each([
    { what: "removed", change: (path: string) => rmSync(path) },
    { what: "rewritten", change: (path: string) => writeFileSync(path, parquetBytes({ rows: 7 })) },
    { what: "replaced", change: (path: string) => renameSync(path.replace("part-1", "part-2"), path) },
  ])("is refused as stale when a source was $what meanwhile", async ({ change }) => {
    const root = dataset(smallFiles(["a"]));
    const client = await bench.start();
    await open(client, root);
    const document = await plan(client, root);
    change(join(root, "a/part-1.parquet"));
    const before = fingerprints(root);
    const result = await client.request("tamp/execute", { dataset: root, plan: document });
    expect(result.kind).toBe("refused");
    expect(result.reason).toContain("stale");
    expect(fingerprints(root)).toEqual(before);
  });
});

describe("a run", () => {
  it("leaves files alone that belong to a group which recovery cannot judge", async () => {
    const root = dataset(smallFiles(["a"]));
    const client = await bench.start();
    await open(client, root);
    const first = await compact(client, root);
    expect((await client.request("tamp/undo", { dataset: root })).kind).toBe("undone");
    const [found] = await readJournals(nodeFs, [await locateWorkspace(nodeFs, root, null)]);
    if (found?.kind !== "journal") throw new Error("no journal");
    await writeJournal(nodeFs, found.folder, { ...found.record, state: "COMMIT", outputs: [] });
    const before = fingerprints(root);
    const result = await compact(client, root);
    expect(result).toMatchObject({ kind: "refused" });
    expect(result.reason).toContain(first.runId);
    expect(fingerprints(root)).toEqual(before);
  });

  it("gives its outputs no right that one of the sources does not give", async () => {
    const root = dataset(smallFiles([""], 3));
    for (const [index, mode] of [0o664, 0o600, 0o644].entries())
      chmodSync(join(root, `part-${index}.parquet`), mode);
    const client = await bench.start();
    await open(client, root);
    const result = await compact(client, root);
    expect(statSync(join(root, result.groups[0]?.outputs[0]?.path ?? "")).mode & 0o777).toBe(0o600);
  });

  it("stops where a source took on another schema behind an unchanged size and time", async () => {
    const root = dataset({
      "a.parquet": { rows: 9, extra: ["x"] },
      "b.parquet": { rows: 9, extra: ["x"] },
    });
    for (const name of files(root)) utimesSync(join(root, name), 1_000_000, 1_000_000);
    const fs = new Proxy(nodeFs, {
      get(target, name: keyof PublicationFs) {
        if (name !== "mkdir") return target[name];
        return async (path: string): Promise<void> => {
          if (path.endsWith("/0001")) {
            writeFileSync(join(root, "b.parquet"), parquetBytes({ rows: 9, extra: ["y"] }));
            utimesSync(join(root, "b.parquet"), 1_000_000, 1_000_000);
          }
          await target.mkdir(path);
        };
      },
    });
    const client = await bench.start({ fs });
    await open(client, root);
    const result = await compact(client, root);
    expect(result.kind).toBe("rolled_back");
    expect(result.reason).toContain("another schema");
    expect(files(root)).toEqual(["a.parquet", "b.parquet"]);
  });

  it("is not undone while a root below it is being maintained", async () => {
    const root = dataset(smallFiles(["a"]));
    const client = await bench.start();
    await open(client, root);
    await compact(client, root);
    mkdirSync(join(root, ".a.tamp"));
    const lock = await takeLock({
      ...testPorts(),
      path: join(root, ".a.tamp", "lock"),
      root: join(root, "a"),
      since: "",
    });
    await expect(client.request("tamp/undo", { dataset: root })).rejects.toMatchObject({ code: "Locked" });
    await lock.release();
    expect((await client.request("tamp/undo", { dataset: root })).kind).toBe("undone");
  });
});

/** Engines that break one promise each: validation must stop every one of them. */
const MUTANTS: readonly { readonly what: string; readonly task: (task: RewriteTask) => RewriteTask }[] = [
  { what: "drops a file", task: (task) => ({ ...task, inputs: task.inputs.slice(1) }) },
  {
    what: "doubles a file",
    task: (task) => ({ ...task, inputs: [...task.inputs.slice(0, 2), ...task.inputs.slice(0, 2)] }),
  },
  { what: "swaps files", task: (task) => ({ ...task, inputs: [...task.inputs].reverse() }) },
  { what: "writes another codec", task: (task) => ({ ...task, codec: "gzip" }) },
  { what: "invents metadata", task: (task) => ({ ...task, keyValues: [{ key: "x", value: "y" }] }) },
  { what: "writes tiny row groups", task: (task) => ({ ...task, rowsPerGroup: 2_048 }) },
];

describe("validation", () => {
  it.each(MUTANTS)("stops an engine that $what", async ({ task }) => {
    const root = dataset(
      Object.fromEntries([0, 1, 2, 3].map((n) => [`p${n}.parquet`, { rows: 1500, from: n * 1500 }])),
    );
    const before = fingerprints(root);
    const wrapEngine = (engine: Engine): Engine => mutant(engine, task);
    const client = await bench.start({ wrapEngine });
    await open(client, root);
    const result = await compact(client, root);
    expect(result.kind).toBe("rolled_back");
    expect(fingerprints(root)).toEqual(before);
    expect((await client.request("tamp/recover", { dataset: root })).kind).toBe("nothing_to_do");
  });
});

function mutant(engine: Engine, change: (task: RewriteTask) => RewriteTask): Engine {
  return {
    ...engine,
    async start(limits): Promise<RunningEngine> {
      const running = await engine.start(limits);
      return {
        rewrite: (task, onProgress) => running.rewrite(change(task), onProgress),
        digest: (task) => running.digest(task),
        kill: () => running.kill(),
        dispose: () => running.dispose(),
      };
    },
  };
}
