import { dirname, join } from "node:path";
import {
  assertNever,
  decidePurge,
  dueRuns,
  isAtRest,
  type JournalRecord,
  type OutputRecord,
  type PublicationStep,
  type Retention,
} from "@tamp/core";
import { TampError } from "./errors.ts";
import { errno } from "./fs.ts";
import {
  type ReadableJournal,
  readableOf,
  removeIfEmpty,
  unfinishedJournal,
  unlinkIfPresent,
} from "./journal.ts";
import type { Maintenance } from "./maintain.ts";
import { DriftError, observeOrDrift } from "./observe.ts";
import { performSteps } from "./publish.ts";
import { publishContext, type RecoveryContext } from "./recover.ts";
import { GROUP_PARTS } from "./workspace.ts";

export type PurgeRequest =
  /** What is past its retention, and the oldest runs above its bound once `incomingBytes` more are kept. */
  | {
      readonly kind: "due";
      readonly retention: Retention;
      readonly incomingBytes: number;
      readonly keepNewest: boolean;
    }
  | { readonly kind: "all" }
  | { readonly kind: "run"; readonly runId: string };

export interface PurgedRun {
  readonly runId: string;
  readonly files: number;
  readonly bytes: number;
  /** Outputs that are neither as published nor rewritten by a later run, and the rows that they held. */
  readonly lostOutputs: readonly string[];
  readonly lostRows: number;
}

export interface Purged {
  readonly runs: readonly PurgedRun[];
  /** Runs that were asked for or are due and keep originals. */
  readonly kept: readonly { readonly runId: string; readonly reason: string }[];
  /** Bytes of originals that are still retained. */
  readonly retainedBytes: number;
}

type PurgeContext = RecoveryContext & Pick<Maintenance, "journals">;

/** Records of groups that keep nothing any more stay this long, to be listed. */
const RECORD_RETENTION_MS = 30 * 86_400_000;

/**
 * S12: deletes retained originals, oldest run first; the caller holds the lock. A group whose outputs are neither as
 * it published them nor rewritten by a later run keeps its originals, which may be the only copy of their rows,
 * unless its run was asked for by name. With `dryRun` nothing is deleted.
 */
export async function purgeRuns(
  context: PurgeContext,
  request: PurgeRequest,
  dryRun: boolean,
): Promise<Purged> {
  const journals = readableOf(context.journals);
  const retained = retainedRuns(journals);
  const work: PurgeWork = {
    context,
    journals,
    byName: request.kind === "run",
    dryRun,
    rewritten: rewrittenFiles(journals),
    purged: [],
    kept: [],
    gone: new Set(),
  };
  const keptBytes = await purgeChosen(work, request, retained);
  work.kept.push(...damagedRuns(context, request));
  if (!dryRun) await forgetOld(context, journals);
  const touched = new Set([...work.purged, ...work.kept].map(({ runId }) => runId));
  const untouched = retained.filter(({ runId }) => !touched.has(runId));
  return { runs: work.purged, kept: work.kept, retainedBytes: keptBytes + sumBytes(untouched) };
}

/** Nobody can tell what a damaged journal keeps. */
function damagedRuns({ journals }: PurgeContext, request: PurgeRequest): Purged["kept"] {
  if (request.kind === "due") return [];
  return journals.flatMap((found) => {
    const asked = request.kind === "all" || found.runId === request.runId;
    if (found.kind !== "damaged" || !asked) return [];
    return [{ runId: found.runId, reason: `${found.folder.journal}: ${found.reason}` }];
  });
}

interface RetainedGroups {
  readonly runId: string;
  readonly groups: readonly ReadableJournal[];
  readonly retainedBytes: number;
  readonly sinceMs: number;
}

interface PurgeWork {
  readonly context: PurgeContext;
  readonly journals: readonly ReadableJournal[];
  readonly byName: boolean;
  readonly dryRun: boolean;
  /** Files that a published run took for sources, with the latest such run. */
  readonly rewritten: ReadonlyMap<string, string>;
  readonly purged: PurgedRun[];
  readonly kept: { readonly runId: string; readonly reason: string }[];
  /** Runs that cannot be undone any more, so that no later run need wait for them. */
  readonly gone: Set<string>;
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
  return [...byRun].map(([runId, groups]) => ({
    runId,
    groups,
    retainedBytes: groups.reduce((sum, { record }) => sum + bytesOf(record), 0),
    sinceMs: groups.reduce((latest, { record }) => Math.max(latest, Date.parse(record.stateSince)), 0),
  }));
}

function bytesOf({ sources }: JournalRecord): number {
  return sources.reduce((sum, source) => sum + source.sizeBytes, 0);
}

function sumBytes(runs: readonly RetainedGroups[]): number {
  return runs.reduce((sum, run) => sum + run.retainedBytes, 0);
}

function fileKey({ path, inode }: { readonly path: string; readonly inode: string }): string {
  return `${path}\0${inode}`;
}

function rewrittenFiles(journals: readonly ReadableJournal[]): ReadonlyMap<string, string> {
  const latest = new Map<string, string>();
  for (const { runId, record } of journals) {
    if (record.state !== "RETIRED" && record.state !== "PURGED") continue;
    for (const source of record.sources) latest.set(fileKey(source), runId);
  }
  return latest;
}

/** Purges what the request names; answers the bytes that those runs keep all the same. */
async function purgeChosen(
  work: PurgeWork,
  request: PurgeRequest,
  retained: readonly RetainedGroups[],
): Promise<number> {
  let keptBytes = 0;
  switch (request.kind) {
    case "all":
      for (const run of retained) keptBytes += await purgeRun(work, run);
      return keptBytes;
    case "run":
      for (const run of runsNamed(work, request.runId, retained)) keptBytes += await purgeRun(work, run);
      return keptBytes;
    case "due": {
      const { retention, incomingBytes, keepNewest } = request;
      const nowMs = work.context.now();
      // One after the other: what turns out to stay counts, and the next oldest goes in its place.
      for (let left = retained; ; ) {
        const bytes = incomingBytes + keptBytes;
        const [due] = dueRuns({ runs: left, retention, nowMs, incomingBytes: bytes, keepNewest });
        const run = left.find(({ runId }) => runId === due?.runId);
        if (run === undefined) return keptBytes;
        keptBytes += await purgeRun(work, run);
        left = left.filter((other) => other !== run);
      }
    }
    default:
      return assertNever(request);
  }
}

function runsNamed(
  { context }: PurgeWork,
  wanted: string,
  retained: readonly RetainedGroups[],
): readonly RetainedGroups[] {
  if (context.journals.some(({ runId }) => runId === wanted))
    return retained.filter(({ runId }) => runId === wanted);
  throw new TampError("RunNotFound", `there is no run ${wanted}`, { hint: "`tamp runs DIR` lists the runs" });
}

/** Answers the bytes that the run keeps. */
async function purgeRun(work: PurgeWork, run: RetainedGroups): Promise<number> {
  const { runId, groups, retainedBytes } = run;
  const whole = unrecovered(work, runId) ?? earlierRun(work, run);
  if (whole !== null) {
    work.kept.push({ runId, reason: whole });
    return retainedBytes;
  }
  const lost: OutputRecord[] = [];
  let [files, bytes] = [0, 0];
  const reasons: string[] = [];
  let undoable = false;
  for (const found of groups) {
    const judged = await judgeGroup(work, found);
    if (judged.kind === "keep") {
      reasons.push(judged.reason);
      undoable ||= judged.undoable;
      continue;
    }
    if (!work.dryRun) await performSteps(publishContext(work.context, found), found.record, judged.steps);
    lost.push(...judged.lost);
    files += found.record.sources.length;
    bytes += bytesOf(found.record);
  }
  if (!undoable) work.gone.add(runId);
  const lostRows = lost.reduce((sum, output) => sum + output.rows, 0);
  const lostOutputs = lost.map((output) => output.path);
  if (files > 0) work.purged.push({ runId, files, bytes, lostOutputs, lostRows });
  const [reason] = reasons;
  if (reason !== undefined) work.kept.push({ runId, reason: severalText(reason, reasons.length) });
  return retainedBytes - bytes;
}

function severalText(reason: string, groups: number): string {
  return groups === 1 ? reason : `${reason} (and ${groups - 1} more groups)`;
}

function unrecovered({ journals }: PurgeWork, wanted: string): string | null {
  const open = journals.some(({ runId, record }) => runId === wanted && !isAtRest(record));
  return open ? "it was interrupted and is not recovered" : null;
}

/** In words, an earlier run that can still be undone and whose outputs this one has rewritten. */
function earlierRun({ journals, gone }: PurgeWork, run: RetainedGroups): string | null {
  const sources = new Set(run.groups.flatMap(({ record }) => record.sources.map(fileKey)));
  const earlier = journals.find(
    ({ runId, record }) =>
      runId < run.runId &&
      record.state === "RETIRED" &&
      !gone.has(runId) &&
      record.outputs.some((output) => sources.has(fileKey(output))),
  );
  return earlier === undefined
    ? null
    : `run ${earlier.runId} could not be undone any more, since this one has rewritten its outputs: purge that run first`;
}

type Judged =
  | {
      readonly kind: "purge";
      readonly steps: readonly PublicationStep[];
      readonly lost: readonly OutputRecord[];
    }
  | { readonly kind: "keep"; readonly reason: string; readonly undoable: boolean };

async function judgeGroup(work: PurgeWork, found: ReadableJournal): Promise<Judged> {
  const keep = (reason: string, undoable = true): Judged => ({ kind: "keep", reason, undoable });
  try {
    const observed = await observeOrDrift(publishContext(work.context, found), found.record);
    if (observed instanceof DriftError) return keep(observed.message);
    const decision = decidePurge(found.record, observed);
    if (decision.kind === "refused") return keep(decision.reason);
    const lost = found.record.outputs.filter(
      (output, index) =>
        observed.outputs[index]?.live !== "ours" &&
        (work.rewritten.get(fileKey(output)) ?? "") <= found.runId,
    );
    const [first] = lost;
    if (first === undefined || work.byName) return { kind: "purge", steps: decision.steps, lost };
    return keep(
      `${first.path} is no longer what the run published: its originals may be the only copy`,
      false,
    );
  } catch (error) {
    // What cannot be looked at is kept, and must not keep every other run from going.
    if (errno(error) === "" || !(error instanceof Error)) throw error;
    return keep(error.message);
  }
}

/** Removes what is left of groups that keep nothing: a folder in which anything else lies stays, with its record. */
async function forgetOld(context: PurgeContext, journals: readonly ReadableJournal[]): Promise<void> {
  const { fs } = context;
  for (const { record, folder } of journals) {
    const keepsNothing = isAtRest(record) && record.state !== "RETIRED";
    const ageMs = context.now() - Date.parse(record.stateSince);
    if (!keepsNothing || !(ageMs > RECORD_RETENTION_MS)) continue;
    await context.assertHeld();
    await unlinkIfPresent(fs, unfinishedJournal(folder));
    for (const part of GROUP_PARTS) await removeIfEmpty(fs, join(folder.path, part));
    const left = await fs.readdir(folder.path);
    if (left.some((name) => (GROUP_PARTS as readonly string[]).includes(name))) continue;
    await unlinkIfPresent(fs, folder.journal);
    await removeIfEmpty(fs, folder.path);
    await removeIfEmpty(fs, dirname(folder.path));
  }
}
