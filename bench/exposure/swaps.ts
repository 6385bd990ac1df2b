import { link, mkdir, rm, writeFile } from "node:fs/promises";
import { join, sep } from "node:path";
import { decideUndo, type JournalRecord, publishedName, publishSteps } from "@tamp/core";
import { hashFooter } from "../../server/src/footer-hash.ts";
import { nodeFs, type PublicationFs } from "../../server/src/fs.ts";
import { writeJournal } from "../../server/src/journal.ts";
import { observe } from "../../server/src/observe.ts";
import { type PublishContext, performSteps } from "../../server/src/publish.ts";
import {
  GROUP_PARTS,
  groupFolder,
  locateWorkspace,
  prepareWorkspace,
  runFolder,
  type Workspace,
} from "../../server/src/workspace.ts";
import { parquetBytes } from "../../test/support/dataset.ts";
import {
  bystanderName,
  type Layout,
  outputRows,
  type RowRange,
  rowsIn,
  sourceName,
  sourceRows,
} from "./layout.ts";
import type { Swap } from "./verdict.ts";

/** One directory that is swapped to and fro, with the outputs of every publication written beforehand. */
export interface Scene {
  readonly dir: number;
  readonly layout: Layout;
  readonly workspace: Workspace;
  /** Staged files under names that outlive an undo, which removes its own. */
  readonly masters: readonly string[];
  /** Of sources and masters by path: they never change. */
  readonly footerHashes: ReadonlyMap<string, string>;
}

export interface Swapped {
  readonly swap: Swap;
  readonly record: JournalRecord;
}

export interface Published extends Swapped {
  readonly context: PublishContext;
}

let runs = 0;

/** A directory's outputs have another name in every run, as they have in life. */
export function nextRunId(): string {
  runs += 1;
  return `r${String(runs).padStart(7, "0")}`;
}

export function nowUs(): number {
  return Number(process.hrtime.bigint() / 1000n);
}

export async function createScene(parent: string, dir: number, layout: Layout): Promise<Scene> {
  const root = join(parent, `set-${String(dir).padStart(3, "0")}`);
  const kept = join(parent, `kept-${String(dir).padStart(3, "0")}`);
  await mkdir(root);
  await mkdir(kept);
  for (let index = 0; index < layout.bystanders; index += 1) {
    await writeFile(join(root, bystanderName(index)), parquet({ from: rowsIn(layout), rows: 10 }));
  }
  for (let index = 0; index < layout.sources; index += 1) {
    await writeFile(join(root, sourceName(index)), parquet(sourceRows(layout, index)));
  }
  const masters = Array.from({ length: layout.outputs }, (_, index) => join(kept, String(index + 1)));
  for (const [index, master] of masters.entries())
    await writeFile(master, parquet(outputRows(layout, index)));
  const workspace = await locateWorkspace(nodeFs, root, null);
  await prepareWorkspace(nodeFs, workspace);
  const footerHashes = new Map<string, string>();
  for (let index = 0; index < layout.sources; index += 1) {
    const path = join(workspace.root, sourceName(index));
    footerHashes.set(path, await hashFooter(nodeFs, path));
  }
  for (const master of masters) footerHashes.set(master, await hashFooter(nodeFs, master));
  return { dir, layout, workspace, masters, footerHashes };
}

const encoded = new Map<string, Uint8Array>();

function parquet(range: RowRange): Uint8Array {
  const key = `${range.from} ${range.rows}`;
  const bytes = encoded.get(key) ?? parquetBytes(range);
  encoded.set(key, bytes);
  return bytes;
}

/** From a durable COMMIT record on, by the code that every run publishes with. */
export async function publish(scene: Scene, runId: string, overlapMs: number): Promise<Published> {
  const watched = watchedFs(scene.workspace.root);
  const context = contextOf(scene, runId, overlapMs, watched.fs);
  const committed = await committedRecord(scene, runId, context);
  await writeJournal(nodeFs, context.folder, committed);
  const record = await performSteps(context, committed, publishSteps(committed));
  if (record.state !== "RETIRED") throw new Error(`a publication ended as ${record.state}`);
  return { swap: { dir: scene.dir, kind: "publish", ...watched.span() }, record, context };
}

export async function undo(scene: Scene, { record, context }: Published): Promise<Swapped> {
  const watched = watchedFs(scene.workspace.root);
  const undoing: PublishContext = { ...context, fs: watched.fs, identity: "later" };
  const decision = decideUndo(record, await observe(undoing, record));
  if (decision.kind !== "undo") throw new Error(`an undo was refused: ${decision.reason}`);
  const undone = await performSteps(undoing, record, decision.steps);
  if (undone.state !== "UNDONE") throw new Error(`an undo ended as ${undone.state}`);
  await rm(runFolder(scene.workspace, record.runId), { recursive: true });
  return { swap: { dir: scene.dir, kind: "undo", ...watched.span() }, record: undone };
}

function contextOf(scene: Scene, runId: string, overlapMs: number, fs: PublicationFs): PublishContext {
  return {
    fs,
    workspace: scene.workspace,
    folder: groupFolder(scene.workspace, runId, 1),
    overlapMs,
    sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
    clock: () => performance.now(),
    now: () => Date.now(),
    assertHeld: async () => {},
    identity: "run",
  };
}

/** Links the staged files into a new group's folder and records what a run would have recorded by then. */
async function committedRecord(scene: Scene, runId: string, context: PublishContext): Promise<JournalRecord> {
  const { workspace, layout, masters } = scene;
  const { folder } = context;
  await mkdir(folder.path, { recursive: true, mode: 0o700 });
  for (const part of GROUP_PARTS) await mkdir(join(folder.path, part));
  const sources = [];
  for (let index = 0; index < layout.sources; index += 1) {
    const path = sourceName(index);
    const number = String(index + 1).padStart(6, "0");
    const names = { pin: `src/${number}.pqsrc`, trash: `trash/${number}.pqtrash` };
    const found = await recorded(scene, join(workspace.root, path));
    sources.push({ path, rows: layout.rowsPerSource, ...found, ...names });
  }
  const outputs = [];
  for (const [index, master] of masters.entries()) {
    const stage = `out/${String(index + 1).padStart(6, "0")}.pqstage`;
    await link(master, join(folder.path, stage));
    const path = publishedName("compact", runId, index + 1);
    const { rows } = outputRows(layout, index);
    outputs.push({ path, rows, stage, ...(await recorded(scene, master)) });
  }
  return {
    version: 1,
    runId,
    group: 1,
    groupsInRun: 1,
    planId: "bench",
    operation: "compact",
    state: "COMMIT",
    stateSince: STARTED_AT,
    root: { path: workspace.root, device: workspace.rootDevice, inode: workspace.rootInode },
    owner: "bench",
    startedAt: STARTED_AT,
    engine: "none",
    partition: "",
    sources,
    outputs,
    rowGroupsBefore: layout.sources,
    duplicateWindowMs: 0,
  };
}

const STARTED_AT = "2026-01-01T00:00:00.000Z";

async function recorded({ footerHashes }: Scene, path: string) {
  const entry = await nodeFs.lstat(path);
  const footerHash = footerHashes.get(path);
  if (entry === null || footerHash === undefined) throw new Error(`${path} is missing`);
  const { device, inode, sizeBytes, mtimeNs, ctimeNs } = entry;
  return { device, inode, sizeBytes, mtimeNs, ctimeNs, footerHash };
}

/** The real file system, with a note of when the first name came into the directory and the last one left it. */
function watchedFs(root: string) {
  const isLive = (path: string): boolean => path.startsWith(root + sep);
  let startUs: number | null = null;
  let endUs: number | null = null;
  const fs: PublicationFs = {
    ...nodeFs,
    async link(from, to) {
      if (isLive(to)) startUs ??= nowUs();
      await nodeFs.link(from, to);
    },
    async rename(from, to) {
      await nodeFs.rename(from, to);
      if (isLive(from)) endUs = nowUs();
    },
  };
  return {
    fs,
    span: () => {
      if (startUs === null || endUs === null) throw new Error("no name came or left");
      return { startUs, endUs };
    },
  };
}
