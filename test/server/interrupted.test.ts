import { mkdirSync, readFileSync, renameSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Engine } from "../../server/src/engine.ts";
import { nodeFs, type PublicationFs } from "../../server/src/fs.ts";
import { type Purged, type PurgeRequest, purgeRuns } from "../../server/src/purge.ts";
import type { RecoveredGroup } from "../../server/src/recover.ts";
import { executePlan, type RunReport } from "../../server/src/run.ts";
import { undoRun } from "../../server/src/undo.ts";
import { locateWorkspace } from "../../server/src/workspace.ts";
import { Crash } from "../support/crashing-fs.ts";
import {
  filesBelow,
  hooked,
  makeRowDataset,
  namesBelow,
  OTHERS,
  runUntilCrash,
  SOURCES,
  textOf,
} from "../support/row-dataset.ts";
import { executeRows, maintainRows, planRows, readRows, writeRows } from "../support/row-files.ts";

let folder: string;
let root: string;

beforeEach(() => {
  folder = makeRowDataset();
  root = join(folder, "data");
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** What must not change: all names, and inode and bytes of every file. */
const everything = () => ({ names: namesBelow(folder), files: filesBelow(folder) });

const inRoot = (path: string): string => join(root, path);

const lockOf = async (): Promise<string> => (await locateWorkspace(nodeFs, root, null)).lock;

const runsFolder = async (): Promise<string> => (await locateWorkspace(nodeFs, root, null)).runs;

/** Killed as the first file leaves a partition: what is put beside it stands there by then. */
function killedIn(partition: string): PublicationFs {
  let gone = false;
  return hooked((method, [from = ""]) => {
    gone ||= method === "rename" && from.startsWith(`${inRoot(partition)}/`);
    if (gone) throw new Crash();
  });
}

/** A run of `p` killed after S9; answers its id. */
async function interruptedRun(): Promise<string> {
  await runUntilCrash(root, killedIn("p"));
  expect(namesBelow(inRoot("p"))).toEqual(["a.parquet", "b.parquet", expect.stringMatching(/^compacted-/)]);
  return namesBelow(await runsFolder())[0] ?? "";
}

function recover(): Promise<readonly RecoveredGroup[]> {
  return maintainRows(root, async (held) => held.recovered);
}

function compact(...groups: readonly (readonly string[])[]): Promise<RunReport> {
  return executeRows({ root, plan: planRows(root, groups) });
}

function purge(request: PurgeRequest): Promise<Purged> {
  return maintainRows(root, (held) => purgeRuns(held, request, false));
}

/** Parquet files of a partition. */
function pathsIn(partition: string): readonly string[] {
  return namesBelow(inRoot(partition)).map((name) => `${partition}/${name}`);
}

const mover = (from: string, to: string) => ({
  move: (): void => renameSync(inRoot(from), inRoot(to)),
  back: (): void => renameSync(inRoot(to), inRoot(from)),
});

describe("files of an interrupted run that were moved", () => {
  const rows: readonly {
    readonly what: string;
    readonly moved: ReturnType<typeof mover>;
    readonly told: string;
    readonly planned: () => readonly string[];
  }[] = [
    {
      what: "its sources, with their directory",
      moved: mover("p", "r"),
      told: "has left its name",
      planned: () => ["r/a.parquet", "r/b.parquet"],
    },
    {
      what: "its output, with the directory",
      moved: mover("p", "r"),
      told: "has left its name",
      planned: () => pathsIn("r").filter((path) => path.includes("compacted")),
    },
    {
      what: "one source, to another partition",
      moved: mover("p/a.parquet", "q/e.parquet"),
      told: "is gone and the published outputs hold its rows",
      planned: () => ["q/c.parquet", "q/e.parquet"],
    },
    {
      what: "one source, under another name",
      moved: mover("p/a.parquet", "p/e.parquet"),
      told: "is gone and the published outputs hold its rows",
      planned: () => ["p/e.parquet"],
    },
  ];
  it.each(rows)("are not compacted until they are back: $what", async ({ moved, told, planned }) => {
    const before = filesBelow(root);
    const runId = await interruptedRun();
    moved.move();
    const found = everything();
    expect(await recover()).toMatchObject([
      { runId, action: "quarantine", detail: expect.stringContaining(told) },
    ]);
    expect(await compact(planned())).toMatchObject({
      kind: "refused",
      reason: expect.stringContaining(`interrupted run ${runId}`),
      groups: [],
    });
    expect(everything()).toEqual(found);
    moved.back();
    expect(await recover()).toMatchObject([{ runId, action: "roll_back" }]);
    expect(filesBelow(root)).toEqual(before);
    expect(await recover()).toEqual([]);
    expect((await compact(SOURCES)).kind).toBe("published");
  });

  it("keep no other files from being compacted", async () => {
    await interruptedRun();
    renameSync(inRoot("p"), inRoot("r"));
    expect((await compact(OTHERS)).kind).toBe("published");
  });

  it.each([
    { what: "", anew: false },
    { what: ", also where the directory was made anew", anew: true },
  ])("are left alone where the run was being undone$what", async ({ anew }) => {
    const before = filesBelow(root);
    const { runId } = await compact(SOURCES);
    const killed = maintainRows(root, (held) => undoRun({ ...held, fs: killedIn("p") }, null));
    await expect(killed).rejects.toThrow(Crash);
    renameSync(inRoot("p"), inRoot("r"));
    if (anew) mkdirSync(inRoot("p"));
    const found = everything();
    expect(await recover()).toMatchObject([{ runId, action: "quarantine" }]);
    expect(await compact(pathsIn("r"))).toMatchObject({
      kind: "refused",
      reason: expect.stringContaining(runId),
    });
    expect(everything()).toEqual(found);
    if (anew) rmdirSync(inRoot("p"));
    renameSync(inRoot("r"), inRoot("p"));
    expect(await recover()).toMatchObject([{ runId, action: "undo" }]);
    expect(filesBelow(root)).toEqual(before);
  });
});

describe("a damaged journal of an interrupted run", () => {
  it.each([
    { what: "no record any more", byte: () => 0, partition: "p" },
    { what: "a record with another digit", byte: digitIn, partition: "p" },
    { what: "a record with another digit, its directory moved", byte: digitIn, partition: "r" },
  ])("keeps its directory as it is, and no other: $what", async ({ byte, partition }) => {
    const runId = await interruptedRun();
    const journal = join(await runsFolder(), runId, "0001", "journal.json");
    const bytes = readFileSync(journal);
    const at = byte(bytes);
    bytes[at] = (bytes[at] ?? 0) ^ 1;
    writeFileSync(journal, bytes);
    if (partition !== "p") renameSync(inRoot("p"), inRoot(partition));
    const found = everything();
    const doubled = filesBelow(inRoot(partition));
    expect(await recover()).toMatchObject([
      { runId, action: "quarantine", detail: expect.stringContaining(journal) },
    ]);
    const sources = pathsIn(partition).filter((path) => !path.includes("compacted"));
    for (const groups of [[sources], [OTHERS, sources]]) {
      expect(await compact(...groups)).toMatchObject({
        kind: "refused",
        reason: expect.stringContaining(`${runId}, whose journal cannot be read`),
      });
    }
    expect(everything()).toEqual(found);
    expect((await compact(OTHERS)).kind).toBe("published");
    expect(filesBelow(inRoot(partition))).toEqual(doubled);
  });
});

/** Where a flipped bit leaves a record that reads well. */
function digitIn(journal: Buffer): number {
  const before = '"sizeBytes":';
  return journal.indexOf(before) + before.length;
}

it("a run of which one group is not recovered keeps its originals, and those of who rewrote its others", async () => {
  const before = filesBelow(root);
  const plan = planRows(root, [SOURCES, OTHERS]);
  const report = await executeRows({ root, plan, ports: { fs: killedIn("q") } });
  expect(report.groups.map(({ kind }) => kind)).toEqual(["published", "unknown"]);
  rmSync(await lockOf(), { force: true });
  renameSync(inRoot("q"), inRoot("r"));
  writeRows(inRoot("p/late.parquet"), ["late"]);
  const later = await compact(pathsIn("p"));
  expect(later.kind).toBe("published");
  const found = everything();
  const kept = [
    { runId: report.runId, reason: expect.stringContaining("not recovered") },
    { runId: later.runId, reason: expect.stringContaining(report.runId) },
  ];
  expect(await purge({ kind: "all" })).toMatchObject({ runs: [], kept });
  expect(await purge({ kind: "run", runId: later.runId })).toMatchObject({ runs: [], kept: kept.slice(1) });
  expect(everything()).toEqual(found);
  renameSync(inRoot("r"), inRoot("q"));
  for (const { runId } of [later, report])
    expect(await maintainRows(root, (held) => undoRun(held, null))).toMatchObject({ kind: "undone", runId });
  rmSync(inRoot("p/late.parquet"));
  expect(filesBelow(root)).toEqual(before);
});

/** A run with this engine, of which no group comes to its checker. */
function executeWith(start: Engine["start"], signal: AbortSignal): Promise<RunReport> {
  const engine: Engine = {
    name: "none",
    version: "1",
    codecs: ["zstd"],
    predictChanges: () => [],
    describeLosses: () => [],
    start,
  };
  const checker = { footers: async () => [], sameRows: async () => false, dispose: async () => {} };
  return maintainRows(root, (held) =>
    executePlan({
      held,
      plan: planRows(root, [SOURCES, OTHERS]),
      planId: "plan",
      engine,
      limits: { memoryBytes: 1, threads: 1, deadlineMs: 1 },
      overlapMs: 0,
      createChecker: () => checker,
      refusalOf: async () => null,
      keyValuesOf: () => [],
      signal,
      onProgress: () => {},
    }),
  );
}

describe("a run of which no group began leaves no folder", () => {
  const fail = async (): Promise<never> => {
    throw new Error("the engine does not start");
  };
  it.each([
    { what: "its engine does not start", cancel: "never", kind: "rolled_back" },
    { what: "it was cancelled before", cancel: "before", kind: "cancelled" },
    { what: "it was cancelled as its engine started", cancel: "starting", kind: "cancelled" },
  ])("where $what", async ({ cancel, kind }) => {
    const before = filesBelow(root);
    const controller = new AbortController();
    if (cancel === "before") controller.abort();
    const start = (): Promise<never> => {
      if (cancel === "starting") controller.abort();
      return fail();
    };
    const report = await executeWith(start, controller.signal);
    expect(report).toMatchObject({ kind, groups: [{ kind }, { kind }] });
    expect(namesBelow(await runsFolder())).toEqual([]);
    expect(filesBelow(root)).toEqual(before);
  });
});

describe("a run whose lock somebody else has taken", () => {
  it.each([
    { when: "while its first group is rewritten", state: null, kinds: ["unknown", "rolled_back"] },
    { when: "as its first group is done", state: "RETIRED", kinds: ["published", "rolled_back"] },
  ])("rewrites no further group: $when", async ({ state, kinds }) => {
    const lock = await lockOf();
    const theirs = JSON.stringify({ nonce: "theirs" });
    const others = filesBelow(inRoot("q"));
    const take = (): void => {
      writeFileSync(`${lock}.theirs`, theirs);
      renameSync(`${lock}.theirs`, lock);
    };
    const fs = hooked((method, [from = ""]) => {
      const isRecord = method === "rename" && from.endsWith(".json.new");
      if (isRecord && state !== null && textOf(from).includes(`"${state}"`)) take();
    });
    const rewritten: string[] = [];
    const afterRewrite = (): void => {
      rewritten.push("a group");
      if (state === null) take();
    };
    const plan = planRows(root, [SOURCES, OTHERS]);
    const { groups, runId } = await executeRows({ root, plan, ports: { fs }, afterRewrite });
    expect(groups.map(({ kind }) => kind)).toEqual(kinds);
    expect(groups[1]?.reason).toContain("was taken away");
    expect(rewritten).toHaveLength(1);
    expect(namesBelow(join(await runsFolder(), runId))).not.toContain("0002");
    expect(filesBelow(inRoot("q"))).toEqual(others);
    expect(textOf(lock)).toBe(theirs);
    const rows = namesBelow(inRoot("p")).flatMap((name) => readRows(inRoot(`p/${name}`)));
    expect(rows).toEqual(SOURCES.flatMap((name) => [`${name} 1`, `${name} 2`]));
  });
});
