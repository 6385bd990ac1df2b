import { invalid, type ParamReader } from "../check.ts";
import { type Maintenance, maintain } from "../maintain.ts";
import type { OpenDataset } from "../open-dataset.ts";
import { presentRecovered } from "../present.ts";
import type { DatasetSummary, PurgeResult, RecoverResult, UndoResult, WireRun } from "../protocol.ts";
import { type PurgeRequest, purgeRuns } from "../purge.ts";
import { type RecoveredGroup, touchedBy } from "../recover.ts";
import { listRuns, type RunFacts } from "../runs.ts";
import { undoRun } from "../undo.ts";
import { locateWorkspace } from "../workspace.ts";
import { type HandlerContext, requireTrust } from "./context.ts";
import { rootOf } from "./datasets.ts";

export async function runs({
  daemon,
  params,
}: HandlerContext): Promise<{ readonly runs: readonly WireRun[] }> {
  const { ports } = daemon.deps;
  const dataset = daemon.dataset(rootOf(params));
  const found = await listRuns(ports, await locateWorkspace(ports.fs, dataset.root, dataset.workspace));
  return { runs: found.map(presentFacts) };
}

function presentFacts({ interruptedGroups: _, reason, ...facts }: RunFacts): WireRun {
  return { ...facts, ...(reason === null ? {} : { reason }) };
}

export async function undo(context: HandlerContext): Promise<UndoResult> {
  requireTrust(context, "nothing was undone");
  const runId = context.params.optionalString("runId") ?? null;
  const dataset = context.daemon.dataset(rootOf(context.params));
  const before = dataset.summary();
  const { undone, recovered } = await maintained(
    context,
    async (held) => ({ undone: await undoRun(held, runId), recovered: held.recovered }),
    ({ undone: { restored, withdrawn } }) => [...restored, ...withdrawn],
  );
  const { kind, restored, withdrawn, duplicateWindowMs, reason } = undone;
  if (kind === "undone") await recordUndo(dataset, undone.runId ?? "", before);
  return {
    kind,
    runId: undone.runId,
    restoredFiles: restored.length,
    withdrawnFiles: withdrawn.length,
    duplicateWindowMs,
    recovered: recovered.map(presentRecovered),
    ...(reason === undefined ? {} : { reason }),
  };
}

async function recordUndo(dataset: OpenDataset, runId: string, before: DatasetSummary): Promise<void> {
  const after = dataset.summary();
  await dataset.recordRun({
    runId,
    kind: "undone",
    filesBefore: before.fileCount,
    filesAfter: after.fileCount,
    bytesBefore: before.totalBytes,
    bytesAfter: after.totalBytes,
    estimatedBytes: null,
    rewrittenBytes: 0,
  });
}

export async function recover(context: HandlerContext): Promise<RecoverResult> {
  requireTrust(context, "nothing was recovered");
  const { recovered } = await maintained(context, async (held) => ({ recovered: held.recovered }));
  const groups = recovered.map(presentRecovered);
  const quarantined = groups.some((group) => group.action === "quarantine");
  return { kind: groups.length === 0 ? "nothing_to_do" : quarantined ? "quarantined" : "recovered", groups };
}

export async function purge(context: HandlerContext): Promise<PurgeResult> {
  requireTrust(context, "nothing was deleted");
  const { daemon, params } = context;
  const { retentionMs, maxRetainedBytes } = daemon.dataset(rootOf(params)).currentPolicy();
  const request = purgeRequest(params, { retentionMs, maxRetainedBytes });
  const dryRun = params.optionalBoolean("dryRun") ?? false;
  const { purged, recovered } = await maintained(context, async (held) => ({
    purged: await purgeRuns(held, request, dryRun),
    recovered: held.recovered,
  }));
  const { runs: gone, kept, retainedBytes } = purged;
  const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
  const [first] = kept;
  const refused = gone.length === 0 && first !== undefined;
  return {
    kind: gone.length > 0 ? "purged" : refused ? "refused" : "nothing_to_do",
    dryRun,
    runs: gone,
    kept,
    purgedFiles: sum(gone.map(({ files }) => files)),
    purgedBytes: sum(gone.map(({ bytes }) => bytes)),
    retainedBytes,
    recovered: recovered.map(presentRecovered),
    ...(refused ? { reason: `run ${first.runId} keeps its originals: ${first.reason}` } : {}),
  };
}

function purgeRequest(
  params: ParamReader,
  retention: Extract<PurgeRequest, { kind: "due" }>["retention"],
): PurgeRequest {
  const runId = params.optionalString("runId");
  const all = params.optionalBoolean("all") ?? false;
  if (runId !== undefined && all) throw invalid("runId and all exclude each other");
  if (runId !== undefined) return { kind: "run", runId };
  return all ? { kind: "all" } : { kind: "due", retention, incomingBytes: 0, keepNewest: false };
}

/**
 * Work under the dataset's lock that a shutdown waits for. What it touched is looked at before anybody else looks:
 * files that are given back are no new ones.
 */
function maintained<T extends { readonly recovered: readonly RecoveredGroup[] }>(
  { daemon, params, signal }: HandlerContext,
  work: (held: Maintenance) => Promise<T>,
  touched: (done: T) => readonly string[] = () => [],
): Promise<T> {
  const dataset = daemon.dataset(rootOf(params));
  const { ports } = daemon.deps;
  return daemon.track(signal, () =>
    dataset.exclusively(async () => {
      const done = await maintain({ ports, root: dataset.root, workspace: dataset.workspace }, work);
      await dataset.refresh(null, [...touched(done), ...touchedBy(done.recovered)]);
      return done;
    }),
  );
}
