import { DEFAULT_OVERLAP_MS, type Plan } from "@tamp/core";
import type { Daemon } from "./daemon.ts";
import { execute } from "./execute.ts";
import type { OpenDataset } from "./open-dataset.ts";
import { presentEstimate } from "./plan-summary.ts";
import type { RunResult } from "./protocol.ts";
import { presentRun } from "./run-result.ts";

export interface RunOrder {
  readonly plan: Plan;
  readonly planId: string;
  readonly signal: AbortSignal;
  /** Bytes that the engine's process may hold. */
  readonly memoryBytes?: number | undefined;
  readonly overlapMs?: number;
  readonly onProgress?: (percentage: number, message: string) => void;
}

/** Carries out a plan alone on its dataset, whoever ordered it, and tells everybody what became of it. */
export async function runDataset(daemon: Daemon, dataset: OpenDataset, order: RunOrder): Promise<RunResult> {
  const { deps } = daemon;
  const { plan, planId, memoryBytes = deps.defaults.memoryBytes } = order;
  const { overlapMs = DEFAULT_OVERLAP_MS, onProgress = () => {} } = order;
  const limits = { ...deps.defaults, memoryBytes };
  const begun = deps.ports.clock();
  const touched = new Set(plan.groups.map(({ partition }) => partition));
  const executed = await daemon.track(order.signal, (signal) =>
    dataset.exclusively(
      () => execute({ deps, dataset, plan, planId, limits, overlapMs, signal, onProgress }),
      touched,
    ),
  );
  const result = presentRun({
    dataset: dataset.root,
    plan,
    planId,
    engine: deps.engine.name,
    executed,
    durationMs: Math.round(deps.ports.clock() - begun),
    estimate: await presentEstimate(daemon, dataset, plan),
  });
  await recordRun(dataset, plan, result);
  daemon.tell({ kind: "finished", dataset, result });
  return result;
}

/** Only what changed the dataset belongs to its history; the point after it tells what it has become. */
async function recordRun(dataset: OpenDataset, plan: Plan, result: RunResult): Promise<void> {
  const { kind, runId, stats, groups } = result;
  if (kind !== "published" && kind !== "partly_published") return;
  const written = groups.filter((group) => group.kind === "published").flatMap((group) => group.outputs);
  await dataset.recordRun({
    runId,
    kind,
    filesBefore: stats.beforeFileCount,
    filesAfter: stats.afterFileCount,
    bytesBefore: stats.beforeTotalBytes,
    bytesAfter: stats.afterTotalBytes,
    estimatedBytes: plan.stats.afterTotalBytes,
    rewrittenBytes: written.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
  });
}
