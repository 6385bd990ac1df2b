import { join } from "node:path";
import { decideUndo, type JournalRecord } from "@tamp/core";
import { TampError } from "./errors.ts";
import { type ReadableJournal, readableOf } from "./journal.ts";
import type { Maintenance } from "./maintain.ts";
import { refuseSharedPartitions } from "./neighbours.ts";
import { DriftError, observe, observeOrDrift } from "./observe.ts";
import { performSteps } from "./publish.ts";
import { publishContext, type RecoveryContext } from "./recover.ts";

export interface Undone {
  readonly kind: "undone" | "nothing_to_do" | "refused";
  readonly runId: string | null;
  readonly restored: readonly string[];
  readonly withdrawn: readonly string[];
  /** The longest time that a group's rows stood in both old and new files. */
  readonly duplicateWindowMs: number;
  readonly reason?: string;
}

type UndoContext = RecoveryContext &
  Pick<Maintenance, "workspace" | "processes" | "stateFolder" | "journals">;

/**
 * Gives back the originals of a run, the latest published one unless `runId` names another; the caller holds the
 * lock. All groups are checked before the first is touched, so that a refusal changes nothing.
 */
export async function undoRun(context: UndoContext, runId: string | null): Promise<Undone> {
  const journals = readableOf(context.journals);
  const published = journals.filter(({ record }) => record.state === "RETIRED");
  const wanted = runId ?? published.at(-1)?.runId ?? null;
  const untouched = { runId: wanted, restored: [], withdrawn: [], duplicateWindowMs: 0 };
  if (wanted === null) return { kind: "nothing_to_do", ...untouched };
  const damaged = context.journals.find((found) => found.kind === "damaged" && found.runId === wanted);
  // A run is given back whole or not at all.
  if (damaged?.kind === "damaged")
    return { kind: "refused", ...untouched, reason: `${damaged.folder.journal}: ${damaged.reason}` };
  const groups = published.filter((found) => found.runId === wanted);
  if (groups.length === 0) return { ...untouched, ...withoutGroups(journals, wanted) };
  await refuseSharedPartitions(
    context,
    context.workspace.root,
    groups.map(({ record }) => record.partition),
  );
  const refusal = await findRefusal(context, groups, published);
  if (refusal !== null) return { kind: "refused", ...untouched, reason: refusal };
  let duplicateWindowMs = 0;
  for (const found of groups) {
    const undone = await undoGroup(context, found);
    duplicateWindowMs = Math.max(duplicateWindowMs, undone.duplicateWindowMs);
  }
  return {
    kind: "undone",
    runId: wanted,
    restored: groups.flatMap(({ record }) => record.sources.map((source) => source.path)),
    withdrawn: groups.flatMap(({ record }) => record.outputs.map((output) => output.path)),
    duplicateWindowMs,
  };
}

function withoutGroups(journals: readonly ReadableJournal[], runId: string): Pick<Undone, "kind" | "reason"> {
  const states = journals.filter((found) => found.runId === runId).map(({ record }) => record.state);
  if (states.includes("PURGED"))
    return { kind: "refused", reason: "its originals were purged, so there is nothing to give back" };
  if (states.length > 0) return { kind: "nothing_to_do" };
  throw new TampError("RunNotFound", `there is no run ${runId}`, { hint: "`tamp runs DIR` lists the runs" });
}

async function findRefusal(
  context: RecoveryContext,
  groups: readonly ReadableJournal[],
  published: readonly ReadableJournal[],
): Promise<string | null> {
  for (const found of groups) {
    const observed = await observeOrDrift(publishContext(context, found), found.record);
    if (observed instanceof DriftError) return observed.message;
    const decision = decideUndo(found.record, observed);
    if (decision.kind === "refused") {
      const kept = `${decision.reason}; the originals are kept in ${join(found.folder.path, "trash")}`;
      return laterRun(found.record, published) ?? kept;
    }
  }
  return null;
}

/** The later run that rewrote an output of this group, if one did: it must be undone first. */
function laterRun(record: JournalRecord, published: readonly ReadableJournal[]): string | null {
  const outputs = new Set(record.outputs.map((output) => output.path));
  const later = published.find(
    ({ record: { runId, sources } }) => runId > record.runId && sources.some(({ path }) => outputs.has(path)),
  );
  return later === undefined ? null : `run ${later.runId} has rewritten its outputs: undo that run first`;
}

async function undoGroup(context: RecoveryContext, found: ReadableJournal): Promise<JournalRecord> {
  const publishing = publishContext(context, found);
  const decision = decideUndo(found.record, await observe(publishing, found.record));
  if (decision.kind === "refused")
    throw new TampError("UndoRefused", decision.reason, { hint: "run `tamp recover`" });
  return performSteps(publishing, found.record, decision.steps);
}
