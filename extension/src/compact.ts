import type { PlanSummary, RunResult } from "@tamp/server/protocol";
import { type CancellationToken, type Progress, ProgressLocation, window } from "vscode";
import { readFailure } from "./failure.ts";
import { nameOf } from "./format.ts";
import { confirm, requireTrust, tell } from "./messages.ts";
import { recoveredDetails } from "./recovered-text.ts";
import {
  confirmCompaction,
  confirmUndo,
  latestPublished,
  runDetails,
  runOutcome,
  undoOutcome,
} from "./run-text.ts";
import type { Services } from "./services.ts";
import { memoryLimit } from "./settings.ts";

export async function showStatistics(root: string, { datasets, previews }: Services): Promise<void> {
  const { dataset } = await datasets.ensureOpen(root);
  await previews.showStats(dataset);
}

export async function previewCompaction(root: string, services: Services): Promise<void> {
  await services.previews.showPlan(await plan(root, services));
}

/** Plan, show, ask, carry out, tell. */
export async function compact(root: string, services: Services): Promise<void> {
  if (!(await requireTrust("Compacting"))) return;
  const planned = await plan(root, services);
  if (planned.kind !== "planned") return tellNoPlan(planned, services);
  await services.previews.showPlan(planned);
  if (!(await confirm(confirmCompaction(planned), "Compact"))) return;
  const result = await execute(planned, services);
  if (result === null) return;
  for (const line of runDetails(result)) services.log.info(line);
  await tellRun(result, services);
}

export async function undoLastRun(root: string, services: Services): Promise<void> {
  if (!(await requireTrust("Undoing a run"))) return;
  const { daemon, datasets, previews } = services;
  const { dataset } = await datasets.ensureOpen(root);
  const { runs } = await daemon.request("tamp/runs", { dataset });
  const run = latestPublished(runs);
  if (run === null) {
    await tell({ severity: "info", message: `${nameOf(dataset)}: there is no run to undo.` });
    return;
  }
  if (!(await confirm(confirmUndo(run, dataset), "Undo"))) return;
  const result = await window.withProgress(
    { location: ProgressLocation.Notification, title: `Undoing the last run in ${nameOf(dataset)}` },
    () => daemon.request("tamp/undo", { dataset, runId: run.runId }),
  );
  await datasets.refresh();
  previews.refresh(dataset);
  for (const line of recoveredDetails(result.recovered)) services.log.info(line);
  await tell(undoOutcome(result, dataset));
}

async function plan(root: string, { daemon, datasets }: Services): Promise<PlanSummary> {
  const title = `Tamp: planning the compaction of ${nameOf(root)}`;
  return window.withProgress({ location: ProgressLocation.Window, title }, async () => {
    const { dataset } = await datasets.ensureOpen(root);
    return daemon.request("tamp/plan", { dataset, operation: "compact", sync: true });
  });
}

async function tellNoPlan(planned: PlanSummary, { previews }: Services): Promise<void> {
  const isRefused = planned.kind === "refused";
  const reason = planned.reason === undefined ? "" : `: ${planned.reason}`;
  const message = `${nameOf(planned.dataset)}: ${isRefused ? "compaction is refused" : "nothing to compact"}${reason}`;
  const button = "Show Preview";
  if ((await tell({ severity: isRefused ? "warning" : "info", message }, button)) === button) {
    await previews.showPlan(planned);
  }
}

/** Null where the plan no longer fits and the person was told so. */
async function execute(planned: PlanSummary, services: Services): Promise<RunResult | null> {
  const { dataset } = planned;
  try {
    return await window.withProgress(
      { location: ProgressLocation.Notification, title: `Compacting ${nameOf(dataset)}`, cancellable: true },
      (progress, token) => executeWithProgress(planned, services, { progress, token }),
    );
  } catch (error) {
    const failure = readFailure(error);
    if (failure.kind === "cancelled") {
      await tell({ severity: "info", message: `${nameOf(dataset)}: cancelled; nothing was changed.` });
      return null;
    }
    if (failure.kind !== "stale") throw error;
    const button = "Plan Again";
    if ((await tell({ severity: "warning", message: failure.message }, button)) === button)
      await compact(dataset, services);
    return null;
  } finally {
    services.status.endRun(dataset);
    services.previews.refresh(dataset);
  }
}

interface Reporter {
  readonly progress: Progress<{ readonly message?: string; readonly increment?: number }>;
  readonly token: CancellationToken;
}

async function executeWithProgress(
  { dataset, planId }: PlanSummary,
  { daemon, status }: Services,
  { progress, token }: Reporter,
): Promise<RunResult> {
  let reached = 0;
  status.showRun(dataset, 0);
  const limit = memoryLimit();
  const params = limit === null ? { dataset, planId } : { dataset, planId, memoryLimit: limit };
  return daemon.execute(params, {
    token,
    onProgress: (value) => {
      if (value.kind !== "report") return;
      progress.report({ message: value.message, increment: value.percentage - reached });
      reached = value.percentage;
      status.showRun(dataset, reached);
    },
  });
}

async function tellRun(result: RunResult, services: Services): Promise<void> {
  const outcome = runOutcome(result);
  const resume = result.kind === "partly_published" ? ["Compact Again"] : [];
  const buttons = [...resume, ...(outcome.canUndo ? ["Undo"] : []), "Show Details"];
  const chosen = await tell(outcome, ...buttons);
  if (chosen === "Undo") await undoLastRun(result.dataset, services);
  else if (chosen === "Compact Again") await compact(result.dataset, services);
  else if (chosen === "Show Details") services.log.show();
}
