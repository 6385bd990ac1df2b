import {
  existsSync,
  lstatSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type JournalRecord, publishSteps } from "@tamp/core";
import { afterEach, describe, expect, it } from "vitest";
import { hashFooter } from "../../server/src/footer-hash.ts";
import { nodeFs, type PublicationFs } from "../../server/src/fs.ts";
import { readJournals, writeJournal } from "../../server/src/journal.ts";
import type { Ports } from "../../server/src/maintain.ts";
import { observe } from "../../server/src/observe.ts";
import { type PublishContext, performSteps } from "../../server/src/publish.ts";
import { type RecoveryContext, recoverGroups } from "../../server/src/recover.ts";
import { type Undone, undoRun } from "../../server/src/undo.ts";
import {
  GROUP_PARTS,
  groupFolder,
  locateWorkspace,
  prepareWorkspace,
  runFolder,
  type Workspace,
} from "../../server/src/workspace.ts";
import { Crash, crashingFs, failingFs } from "../support/crashing-fs.ts";
import { testPorts } from "../support/ports.ts";

const SOURCES = ["a.parquet", "b.parquet", "c.parquet"];
const OUTPUT = "compacted-r1-0001.parquet";
const folders: string[] = [];

afterEach(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true });
});

interface Scene {
  readonly root: string;
  readonly workspace: Workspace;
  readonly record: JournalRecord;
  readonly inodes: readonly number[];
}

/** A dataset of three sources with a group that is committed and about to be swapped. */
async function committedScene(): Promise<Scene> {
  const parent = await mkdtemp(join(tmpdir(), "tamp-publish-"));
  folders.push(parent);
  const root = join(parent, "data");
  await mkdir(root);
  for (const name of SOURCES) await writeFile(join(root, name), `rows of ${name}`);
  await writeFile(join(root, "unrelated.parquet"), "unrelated");
  const workspace = await locateWorkspace(nodeFs, root, null);
  await prepareWorkspace(nodeFs, workspace);
  const folder = groupFolder(workspace, "r1", 1);
  await mkdir(runFolder(workspace, "r1"));
  await mkdir(folder.path);
  for (const part of GROUP_PARTS) await mkdir(join(folder.path, part));
  await writeFile(join(folder.path, "out/000001.pqstage"), "rows of all");
  const sources = [];
  for (const [index, name] of SOURCES.entries()) {
    const number = `00000${index + 1}`;
    await nodeFs.link(join(root, name), join(folder.path, `src/${number}.pqsrc`));
    const names = { pin: `src/${number}.pqsrc`, trash: `trash/${number}.pqtrash` };
    sources.push({ path: name, rows: 1, ...(await identity(join(root, name))), ...names });
  }
  const staged = await identity(join(folder.path, "out/000001.pqstage"));
  const record: JournalRecord = {
    version: 1,
    runId: "r1",
    group: 1,
    planId: "p1",
    stateSince: "2026-01-01T00:00:00Z",
    operation: "compact",
    state: "COMMIT",
    root: { path: workspace.root, device: workspace.rootDevice, inode: workspace.rootInode },
    owner: "me",
    startedAt: "2026-01-01T00:00:00Z",
    engine: "none",
    partition: "",
    sources,
    outputs: [{ path: OUTPUT, rows: 3, stage: "out/000001.pqstage", ...staged }],
    groupsInRun: 1,
    rowGroupsBefore: 3,
    duplicateWindowMs: 0,
  };
  await writeJournal(nodeFs, folder, record);
  return { root, workspace, record, inodes: SOURCES.map((name) => statSync(join(root, name)).ino) };
}

async function identity(path: string) {
  const entry = await nodeFs.lstat(path);
  if (entry === null) throw new Error(`${path} is missing`);
  const { device, inode, sizeBytes, mtimeNs, ctimeNs } = entry;
  return { device, inode, sizeBytes, mtimeNs, ctimeNs, footerHash: await hashFooter(nodeFs, path) };
}

function contextOf(scene: Scene, fs: PublicationFs): PublishContext & RecoveryContext & Ports {
  const { workspace } = scene;
  const nothing = async (): Promise<void> => {};
  const common = {
    ...testPorts({ fs, clock: () => 0 }),
    workspace,
    workspaces: [workspace],
    assertHeld: nothing,
  };
  return { ...common, folder: groupFolder(workspace, "r1", 1), overlapMs: 1, identity: "run" };
}

const listed = (root: string): readonly string[] => readdirSync(root).sort();
const BEFORE = [...SOURCES, "unrelated.parquet"];
const AFTER = [OUTPUT, "unrelated.parquet"];

/** Every row is in at least one listed file. */
function expectNoRowAbsent(root: string): void {
  const names = listed(root);
  const complete = names.includes(OUTPUT) || SOURCES.every((name) => names.includes(name));
  expect(complete, `listed: ${names.join(", ")}`).toBe(true);
}

const isCrash = (error: unknown): void => {
  if (!(error instanceof Crash)) throw error;
};

async function recover(scene: Scene, fs: PublicationFs = nodeFs): Promise<readonly { action: string }[]> {
  return recoverGroups(contextOf(scene, fs), await readJournals(fs, [scene.workspace]));
}

async function undo(scene: Scene, fs: PublicationFs): Promise<Undone> {
  return undoRun({ ...contextOf(scene, fs), journals: await readJournals(fs, [scene.workspace]) }, null);
}

function expectOriginals(scene: Scene): void {
  expect(listed(scene.root)).toEqual(BEFORE);
  expect(SOURCES.map((name) => statSync(join(scene.root, name)).ino)).toEqual(scene.inodes);
  for (const name of SOURCES) expect(readFileSync(join(scene.root, name), "utf8")).toBe(`rows of ${name}`);
}

describe("a swap", () => {
  it("ends with the outputs alone and the originals in the trash", async () => {
    const scene = await committedScene();
    const done = await performSteps(contextOf(scene, nodeFs), scene.record, publishSteps(scene.record));
    expect(done.state).toBe("RETIRED");
    expect(listed(scene.root)).toEqual(AFTER);
    const trash = join(groupFolder(scene.workspace, "r1", 1).path, "trash");
    expect(readdirSync(trash).map((name) => statSync(join(trash, name)).ino)).toEqual(scene.inodes);
    expect(await recover(scene)).toEqual([]);
  });

  it.each(["RETIRED", "ROLLED_BACK"] as const)(
    "that crashed after %s leaves no pins behind",
    async (state) => {
      const scene = await committedScene();
      const { folder } = contextOf(scene, nodeFs);
      await writeJournal(nodeFs, folder, { ...scene.record, state });
      expect(await recover(scene)).toEqual([]);
      expect(existsSync(join(folder.path, "src"))).toBe(false);
      expectOriginals(scene);
    },
  );

  it("loses no row at any crash point, and recovery ends before or after it, also when it crashes itself", async () => {
    const reference = await committedScene();
    const probe = crashingFs(0);
    await performSteps(contextOf(reference, probe.fs), reference.record, publishSteps(reference.record));
    for (let crashAt = 1; crashAt <= probe.changes(); crashAt += 1) {
      const scene = await committedScene();
      const watched = crashingFs(crashAt, () => expectNoRowAbsent(scene.root));
      await performSteps(contextOf(scene, watched.fs), scene.record, publishSteps(scene.record)).catch(
        isCrash,
      );
      expectNoRowAbsent(scene.root);
      for (let again = 1; again < 40; again += 3) {
        const second = crashingFs(again, () => expectNoRowAbsent(scene.root));
        await recover(scene, second.fs).catch(isCrash);
        expectNoRowAbsent(scene.root);
      }
      await recover(scene);
      expect([BEFORE, AFTER]).toContainEqual(listed(scene.root));
      if (listed(scene.root).includes("a.parquet")) expectOriginals(scene);
      expect((await recover(scene)).filter((group) => group.action !== "quarantine")).toEqual([]);
    }
  });

  it("does not end before what cleaning removed is gone for good", async () => {
    const scene = await committedScene();
    await performSteps(contextOf(scene, nodeFs), scene.record, publishSteps(scene.record));
    const calls: string[] = [];
    const fs = new Proxy(nodeFs, {
      get(target, name: keyof PublicationFs) {
        if (name !== "rmdir" && name !== "sync") return target[name];
        return async (path: string) => {
          calls.push(`${name} ${path}`);
          await target[name](path);
        };
      },
    });
    await undo(scene, fs);
    const { path } = groupFolder(scene.workspace, "r1", 1);
    expect(calls.filter((call) => call.startsWith("rmdir")).length).toBeGreaterThan(1);
    expect(calls.at(-1)).toBe(`sync ${path}`);
  });

  it("is undone to the original inodes, at any crash point of the undo", async () => {
    for (let crashAt = 1; crashAt <= 40; crashAt += 1) {
      const scene = await committedScene();
      await performSteps(contextOf(scene, nodeFs), scene.record, publishSteps(scene.record));
      const watched = crashingFs(crashAt, () => expectNoRowAbsent(scene.root));
      await undo(scene, watched.fs).catch(isCrash);
      expectNoRowAbsent(scene.root);
      await recover(scene);
      if (!listed(scene.root).includes("a.parquet")) expect((await undo(scene, nodeFs)).kind).toBe("undone");
      expectOriginals(scene);
      expect((await undo(scene, nodeFs)).kind).toBe("nothing_to_do");
    }
  });
});

describe("a swap that meets something unexpected", () => {
  const rows: readonly { readonly what: string; readonly change: (root: string) => void }[] = [
    {
      what: "a source rewritten in place",
      change: (root) => writeFileSync(join(root, "b.parquet"), "other rows now"),
    },
    { what: "a source replaced by rename", change: (root) => replace(root, "b.parquet") },
    { what: "a source removed", change: (root) => rmSync(join(root, "b.parquet")) },
    {
      what: "the output's name taken",
      change: (root) => writeFileSync(join(root, OUTPUT), "somebody else's"),
    },
  ];
  it.each(rows)("stops before anything is retired: $what", async ({ change }) => {
    const scene = await committedScene();
    change(scene.root);
    const found = listed(scene.root).map((name) => [name, readFileSync(join(scene.root, name), "utf8")]);
    await expect(
      performSteps(contextOf(scene, nodeFs), scene.record, publishSteps(scene.record)),
    ).rejects.toThrow();
    await recover(scene);
    expect(listed(scene.root).map((name) => [name, readFileSync(join(scene.root, name), "utf8")])).toEqual(
      found,
    );
  });

  it("puts a file back that slipped in at the moment of retiring", async () => {
    const scene = await committedScene();
    const fs = new Proxy(nodeFs, {
      get(target, name: keyof PublicationFs) {
        if (name !== "rename") return target[name];
        return async (from: string, to: string): Promise<void> => {
          if (from.endsWith("b.parquet") && !existsSync(to)) replace(scene.root, "b.parquet");
          await target.rename(from, to);
        };
      },
    });
    await expect(
      performSteps(contextOf(scene, fs), scene.record, publishSteps(scene.record)),
    ).rejects.toThrow("replaced");
    expect(readFileSync(join(scene.root, "b.parquet"), "utf8")).toBe("replaced rows");
    // What slipped in is no part of the trash: recovery gives back the others and is done.
    expect((await recover(scene)).map(({ action }) => action)).not.toContain("quarantine");
    expect(listed(scene.root)).toEqual(BEFORE);
    expect(readFileSync(join(scene.root, "b.parquet"), "utf8")).toBe("replaced rows");
    expect(await recover(scene)).toEqual([]);
  });

  it("makes a new name last before the old one goes: where a rename is two changes, neither is lost", async () => {
    const scene = await committedScene();
    const synced: string[] = [];
    const fs = new Proxy(nodeFs, {
      get(target, name: keyof PublicationFs) {
        if (name === "rename")
          return async (from: string, to: string) => note(await target.rename(from, to), "");
        if (name === "sync") return async (path: string) => note(await target.sync(path), path);
        return target[name];
      },
    });
    const note = (_: unknown, path: string): void => {
      if (path === "") synced.splice(0);
      else synced.push(path);
    };
    const steps = publishSteps(scene.record).filter(({ kind }) => kind !== "write_state" && kind !== "clean");
    await performSteps(contextOf(scene, fs), scene.record, steps);
    const trash = synced.findIndex((path) => path.endsWith("/trash"));
    expect(trash).toBeGreaterThanOrEqual(0);
    expect(synced.indexOf(scene.root)).toBeGreaterThan(trash);
  });

  it.each(["link", "rename", "sync"] as const)("goes back when %s fails", async (method) => {
    for (const nth of [1, 2, 3]) {
      const scene = await committedScene();
      const fs = failingFs(method, nth, "EIO");
      await performSteps(contextOf(scene, fs), scene.record, publishSteps(scene.record)).catch(() => {});
      expectNoRowAbsent(scene.root);
      await recover(scene);
      expect([BEFORE, AFTER]).toContainEqual(listed(scene.root));
    }
  });
});

it("cleaning keeps a file of somebody else that slipped in where an output was staged", async () => {
  const scene = await committedScene();
  const stage = join(groupFolder(scene.workspace, "r1", 1).path, "out/000001.pqstage");
  rmSync(stage);
  writeFileSync(stage, "somebody else's rows");
  const record: JournalRecord = { ...scene.record, state: "ROLLED_BACK" };
  await performSteps(contextOf(scene, nodeFs), record, [{ kind: "clean" }]);
  expect(readFileSync(stage, "utf8")).toBe("somebody else's rows");
  expectOriginals(scene);
});

function replace(root: string, name: string): void {
  writeFileSync(join(root, `${name}.new`), "replaced rows");
  renameSync(join(root, `${name}.new`), join(root, name));
}

describe("recovery touches nothing", () => {
  const damages: readonly { readonly what: string; readonly damage: (text: string) => string }[] = [
    { what: "a wrong checksum", damage: (text) => text.replace("a.parquet", "z.parquet") },
    { what: "an unknown version", damage: (text) => text.replace('"tampJournal":1', '"tampJournal":9') },
    { what: "no JSON", damage: () => "not a journal" },
    { what: "an empty file", damage: () => "" },
  ];
  it.each(damages)("of a journal with $what", async ({ damage }) => {
    const scene = await committedScene();
    const { journal } = groupFolder(scene.workspace, "r1", 1);
    writeFileSync(journal, damage(readFileSync(journal, "utf8")));
    const before = lstatSync(journal).mtimeMs;
    expect((await recover(scene)).map((group) => group.action)).toEqual(["quarantine"]);
    expectOriginals(scene);
    expect(lstatSync(journal).mtimeMs).toBe(before);
  });

  it("through a path that leaves the dataset, even with a right checksum", async () => {
    const scene = await committedScene();
    const [first, ...rest] = scene.record.sources;
    if (first === undefined) throw new Error("no source");
    const planted = { ...scene.record, sources: [{ ...first, path: "../outside.parquet" }, ...rest] };
    await writeJournal(nodeFs, groupFolder(scene.workspace, "r1", 1), planted);
    const [found] = await readJournals(nodeFs, [scene.workspace]);
    expect(found?.kind).toBe("damaged");
    expect((await recover(scene)).map((group) => group.action)).toEqual(["quarantine"]);
  });

  it("through a folder that became a link out of the dataset", async () => {
    const scene = await committedScene();
    await performSteps(contextOf(scene, nodeFs), scene.record, publishSteps(scene.record));
    const elsewhere = `${scene.root}-elsewhere`;
    renameSync(scene.root, elsewhere);
    symlinkSync(elsewhere, scene.root);
    expect((await undo(scene, nodeFs)).kind).toBe("refused");
    expect(await recover(scene)).toEqual([]);
    await writeJournal(nodeFs, groupFolder(scene.workspace, "r1", 1), { ...scene.record, state: "UNDOING" });
    expect((await recover(scene)).map((group) => group.action)).toEqual(["quarantine"]);
    expect(listed(elsewhere)).toEqual(AFTER);
  });

  it("of a run whose output was changed afterwards: undo is refused", async () => {
    const scene = await committedScene();
    await performSteps(contextOf(scene, nodeFs), scene.record, publishSteps(scene.record));
    writeFileSync(join(scene.root, OUTPUT), "changed");
    const undone = await undo(scene, nodeFs);
    expect(undone.kind).toBe("refused");
    expect(listed(scene.root)).toEqual(AFTER);
  });
});

it("observes what each name holds", async () => {
  const scene = await committedScene();
  const context = contextOf(scene, nodeFs);
  rmSync(join(scene.root, "a.parquet"));
  replace(scene.root, "b.parquet");
  const found = await observe(context, scene.record);
  expect(found.sources.map(({ live }) => live)).toEqual(["missing", "other", "ours"]);
  expect(found.outputs).toEqual([{ live: "missing", stage: "ours" }]);
});
