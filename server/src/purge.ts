import { dirname, join } from "node:path";
import { assertNever, decidePurge, dueRuns, isAtRest, type JournalRecord, type Retention } from "@tamp/core";
import { TampError } from "./errors.ts";
import { type ReadableJournal, readableOf, readJournals, removeIfEmpty, unlinkIfPresent } from "./journal.ts";
import { DriftError, observe } from "./observe.ts";
import { performSteps } from "./publish.ts";
import { publishContext, type RecoveryContext } from "./recover.ts";
import { GROUP_PARTS } from "./workspace.ts";

export type PurgeRequest =
  /** What is past its retention, and the oldest runs above its bound once `incomingBytes` more are kept. */
  | { readonly kind: "due"; readonly retention: Retention; readonly incomingBytes: number }
  | { readonly kind: "all" }
  | { readonly kind: "run"; readonly runId: string };

export interface PurgedRun {
  readonly runId: string;
  readonly files: number;
  readonly bytes: number;
}

export interface Purged {
  readonly runs: readonly PurgedRun[];
  /** Runs that were asked for or are due and keep their originals. */
  readonly kept: readonly { readonly runId: string; readonly reason: string }[];
  /** Bytes of originals that are still retained. */
  readonly retainedBytes: number;
}

/** Records of runs that keep nothing any more stay this long, to be listed. */
const RECORD_RETENTION_MS = 30 * 86_400_000;

/**
 * S12: deletes retained originals, oldest run first; the caller holds the lock. A run whose outputs are neither as
 * it published them nor rewritten by a later run keeps its originals, which may be the only copy of their rows,
 * unless it was asked for by name. With `dryRun` nothing is deleted.
 */
export async function purgeRuns(
  context: RecoveryContext,
  request: PurgeRequest,
  dryRun: boolean,
): Promise<Purged> {
  const journals = readableOf(await readJournals(context.fs, context.workspaces));
  const retained = retainedRuns(journals);
  const purged: PurgedRun[] = [];
  const kept: { runId: string; reason: string }[] = [];
  for (const run of chooseRuns(context, request, retained, journals)) {
    const settled = new Set([...purged, ...kept].map(({ runId }) => runId));
    const open = journals.filter(({ runId }) => !settled.has(runId));
    const reason = earlierRun(run, open) ?? (await refusalOf(context, run, journals, request.kind === "run"));
    if (reason !== null) {
      kept.push({ runId: run.runId, reason });
      continue;
    }
    if (!dryRun) for (const found of run.groups) await purgeGroup(context, found);
    const sources = run.groups.flatMap(({ record }) => record.sources);
    purged.push({ runId: run.runId, files: sources.length, bytes: run.retainedBytes });
  }
  if (!dryRun) await forgetOld(context, journals);
  const gone = new Set(purged.map(({ runId }) => runId));
  const left = retained.filter(({ runId }) => !gone.has(runId));
  return { runs: purged, kept, retainedBytes: left.reduce((sum, run) => sum + run.retainedBytes, 0) };
}

interface RetainedGroups {
  readonly runId: string;
  readonly groups: readonly ReadableJournal[];
  readonly retainedBytes: number;
  readonly sinceMs: number;
}

/** Runs that keep originals, oldest first. */
function retainedRuns(journals: readonly ReadableJournal[]): readonly RetainedGroups[] {
  const byRun = new Map<string, ReadableJournal[]>();
  for (const found of journals) {
    if (found.record.state !== "RETIRED") continue;
    const groups = byRun.get(found.runId) ?? [];
    byRun.set(found.runId, groups);
    groups.push(found);
  }
  return [...byRun].map(([runId, groups]) => {
    const sources = groups.flatMap(({ record }) => record.sources);
    const retainedBytes = sources.reduce((sum, source) => sum + source.sizeBytes, 0);
    const sinceMs = Math.max(...groups.map(({ record }) => Date.parse(record.stateSince)));
    return { runId, groups, retainedBytes, sinceMs };
  });
}

function chooseRuns(
  context: RecoveryContext,
  request: PurgeRequest,
  retained: readonly RetainedGroups[],
  journals: readonly ReadableJournal[],
): readonly RetainedGroups[] {
  switch (request.kind) {
    case "all":
      return retained;
    case "due": {
      const { retention, incomingBytes } = request;
      const due = dueRuns({ runs: retained, retention, nowMs: context.now(), incomingBytes });
      const ids = new Set(due.map(({ runId }) => runId));
      return retained.filter(({ runId }) => ids.has(runId));
    }
    case "run": {
      if (journals.some(({ runId }) => runId === request.runId))
        return retained.filter(({ runId }) => runId === request.runId);
      throw new TampError("RunNotFound", `there is no run ${request.runId}`, {
        hint: "`tamp runs DIR` lists the runs",
      });
    }
    default:
      return assertNever(request);
  }
}

/** Why a run must keep its originals, in words; null where nothing speaks against a purge. */
async function refusalOf(
  context: RecoveryContext,
  run: RetainedGroups,
  journals: readonly ReadableJournal[],
  byName: boolean,
): Promise<string | null> {
  const unfinished = journals.find(({ runId, record }) => runId === run.runId && !isAtRest(record));
  if (unfinished !== undefined) return "it was interrupted and is not recovered";
  for (const found of run.groups) {
    const observed = await observe(publishContext(context, found), found.record).catch(driftOrThrow);
    if (observed instanceof DriftError) return observed.message;
    const decision = decidePurge(found.record, observed);
    if (decision.kind === "refused") return decision.reason;
    const lost = found.record.outputs.find(
      (output, index) => observed.outputs[index]?.live !== "ours" && !isRewritten(output, found, journals),
    );
    if (lost !== undefined && !byName)
      return `${lost.path} is no longer what the run published: its originals may be the only copy`;
  }
  return null;
}

function driftOrThrow(error: unknown): DriftError {
  if (error instanceof DriftError) return error;
  throw error;
}

/** In words, an earlier run with originals of its own whose outputs this one has rewritten. */
function earlierRun(run: RetainedGroups, journals: readonly ReadableJournal[]): string | null {
  const sources = new Set(run.groups.flatMap(({ record }) => record.sources.map(({ inode }) => inode)));
  const earlier = journals.find(
    ({ runId, record }) =>
      runId < run.runId &&
      record.state === "RETIRED" &&
      record.outputs.some(({ inode }) => sources.has(inode)),
  );
  return earlier === undefined
    ? null
    : `run ${earlier.runId} could not be undone any more, since this one has rewritten its outputs: purge that run first`;
}

/** A later run took the output for a source, and its own outputs hold the rows since. */
function isRewritten(
  output: JournalRecord["outputs"][number],
  found: ReadableJournal,
  journals: readonly ReadableJournal[],
): boolean {
  return journals.some(
    ({ runId, record }) =>
      runId > found.runId &&
      (record.state === "RETIRED" || record.state === "PURGED") &&
      record.sources.some(({ path, inode }) => path === output.path && inode === output.inode),
  );
}

async function purgeGroup(context: RecoveryContext, found: ReadableJournal): Promise<void> {
  const publishing = publishContext(context, found);
  const decision = decidePurge(found.record, await observe(publishing, found.record));
  if (decision.kind === "refused") throw new DriftError(found.folder.path, decision.reason);
  await performSteps(publishing, found.record, decision.steps);
}

/** Removes what is left of runs that keep nothing: a folder in which anything else lies stays, with its record. */
async function forgetOld(context: RecoveryContext, journals: readonly ReadableJournal[]): Promise<void> {
  for (const { record, folder } of journals) {
    const keepsNothing = isAtRest(record) && record.state !== "RETIRED";
    const ageMs = context.now() - Date.parse(record.stateSince);
    if (!keepsNothing || !(ageMs > RECORD_RETENTION_MS)) continue;
    await context.assertHeld();
    for (const part of GROUP_PARTS) await removeIfEmpty(context.fs, join(folder.path, part));
    const left = await context.fs.readdir(folder.path);
    if (left.some((name) => (GROUP_PARTS as readonly string[]).includes(name))) continue;
    await unlinkIfPresent(context.fs, folder.journal);
    await removeIfEmpty(context.fs, folder.path);
    await removeIfEmpty(context.fs, dirname(folder.path));
  }
}
