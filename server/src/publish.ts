import { dirname, join } from "node:path";
import {
  assertNever,
  type FileIdentity,
  type JournalRecord,
  type OutputRecord,
  type PublicationStep,
  type SourceRecord,
} from "@tamp/core";
import { errno, type PublicationFs } from "./fs.ts";
import { removeIfEmpty, unfinishedJournal, unlinkIfPresent, writeJournal } from "./journal.ts";
import { mapLimit } from "./map-limit.ts";
import {
  DriftError,
  type GroupPlace,
  isSame,
  liveFolders,
  livePath,
  ownPath,
  refuseLinked,
} from "./observe.ts";
import { GROUP_PARTS } from "./workspace.ts";

export interface PublishContext extends GroupPlace {
  /** Milliseconds that outputs and sources stand side by side on purpose. */
  readonly overlapMs: number;
  readonly sleep: (ms: number) => Promise<void>;
  /** Monotonic milliseconds. */
  readonly clock: () => number;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** Rejects when the lock is no longer ours; asked before every change. */
  readonly assertHeld: () => Promise<void>;
}

/** What the file system is asked at once while a publication is under way. */
const STEPS_AT_ONCE = 8;

/**
 * Performs the steps in order and returns the record as it is then. Rejects at the first step that fails; what
 * was done so far stays, and `observe` with core's decision says how to go on or back.
 */
export async function performSteps(
  context: PublishContext,
  record: JournalRecord,
  steps: readonly PublicationStep[],
  onState: (record: JournalRecord) => void = () => {},
): Promise<JournalRecord> {
  let current = record;
  let bothSince: number | null = null;
  for (const run of runsOfOneKind(steps)) {
    const [first] = run;
    if (first?.kind === "link_output" || first?.kind === "restore_source") bothSince ??= context.clock();
    if (first?.kind === "write_state") {
      const duplicateWindowMs =
        bothSince === null ? current.duplicateWindowMs : Math.round(context.clock() - bothSince);
      const stateSince = new Date(context.now()).toISOString();
      current = { ...current, state: first.state, stateSince, duplicateWindowMs };
      await context.assertHeld();
      await writeJournal(context.fs, context.folder, current);
      onState(current);
      continue;
    }
    if (first?.kind === "check_source")
      for (const folder of liveFolders(context, current)) await refuseLinked(context.fs, folder);
    await mapLimit(run, STEPS_AT_ONCE, async (step) => {
      await context.assertHeld();
      await performStep(context, current, step as DiskStep);
    });
  }
  return current;
}

/** Steps of one kind are independent of each other; kinds follow each other strictly. */
function runsOfOneKind(steps: readonly PublicationStep[]): readonly (readonly PublicationStep[])[] {
  const runs: PublicationStep[][] = [];
  for (const step of steps) {
    const last = runs.at(-1);
    if (last?.[0]?.kind === step.kind && step.kind !== "write_state") last.push(step);
    else runs.push([step]);
  }
  return runs;
}

type DiskStep = Exclude<PublicationStep, { readonly kind: "write_state" }>;

async function performStep(context: PublishContext, record: JournalRecord, step: DiskStep): Promise<void> {
  switch (step.kind) {
    case "check_source":
      return checkSource(context, sourceAt(record, step.source));
    case "link_output":
      return linkOutput(context, outputAt(record, step.output));
    case "sync":
      return syncFolders(context, record);
    case "wait_overlap":
      return context.overlapMs > 0 ? context.sleep(context.overlapMs) : undefined;
    case "retire_source":
      return retireSource(context, sourceAt(record, step.source));
    case "restore_source":
      return restoreSource(context, sourceAt(record, step.source));
    case "withdraw_output":
      return withdrawOutput(context, outputAt(record, step.output));
    case "return_stray":
      return returnStray(context, sourceAt(record, step.source).trash, sourceAt(record, step.source));
    case "return_stray_output":
      return returnStray(context, outputAt(record, step.output).stage, outputAt(record, step.output));
    case "clean":
      return clean(context, record);
    default:
      return assertNever(step);
  }
}

async function checkSource(context: PublishContext, source: SourceRecord): Promise<void> {
  const entry = await context.fs.lstat(livePath(context, source));
  if (entry === null) throw new DriftError(source.path, "was removed while it was rewritten");
  if (!isSame(entry, source) || entry.ctimeNs !== source.ctimeNs) {
    throw new DriftError(source.path, "was changed while it was rewritten");
  }
}

async function linkOutput(context: PublishContext, output: OutputRecord): Promise<void> {
  await context.fs.link(ownPath(context, output.stage), livePath(context, output));
}

/**
 * The live name leaves by rename, checked before and after. A trash name that is already a link of the inode is
 * removed first: renaming onto a link of the same inode succeeds and leaves the live name where it is.
 */
async function retireSource(context: PublishContext, source: SourceRecord): Promise<void> {
  const { fs } = context;
  const live = livePath(context, source);
  const trash = ownPath(context, source.trash);
  const entry = await fs.lstat(live);
  const touched = context.identity === "run" && entry?.ctimeNs !== source.ctimeNs;
  if (entry === null || !isSame(entry, source) || touched) {
    throw new DriftError(source.path, "was changed before it was retired");
  }
  await clearOwnLink(context, trash, source);
  await fs.rename(live, trash);
  const moved = await fs.lstat(trash);
  if (moved === null || !isSame(moved, source)) {
    await putBack(fs, trash, live);
    throw new DriftError(source.path, "was replaced at the moment it was retired");
  }
}

/** Gives somebody else's file its name back; where that is taken again by now, the file stays with us. */
async function putBack(fs: PublicationFs, from: string, to: string): Promise<void> {
  try {
    await fs.link(from, to);
  } catch (error) {
    if (errno(error) !== "EEXIST") throw error;
    const [taken, ours] = [await fs.lstat(to), await fs.lstat(from)];
    if (taken === null || taken.inode !== ours?.inode) return;
  }
  await fs.sync(dirname(to));
  await fs.unlink(from);
}

function returnStray(context: PublishContext, name: string, file: { readonly path: string }): Promise<void> {
  return putBack(context.fs, ownPath(context, name), livePath(context, file));
}

async function clearOwnLink({ fs }: PublishContext, path: string, identity: FileIdentity): Promise<void> {
  const entry = await fs.lstat(path);
  if (entry === null) return;
  if (!isSame(entry, identity)) throw new DriftError(path, "is taken by another file");
  await fs.unlink(path);
}

async function restoreSource(context: PublishContext, source: SourceRecord): Promise<void> {
  const live = livePath(context, source);
  try {
    await context.fs.link(ownPath(context, source.trash), live);
  } catch (error) {
    const entry = errno(error) === "EEXIST" ? await context.fs.lstat(live) : null;
    if (entry === null || !isSame(entry, source)) throw error;
  }
}

/** Our own output leaves by rename into the group's folder, checked before and after. */
async function withdrawOutput(context: PublishContext, output: OutputRecord): Promise<void> {
  const { fs } = context;
  const live = livePath(context, output);
  const stage = ownPath(context, output.stage);
  const entry = await fs.lstat(live);
  if (entry === null || !isSame(entry, output))
    throw new DriftError(output.path, "is not what was published");
  await clearOwnLink(context, stage, output);
  await fs.rename(live, stage);
  const moved = await fs.lstat(stage);
  if (moved === null || !isSame(moved, output)) {
    await putBack(fs, stage, live);
    throw new DriftError(output.path, "was replaced at the moment it was withdrawn");
  }
}

/**
 * fsync of the group's own folders first, then of the live directories: where a rename is two changes to the file
 * system, the new name must last before the old one goes. A folder that was removed holds no name.
 */
async function syncFolders(context: PublishContext, record: JournalRecord): Promise<void> {
  const own = ["out", "trash"].map((part) => join(context.folder.path, part));
  for (const folder of [...own, ...liveFolders(context, record)]) {
    await context.fs.sync(folder).catch((error: unknown) => {
      if (errno(error) !== "ENOENT") throw error;
    });
  }
}

/**
 * Removes our own links. A retained original is unlinked only where its live name holds the same inode, a stage only
 * where it is the recorded output: a file of somebody else that slipped in there stays.
 */
async function clean(context: PublishContext, record: JournalRecord): Promise<void> {
  const { fs, folder } = context;
  await unlinkIfPresent(fs, unfinishedJournal(folder));
  for (const part of ["src", "tmp"]) await emptyFolder(fs, join(folder.path, part));
  // Until the outputs are recorded, all that lies there is what the engine wrote.
  if (record.outputs.length === 0) await emptyFolder(fs, join(folder.path, "out"));
  for (const output of record.outputs) {
    const stage = await fs.lstat(ownPath(context, output.stage));
    if (stage !== null && isSame(stage, output)) await fs.unlink(ownPath(context, output.stage));
  }
  const kept = record.state === "RETIRED" ? [] : record.sources;
  await mapLimit(kept, STEPS_AT_ONCE, async (source) => {
    const trash = await fs.lstat(ownPath(context, source.trash));
    const live = await fs.lstat(livePath(context, source));
    const spare = record.state === "PURGED" || (live !== null && isSame(live, source));
    if (spare && trash !== null && isSame(trash, source)) await fs.unlink(ownPath(context, source.trash));
  });
  // An undo withdraws the outputs into `out` and takes the originals from `trash`.
  const unneeded = record.state === "RETIRED" ? ["src", "tmp"] : GROUP_PARTS;
  for (const part of unneeded) await removeIfEmpty(fs, join(folder.path, part));
  // A trash link that came back could not be told from one that is needed, once a later run has retired the file.
  await fs.sync(folder.path);
}

async function emptyFolder(fs: PublicationFs, folder: string): Promise<void> {
  const entry = await fs.lstat(folder);
  if (entry === null) return;
  await mapLimit(await fs.readdir(folder), STEPS_AT_ONCE, async (name) => {
    const path = join(folder, name);
    const found = await fs.lstat(path);
    if (found?.kind === "directory") {
      await emptyFolder(fs, path);
      await fs.rmdir(path);
    } else await unlinkIfPresent(fs, path);
  });
}

function sourceAt(record: JournalRecord, index: number): SourceRecord {
  const source = record.sources[index];
  if (source === undefined) throw new Error(`the journal has no source ${index}`);
  return source;
}

function outputAt(record: JournalRecord, index: number): OutputRecord {
  const output = record.outputs[index];
  if (output === undefined) throw new Error(`the journal has no output ${index}`);
  return output;
}
