import { DEFAULT_OVERLAP_MS, type Plan, parseSize } from "@tamp/core";
import { invalid, type ParamReader } from "../check.ts";
import { runDataset } from "../dataset-run.ts";
import { TampError } from "../errors.ts";
import type { OpenDataset } from "../open-dataset.ts";
import { readPlanDocument } from "../plan-document.ts";
import type { RunResult } from "../protocol.ts";
import { type HandlerContext, requireTrust } from "./context.ts";
import { rootOf } from "./datasets.ts";

/** A run that waits cannot be cancelled: what was published must be swapped. */
const MOST_OVERLAP_MS = 10 * 60_000;
const LEAST_MEMORY_BYTES = 64 * 2 ** 20;

export async function executePlan(context: HandlerContext): Promise<RunResult> {
  requireTrust(context, "the plan was not executed");
  const { daemon, params, signal } = context;
  const dataset = daemon.dataset(rootOf(params));
  const memoryBytes = readMemory(params);
  const overlapMs = readOverlap(params);
  const { plan, planId } = readPlan(context, dataset);
  const { report, end } = progressOf(context, dataset.root);
  const order = { plan, planId, signal, memoryBytes, overlapMs, onProgress: report };
  return runDataset(daemon, dataset, order).finally(end);
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

function readMemory(params: ParamReader): number | undefined {
  const given = params.optionalSize("memoryLimit");
  if (given === undefined) return undefined;
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
