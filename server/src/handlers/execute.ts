import { DEFAULT_OVERLAP_MS, type Plan, parseSize } from "@tamp/core";
import { invalid, type ParamReader } from "../check.ts";
import { TampError } from "../errors.ts";
import { type Executed, execute } from "../execute.ts";
import type { OpenDataset } from "../open-dataset.ts";
import { readPlanDocument } from "../plan-document.ts";
import { presentRecovered, presentRunGroup } from "../present.ts";
import type { RunResult, WireCanonicalStats, WireEstimate } from "../protocol.ts";
import { type HandlerContext, requireTrust } from "./context.ts";
import { rootOf } from "./datasets.ts";
import { presentEstimate } from "./plans.ts";

/** A run that waits cannot be cancelled: what was published must be swapped. */
const MOST_OVERLAP_MS = 10 * 60_000;
const LEAST_MEMORY_BYTES = 64 * 2 ** 20;

export async function executePlan(context: HandlerContext): Promise<RunResult> {
  requireTrust(context, "the plan was not executed");
  const { daemon, params } = context;
  const { deps } = daemon;
  const dataset = daemon.dataset(rootOf(params));
  const limits = { ...deps.defaults, memoryBytes: readMemory(params) ?? deps.defaults.memoryBytes };
  const overlapMs = readOverlap(params);
  const { plan, planId } = readPlan(context, dataset);
  const begun = deps.ports.clock();
  const progress = progressOf(context, dataset.root);
  const executed = await daemon
    .track(context.signal, (signal) =>
      dataset.exclusively(() =>
        execute({ deps, dataset, plan, planId, limits, overlapMs, signal, onProgress: progress.report }),
      ),
    )
    .finally(progress.end);
  const durationMs = Math.round(deps.ports.clock() - begun);
  const result = presentRun({
    dataset: dataset.root,
    plan,
    planId,
    engine: deps.engine.name,
    executed,
    durationMs,
    estimate: await presentEstimate(daemon, dataset, plan),
  });
  context.notify("tamp/run/finished", { dataset: dataset.root, result });
  return result;
}

function readPlan(
  { daemon, params }: HandlerContext,
  dataset: OpenDataset,
): { readonly plan: Plan; readonly planId: string } {
  const document = params.optionalObject("plan");
  if (document !== undefined) return readPlanDocument(document);
  const planId = params.string("planId");
  const found = daemon.plan(planId);
  if (found.dataset !== dataset) throw invalid(`the plan ${planId} belongs to ${found.dataset.root}`);
  return { plan: found.made.plan, planId };
}

function readOverlap(params: ParamReader): number {
  const overlapMs = params.optionalNumber("overlapMs") ?? DEFAULT_OVERLAP_MS;
  if (overlapMs <= MOST_OVERLAP_MS) return overlapMs;
  throw invalid(`overlapMs must be at most ${MOST_OVERLAP_MS}`);
}

function readMemory(params: ParamReader): number | null {
  const given = params.optionalSize("memoryLimit");
  if (given === undefined) return null;
  const bytes = typeof given === "number" ? given : parseSize(given);
  if (bytes === null || bytes < LEAST_MEMORY_BYTES) {
    throw new TampError("InvalidPolicy", `memoryLimit must be at least 64MiB, not ${JSON.stringify(given)}`, {
      hint: "give a size such as 512MB",
    });
  }
  return bytes;
}

interface Progress {
  readonly report: (percentage: number, message: string) => void;
  readonly end: () => void;
}

/** `$/progress` for the client's token; a percentage that only rises. Without a token nothing is sent. */
function progressOf({ params, notify }: HandlerContext, dataset: string): Progress {
  const token = params.optionalToken("workDoneToken");
  if (token === undefined) return { report: () => {}, end: () => {} };
  let latest = -1;
  notify("$/progress", {
    token,
    value: { kind: "begin", title: `Compacting ${dataset}`, cancellable: true, percentage: 0 },
  });
  return {
    report(percentage, message) {
      if (percentage <= latest) return;
      latest = percentage;
      notify("$/progress", { token, value: { kind: "report", message, percentage } });
    },
    end: () => notify("$/progress", { token, value: { kind: "end", message: "" } }),
  };
}

interface RunParts {
  readonly dataset: string;
  readonly plan: Plan;
  readonly planId: string;
  readonly engine: string;
  readonly executed: Executed;
  readonly durationMs: number;
  readonly estimate: WireEstimate;
}

function presentRun({ dataset, plan, planId, engine, executed, durationMs, estimate }: RunParts): RunResult {
  const { report, reason, recovered } = executed;
  const groups = report?.groups ?? [];
  const passed = groups.filter((group) => group.kind === "published");
  const rowsCompared = passed.flatMap((group) => group.outputs).reduce((sum, output) => sum + output.rows, 0);
  return {
    kind: executed.kind,
    runId: report?.runId ?? "",
    dataset,
    planId,
    engine,
    stats: countedStats(plan, executed),
    groups: groups.map(presentRunGroup),
    validation: {
      level: "V2",
      rowsCompared,
      groupsPassed: passed.length,
      groupsFailed: groups.filter((group) => group.kind === "rolled_back" || group.kind === "unknown").length,
      durationMs: Math.round(report?.phases.validate ?? 0),
    },
    durationMs,
    phases: roundAll(report?.phases ?? { pin: 0, rewrite: 0, validate: 0, sync: 0, publish: 0 }),
    duplicateWindowMs: report?.duplicateWindowMs ?? 0,
    estimate,
    recovered: recovered.map(presentRecovered),
    purged: report?.purged ?? [],
    ...(reason === null ? {} : { reason }),
  };
}

/** What was counted, under the same keys as the plan's projection. */
function countedStats(plan: Plan, { report, afterFileCount, afterTotalBytes }: Executed): WireCanonicalStats {
  const published = (report?.groups ?? []).filter((group) => group.kind === "published");
  return {
    beforeFileCount: plan.stats.beforeFileCount,
    afterFileCount,
    beforeTotalBytes: plan.stats.beforeTotalBytes,
    afterTotalBytes,
    compactedFileCount: published.reduce((sum, group) => sum + group.inputs, 0),
    rewrittenBytes: published.reduce((sum, group) => sum + group.inputBytes, 0),
    compressionCodec: published.length > 0 ? plan.stats.compressionCodec : null,
    dryRun: false,
    clusterColumns: [],
    plannedGroups: [],
  };
}

function roundAll<K extends string>(values: Readonly<Record<K, number>>): Readonly<Record<K, number>> {
  const entries = Object.entries<number>(values).map(([key, value]) => [key, Math.round(value)]);
  return Object.fromEntries(entries) as Record<K, number>;
}
