import { join } from "node:path";
import { decideUndo, type JournalRecord } from "@tamp/core";
import { TampError } from "./errors.ts";
import { type FoundJournal, readJournals } from "./journal.ts";
import { type Ports, refuseHeldPartitions } from "./maintain.ts";
import { DriftError, observe, performSteps } from "./publish.ts";
import { publishContext, type RecoveryContext } from "./recover.ts";

export interface Undone {
  readonly kind: "undone" | "nothing_to_do" | "refused";
  readonly runId: string | null;
  readonly restored: readonly string[];
  readonly withdrawn: readonly string[];
  readonly reason?: string;
}

type UndoContext = RecoveryContext & Pick<Ports, "processes">;

type Journaled = Extract<FoundJournal, { readonly kind: "journal" }>;

/**
 * Gives back the originals of a run, the latest published one unless `runId` names another; the caller holds the
 * lock. All groups are checked before the first is touched, so that a refusal changes nothing.
 */
export async function undoRun(context: UndoContext, runId: string | null): Promise<Undone> {
  const journals = (await readJournals(context.fs, context.workspace)).filter(
    (found) => found.kind === "journal",
  );
  const published = journals.filter(({ record }) => record.state === "RETIRED");
  const wanted = runId ?? published.at(-1)?.record.runId ?? null;
  if (wanted === null) return { kind: "nothing_to_do", runId: null, restored: [], withdrawn: [] };
  const groups = published.filter(({ record }) => record.runId === wanted);
  if (groups.length === 0) return withoutGroups(journals, wanted);
  await refuseHeldPartitions(
    context,
    context.workspace.root,
    groups.map(({ record }) => record.partition),
  );
  const refusal = await findRefusal(context, groups, published);
  if (refusal !== null)
    return { kind: "refused", runId: wanted, restored: [], withdrawn: [], reason: refusal };
  for (const found of groups) await undoGroup(context, found);
  return {
    kind: "undone",
    runId: wanted,
    restored: groups.flatMap(({ record }) => record.sources.map((source) => source.path)),
    withdrawn: groups.flatMap(({ record }) => record.outputs.map((output) => output.path)),
  };
}

function withoutGroups(journals: readonly Journaled[], runId: string): Undone {
  if (journals.some(({ record }) => record.runId === runId)) {
    return { kind: "nothing_to_do", runId, restored: [], withdrawn: [] };
  }
  throw new TampError("RunNotFound", `there is no run ${runId}`, { hint: "`tamp runs DIR` lists the runs" });
}

async function findRefusal(
  context: RecoveryContext,
  groups: readonly Journaled[],
  published: readonly Journaled[],
): Promise<string | null> {
  for (const found of groups) {
    const observed = await observe(publishContext(context, found), found.record).catch(driftOrThrow);
    if (observed instanceof DriftError) return observed.message;
    const decision = decideUndo(found.record, observed);
    if (decision.kind === "refused") {
      const kept = `${decision.reason}; the originals are kept in ${join(found.folder.path, "trash")}`;
      return laterRun(found.record, published) ?? kept;
    }
  }
  return null;
}

function driftOrThrow(error: unknown): DriftError {
  if (error instanceof DriftError) return error;
  throw error;
}

/** The later run that rewrote an output of this group, if one did: it must be undone first. */
function laterRun(record: JournalRecord, published: readonly Journaled[]): string | null {
  const outputs = new Set(record.outputs.map((output) => output.path));
  const later = published.find(
    ({ record: { runId, sources } }) => runId > record.runId && sources.some(({ path }) => outputs.has(path)),
  );
  return later === undefined
    ? null
    : `run ${later.record.runId} has rewritten its outputs: undo that run first`;
}

async function undoGroup(context: RecoveryContext, found: Journaled): Promise<void> {
  const publishing = publishContext(context, found);
  const decision = decideUndo(found.record, await observe(publishing, found.record));
  if (decision.kind === "refused")
    throw new TampError("UndoRefused", decision.reason, { hint: "run `tamp recover`" });
  await performSteps(publishing, found.record, decision.steps);
}
