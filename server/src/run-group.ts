import { dirname, join } from "node:path";
import {
  comparableKeyValues,
  decideRecovery,
  type FileGroup,
  type JournalRecord,
  type OutputRecord,
  outputKeyValues,
  publishedName,
  publishSteps,
  type SourceRecord,
  schemaText,
} from "@tamp/core";
import type { KeyValue, RewriteTask, RunningEngine } from "./engine.ts";
import { failureText } from "./failure-text.ts";
import type { FooterFacts } from "./footer.ts";
import { writeJournal } from "./journal.ts";
import { mapLimit } from "./map-limit.ts";
import { DriftError, isSame, livePath, observe } from "./observe.ts";
import type { OpenWriters } from "./open-writers.ts";
import { type PublishContext, performSteps } from "./publish.ts";
import { type Checker, ValidationError, validate } from "./validate.ts";
import { GROUP_PARTS } from "./workspace.ts";

export interface GroupRequest {
  readonly context: PublishContext;
  readonly group: FileGroup;
  /** Counts the groups of the run from 1. */
  readonly ordinal: number;
  readonly groupsInRun: number;
  readonly planId: string;
  /** Ordinal in the run of the group's first output, from 1. */
  readonly firstOutput: number;
  readonly runId: string;
  readonly engine: string;
  readonly owner: string;
  readonly startedAt: string;
  readonly rowsPerGroup: number;
  readonly allow: readonly string[];
  /** Key-value metadata that outputs carry, as in one of the sources. */
  readonly keyValues: readonly KeyValue[];
  readonly running: RunningEngine;
  readonly checker: Checker;
  readonly openWriters: OpenWriters;
  readonly signal: AbortSignal;
  readonly onProgress: (fraction: number) => void;
  readonly onPhase: (phase: Phase, durationMs: number) => void;
}

export type Phase = "pin" | "rewrite" | "validate" | "sync" | "publish";

export type GroupOutcome =
  | {
      readonly kind: "published";
      readonly record: JournalRecord;
      readonly outputs: readonly PublishedOutput[];
    }
  | { readonly kind: "rolled_back" | "cancelled" | "unknown"; readonly reason: string };

export interface PublishedOutput {
  readonly path: string;
  readonly sizeBytes: number;
  readonly rows: number;
  readonly rowGroups: number;
}

/** Share of a group's progress that lies behind it when its rewrite is done. */
const REWRITE_SHARE = 0.7;
const PUBLISH_SHARE = 0.95;

/** S2 to S11 for one group. Never rejects: a group that fails costs itself alone. */
export async function runGroup(request: GroupRequest): Promise<GroupOutcome> {
  let record = newRecord(request);
  let outputs: readonly PublishedOutput[] = [];
  try {
    await timed(request, "pin", async () => {
      // Once the lock is lost, no further group begins.
      await request.context.assertHeld();
      await createFolders(request.context);
      record = await snapshotSources(request, record);
      await writeJournal(request.context.fs, request.context.folder, record);
      record = { ...record, sources: await pinSources(request.context, record.sources) };
    });
    const staged = await stage(request, record);
    ({ record, outputs } = staged);
    request.signal.throwIfAborted();
    await refuseWriters(request, record.sources);
    request.signal.throwIfAborted();
    await timed(request, "publish", async () => {
      request.onProgress(PUBLISH_SHARE);
      record = await performSteps(request.context, record, publishSteps(record), (next) => {
        record = next;
      });
    });
    return { kind: "published", record, outputs };
  } catch (error) {
    if (record.state === "RETIRED") return { kind: "published", record, outputs };
    return giveUp(request, record, error);
  }
}

function newRecord(request: GroupRequest): JournalRecord {
  const { workspace } = request.context;
  return {
    version: 1,
    runId: request.runId,
    group: request.ordinal,
    groupsInRun: request.groupsInRun,
    planId: request.planId,
    operation: "compact",
    state: "PREPARED",
    stateSince: request.startedAt,
    root: { path: workspace.root, device: workspace.rootDevice, inode: workspace.rootInode },
    owner: request.owner,
    startedAt: request.startedAt,
    engine: request.engine,
    partition: request.group.partition,
    sources: [],
    outputs: [],
    rowGroupsBefore: request.group.rowGroupsBefore,
    duplicateWindowMs: 0,
  };
}

/** S2: the group's folder; its parts last with the first record in it. */
async function createFolders({ fs, folder }: PublishContext): Promise<void> {
  await fs.mkdir(folder.path);
  for (const part of GROUP_PARTS) await fs.mkdir(join(folder.path, part));
  await fs.sync(dirname(folder.path));
}

/** S1: every source as the plan saw it: a regular file, not reached through a link, inside the root. */
async function snapshotSources(request: GroupRequest, record: JournalRecord): Promise<JournalRecord> {
  const { context, group } = request;
  const { fs, workspace } = context;
  const directory = join(workspace.root, group.partition);
  if ((await fs.realpath(directory)) !== directory)
    throw new DriftError(group.partition, "is reached through a link");
  const paths = group.inputs.map((file) => join(workspace.root, file.path));
  const footers = await request.checker.footers(paths);
  const [first] = footers;
  const columns = first?.kind === "footer" ? first.facts.columns : [];
  const wanted = contentOf({ columns, keyValues: request.keyValues }, request);
  const sources = await mapLimit(group.inputs, 16, async (planned, index): Promise<SourceRecord> => {
    const entry = await fs.lstat(join(workspace.root, planned.path));
    if (entry === null) throw new DriftError(planned.path, "is gone since the plan was made");
    if (entry.device !== workspace.rootDevice)
      throw new DriftError(planned.path, "lies on another device than the dataset");
    const { inode, sizeBytes, mtimeNs } = planned;
    const identity = { device: workspace.rootDevice, inode, sizeBytes, mtimeNs };
    if (!isSame(entry, identity)) throw new DriftError(planned.path, "has changed since the plan was made");
    const footer = footers[index];
    if (footer?.kind !== "footer") throw new DriftError(planned.path, "cannot be read any more");
    const { hash: footerHash, facts } = footer;
    if (contentOf(facts, request) !== wanted)
      throw new DriftError(planned.path, "has another schema or other metadata than its group");
    const name = String(index + 1).padStart(6, "0");
    return {
      path: planned.path,
      ...identity,
      rows: facts.rows,
      footerHash,
      ctimeNs: "",
      pin: `src/${name}.pqsrc`,
      trash: `trash/${name}.pqtrash`,
    };
  });
  await refuseWriters(request, sources);
  return { ...record, sources };
}

/** What is written after the swap would go to the retired file and be lost to view. */
async function refuseWriters({ openWriters }: GroupRequest, sources: readonly SourceRecord[]): Promise<void> {
  for (const [index, pid] of (await openWriters(sources)).entries()) {
    if (pid !== null)
      throw new DriftError(sources[index]?.path ?? "", `is open for writing by process ${pid}`);
  }
}

/** What all files of a group have in common, read anew: engine and digest alike take columns by position. */
function contentOf(
  { columns, keyValues }: Pick<FooterFacts, "columns" | "keyValues">,
  { allow }: GroupRequest,
): string {
  return `${schemaText(columns)}\n${JSON.stringify(comparableKeyValues(keyValues, allow))}`;
}

/** S3: hard links under safe names; the engine never sees the user's paths. */
function pinSources(
  context: PublishContext,
  sources: readonly SourceRecord[],
): Promise<readonly SourceRecord[]> {
  const { fs, workspace, folder } = context;
  return mapLimit(sources, 16, async (source) => {
    const pin = join(folder.path, source.pin);
    await fs.link(join(workspace.root, source.path), pin);
    const entry = await fs.lstat(pin);
    if (entry === null || !isSame(entry, source))
      throw new DriftError(source.path, "changed while it was pinned");
    return { ...source, ctimeNs: entry.ctimeNs };
  });
}

interface Staged {
  readonly record: JournalRecord;
  readonly outputs: readonly PublishedOutput[];
}

/** S4 to S7: rewrite, validate, make durable, commit the journal. */
async function stage(request: GroupRequest, record: JournalRecord): Promise<Staged> {
  const { context, running } = request;
  const { fs, folder } = context;
  const task = await rewriteTask(request, record);
  request.signal.throwIfAborted();
  await timed(request, "rewrite", () =>
    running.rewrite(task, (fraction) => request.onProgress(fraction * REWRITE_SHARE)),
  );
  request.signal.throwIfAborted();
  const outputs = task.outputs.map((output) => join(folder.path, output.path));
  const inputs = task.inputs.map((input) => join(folder.path, input.path));
  const validated = await timed(request, "validate", () =>
    validate({ checker: request.checker, running, task, inputs, outputs }),
  );
  await checkPins(context, record.sources);
  const committed = await timed(request, "sync", async () => {
    await takeOnOwner(context, record.sources, outputs);
    for (const output of outputs) await fs.sync(output);
    await fs.sync(join(folder.path, "src"));
    const files = await mapLimit(outputs, 4, (path, index) =>
      recordOutput(request, path, index, validated[index]),
    );
    const stateSince = new Date(context.now()).toISOString();
    const next: JournalRecord = { ...record, state: "COMMIT", stateSince, outputs: files };
    request.signal.throwIfAborted();
    await writeJournal(fs, folder, next);
    return next;
  });
  const published = committed.outputs.map(({ path, sizeBytes, rows }, index) => ({
    path,
    sizeBytes,
    rows,
    rowGroups: validated[index]?.rowGroups ?? 0,
  }));
  return { record: committed, outputs: published };
}

async function rewriteTask(request: GroupRequest, record: JournalRecord): Promise<RewriteTask> {
  const { context, group } = request;
  const first = record.sources[0];
  const [footer] =
    first === undefined ? [] : await request.checker.footers([join(context.folder.path, first.pin)]);
  if (footer?.kind !== "footer")
    throw new DriftError(group.partition, "has a source without a readable footer");
  const rows = record.sources.reduce((sum, source) => sum + source.rows, 0);
  const planned = group.outputRows.reduce((sum, part) => sum + part, 0);
  if (rows !== planned)
    throw new ValidationError(`the sources hold ${rows} rows, the plan counts ${planned}`);
  return {
    folder: context.folder.path,
    inputs: record.sources.map((source) => ({ path: source.pin, rows: source.rows })),
    outputs: group.outputRows.map((part, index) => ({ path: stageName(index), rows: part })),
    codec: group.codec,
    rowsPerGroup: request.rowsPerGroup,
    keyValues: outputKeyValues(request.keyValues, rows, request.allow),
    columns: footer.facts.columns,
    allow: request.allow,
  };
}

function stageName(index: number): string {
  return `out/${String(index + 1).padStart(6, "0")}.pqstage`;
}

/** S5: nobody wrote to a source while it was read. */
async function checkPins({ fs, folder }: PublishContext, sources: readonly SourceRecord[]): Promise<void> {
  await mapLimit(sources, 16, async (source) => {
    const entry = await fs.lstat(join(folder.path, source.pin));
    if (entry === null || !isSame(entry, source) || entry.ctimeNs !== source.ctimeNs) {
      throw new DriftError(source.path, "changed while it was read");
    }
  });
}

/** S6: outputs get the owner of the first source, and no right that one of the sources does not give. */
async function takeOnOwner(
  { fs, folder }: PublishContext,
  sources: readonly SourceRecord[],
  outputs: readonly string[],
): Promise<void> {
  const entries = await mapLimit(sources, 16, ({ pin }) => fs.lstat(join(folder.path, pin)));
  const [first] = entries;
  if (first === undefined || first === null) throw new ValidationError("a pinned source is gone");
  const mode = entries.reduce((common, entry) => common & (entry?.mode ?? 0), first.mode);
  for (const output of outputs) {
    const own = await fs.lstat(output);
    if (own === null) throw new ValidationError("a staged output is gone");
    if (own.uid !== first.uid || own.gid !== first.gid) await fs.chown(output, first.uid, first.gid);
    await fs.chmod(output, mode);
  }
}

async function recordOutput(
  request: GroupRequest,
  path: string,
  index: number,
  validated: { readonly rows: number; readonly footerHash: string } | undefined,
): Promise<OutputRecord> {
  const entry = await request.context.fs.lstat(path);
  if (entry === null || validated === undefined) throw new ValidationError("a staged output is gone");
  const name = publishedName("compact", request.runId, request.firstOutput + index);
  return {
    path: request.group.partition === "" ? name : `${request.group.partition}/${name}`,
    device: entry.device,
    inode: entry.inode,
    sizeBytes: entry.sizeBytes,
    mtimeNs: entry.mtimeNs,
    rows: validated.rows,
    footerHash: validated.footerHash,
    stage: stageName(index),
  };
}

/** Goes back from what is observed on disk; where that fails too, the outcome is unknown and nothing more is done. */
async function giveUp(request: GroupRequest, record: JournalRecord, error: unknown): Promise<GroupOutcome> {
  const { context } = request;
  const { aborted } = request.signal;
  const kind = aborted ? "cancelled" : "rolled_back";
  const reason = aborted ? "cancelled before it was published" : failureText(error, record);
  try {
    if ((await context.fs.lstat(context.folder.path)) === null) {
      const stranded = await publishedOutput(context, record);
      if (stranded === null) return { kind, reason };
      const what = `its journal is gone, and ${stranded} stands beside its originals: delete it`;
      return { kind: "unknown", reason: `${reason}; ${what}` };
    }
    const decision = decideRecovery(record, await observe(context, record), "back");
    if (decision.kind === "quarantine") return { kind: "unknown", reason: `${reason}; ${decision.reason}` };
    if (decision.kind !== "at_rest") await performSteps(context, record, decision.steps);
    return { kind, reason };
  } catch (second) {
    const failed = `${reason}; going back failed as well: ${failureText(second, record)}`;
    const standing = await publishedOutput(context, record).catch(() => null);
    const what =
      standing === null
        ? ""
        : `; ${standing} stands beside its originals until the run is recovered: delete it where its journal is gone`;
    return { kind: "unknown", reason: `${failed}${what}` };
  }
}

/** The first output that is in the dataset, if any is. */
async function publishedOutput(context: PublishContext, { outputs }: JournalRecord): Promise<string | null> {
  for (const output of outputs) {
    const entry = await context.fs.lstat(livePath(context, output));
    if (entry !== null && isSame(entry, output)) return output.path;
  }
  return null;
}

async function timed<T>(request: GroupRequest, phase: Phase, work: () => Promise<T>): Promise<T> {
  const begin = request.context.clock();
  try {
    return await work();
  } finally {
    request.onPhase(phase, request.context.clock() - begin);
  }
}
