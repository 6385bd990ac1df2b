import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { nodeFs, type PublicationFs } from "../../server/src/fs.ts";
import { type Purged, type PurgeRequest, purgeRuns } from "../../server/src/purge.ts";
import type { RunReport } from "../../server/src/run.ts";
import { type Undone, undoRun } from "../../server/src/undo.ts";
import {
  compact as compactFiles,
  dataset,
  open,
  plan,
  removeDatasets,
  smallFiles,
} from "../support/compacting.ts";
import { createTestBench, type TestBench } from "../support/daemon.ts";
import { writeDataset } from "../support/dataset.ts";
import { filesBelow, hooked, makeRowDataset, namesBelow, OTHERS, SOURCES } from "../support/row-dataset.ts";
import { executeRows, maintainRows, planRows, writeRows } from "../support/row-files.ts";

const NOW = Date.UTC(2026, 5, 1);
const DAY = 86_400_000;

let folder: string;
let root: string;

beforeEach(() => {
  folder = makeRowDataset();
  root = join(folder, "data");
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

interface Given {
  readonly now?: number;
  readonly maxRetainedBytes?: number | null;
}

function compact(
  groups: readonly (readonly string[])[],
  { now = NOW, maxRetainedBytes = null }: Given = {},
): Promise<RunReport> {
  const planned = planRows(root, groups, { maxRetainedBytes });
  return executeRows({ root, plan: planned, ports: { now: () => now } });
}

function purge(request: PurgeRequest, fs: PublicationFs = nodeFs, dryRun = false): Promise<Purged> {
  return maintainRows(root, (held) => purgeRuns(held, request, dryRun), { fs, now: () => NOW });
}

const purgeAll = (): Promise<Purged> => purge({ kind: "all" });

const purgeNamed = (runId: string): Promise<Purged> => purge({ kind: "run", runId });

const undo = (): Promise<Undone> => maintainRows(root, (held) => undoRun(held, null));

const idsOf = (runs: readonly { readonly runId: string }[]): readonly string[] =>
  runs.map(({ runId }) => runId);

const outputOf = ({ groups }: RunReport): string => groups[0]?.outputs[0]?.path ?? "";

const bytesOf = ({ groups }: RunReport, group = 0): number => groups[group]?.inputBytes ?? 0;

/** Originals that are kept, of all runs. */
const trash = (): readonly string[] => namesBelow(folder).filter((name) => name.endsWith(".pqtrash"));

/** A new partition of two files; answers their paths. */
function addPartition(name: string): readonly string[] {
  mkdirSync(join(root, name));
  const paths = ["a", "b"].map((file) => `${name}/${file}.parquet`);
  for (const path of paths) writeRows(join(root, path), [`${path} 1`, `${path} 2`]);
  return paths;
}

describe("a run that rewrote what an earlier one published, with the clock set back by a day between them", () => {
  let original: ReadonlyMap<string, string>;
  let first: RunReport;
  let second: RunReport;
  beforeEach(async () => {
    writeRows(join(root, "p/late.parquet"), ["late"]);
    original = filesBelow(root);
    first = await compact([SOURCES]);
    second = await compact([[outputOf(first), "p/late.parquet"]], { now: NOW - DAY });
    expect([first.kind, second.kind]).toEqual(["published", "published"]);
  });

  it("is undone first", async () => {
    for (const { runId } of [second, first]) expect(await undo()).toMatchObject({ kind: "undone", runId });
    expect(filesBelow(root)).toEqual(original);
    expect(await undo()).toMatchObject({ kind: "nothing_to_do" });
  });

  it("is not purged by its name while the other can be undone", async () => {
    expect(await purgeNamed(second.runId)).toMatchObject({
      runs: [],
      kept: [{ runId: second.runId, reason: expect.stringContaining(first.runId) }],
    });
    expect(trash()).toHaveLength(4);
    for (const { runId } of [first, second]) expect(idsOf((await purgeNamed(runId)).runs)).toEqual([runId]);
    expect(trash()).toEqual([]);
  });

  it("is purged after it", async () => {
    const purged = await purgeAll();
    expect(idsOf(purged.runs)).toEqual([first.runId, second.runId]);
    expect(purged).toMatchObject({ kept: [], retainedBytes: 0 });
    expect(trash()).toEqual([]);
  });
});

it("a purge takes the originals of one group and keeps those of another, whose output is gone", async () => {
  const report = await compact([SOURCES, OTHERS]);
  const { runId } = report;
  const lost = outputOf(report);
  rmSync(join(root, lost));
  const expected = {
    runs: [{ runId, files: 2, bytes: bytesOf(report, 1) }],
    kept: [{ runId, reason: expect.stringMatching(`^${lost} .* only copy`) }],
    retainedBytes: bytesOf(report),
  };
  expect(await purge({ kind: "all" }, nodeFs, true)).toMatchObject(expected);
  expect(trash()).toHaveLength(4);
  expect(await purgeAll()).toMatchObject(expected);
  expect(trash().map((name) => name.slice(-"0001/trash/000001.pqtrash".length))).toEqual([
    "0001/trash/000001.pqtrash",
    "0001/trash/000002.pqtrash",
  ]);
  const found = filesBelow(folder);
  expect(await undo()).toMatchObject({ kind: "refused", reason: expect.stringContaining(lost) });
  expect(await purgeAll()).toMatchObject({ ...expected, runs: [] });
  expect(filesBelow(folder)).toEqual(found);
  expect(await purgeNamed(runId)).toMatchObject({
    runs: [{ runId, files: 2, bytes: bytesOf(report) }],
    kept: [],
    retainedBytes: 0,
  });
  expect(trash()).toEqual([]);
});

it("a run is not purged past an earlier one whose outputs it has rewritten and that had to stay", async () => {
  writeRows(join(root, "p/late.parquet"), ["late"]);
  const first = await compact([SOURCES]);
  const second = await compact([[outputOf(first), "p/late.parquet"]]);
  const [original = ""] = trash().filter((name) => name.includes(first.runId));
  writeRows(join(folder, original), ["changed"]);
  const found = filesBelow(folder);
  expect(await purgeAll()).toMatchObject({
    runs: [],
    kept: [
      { runId: first.runId, reason: expect.stringContaining("was changed") },
      { runId: second.runId, reason: expect.stringContaining(first.runId) },
    ],
  });
  expect(filesBelow(folder)).toEqual(found);
});

describe("a run that keeps its originals, above the bound on them,", () => {
  // Each run keeps as much as the others, and one more is to come.
  it.each([
    { what: "costs nobody else's where all fit", bound: 4, purged: [], refused: false },
    { what: "makes the next oldest go", bound: 3, purged: [1], refused: false },
    { what: "and the newest leave no room for more", bound: 3 - 0.01, purged: [], refused: true },
  ])("$what", async ({ bound, purged, refused }) => {
    const runs: RunReport[] = [];
    for (const paths of [SOURCES, OTHERS, addPartition("r")]) runs.push(await compact([paths]));
    const [kept] = runs as [RunReport];
    rmSync(join(root, outputOf(kept)));
    const paths = addPartition("s");
    const found = filesBelow(folder);
    const report = await compact([paths], { maxRetainedBytes: Math.floor(bound * bytesOf(kept)) });
    expect(report.kind).toBe(refused ? "refused" : "published");
    expect(idsOf(report.purged)).toEqual(purged.map((index) => runs[index]?.runId));
    if (!refused) return expect(trash()).toHaveLength(8 - 2 * purged.length);
    expect(report.reason).toContain(`run ${kept.runId} keeps its own: ${outputOf(kept)}`);
    expect(filesBelow(folder)).toEqual(found);
  });
});

it.each([
  { call: "readTail", code: "EIO" },
  { call: "readTail", code: "EACCES" },
  { call: "lstat", code: "EACCES" },
] as const)(
  "an output that cannot be looked at ($call: $code) keeps its run's originals and no others",
  async ({ call, code }) => {
    const [first, second] = [await compact([SOURCES]), await compact([OTHERS])];
    const unreadable = join(root, outputOf(first));
    const fs = hooked((method, [path]) => {
      if (method === call && path === unreadable)
        throw Object.assign(new Error(`${code}: planted`), { code });
    });
    const purged = await purge({ kind: "all" }, fs);
    expect(purged).toMatchObject({
      kept: [{ runId: first.runId, reason: expect.stringContaining(code) }],
      retainedBytes: bytesOf(first),
    });
    expect(idsOf(purged.runs)).toEqual([second.runId]);
    expect(trash()).toHaveLength(2);
    expect(await undo()).toMatchObject({ kind: "undone", runId: first.runId });
  },
);

describe("with a clock that jumped ahead by a year", () => {
  let bench: TestBench;
  beforeAll(async () => {
    bench = await createTestBench();
  });
  afterAll(() => bench.dispose());
  afterEach(removeDatasets);

  it("the newest run is not purged before a run, and by a purge it is", async () => {
    let now = Date.now();
    const client = await bench.start({ now: () => now });
    const files = dataset(smallFiles(["a"]));
    await open(client, files);
    const first = await compactFiles(client, files);
    now += 365 * DAY;
    writeDataset(files, smallFiles(["b"]));
    expect((await plan(client, files)).estimate.purgeBytes).toBe(0);
    const second = await compactFiles(client, files);
    expect(second).toMatchObject({ kind: "published", purged: [] });
    now += 365 * DAY;
    const purged = await client.request("tamp/purge", { dataset: files });
    expect(idsOf(purged.runs)).toEqual([first.runId, second.runId]);
    expect(purged.retainedBytes).toBe(0);
  });
});
