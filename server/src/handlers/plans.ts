import { invalid } from "../check.ts";
import { summarize } from "../plan-summary.ts";
import { pageOf, presentGroup } from "../present.ts";
import type { Page, PlanDocument, PlanSummary, WireGroup, WireSkipped } from "../protocol.ts";
import type { HandlerContext } from "./context.ts";
import { policyParam, rootOf } from "./datasets.ts";

export async function makePlan({ daemon, params }: HandlerContext): Promise<PlanSummary> {
  const dataset = daemon.dataset(rootOf(params));
  const operation = params.string("operation");
  if (operation !== "compact") throw invalid(`operation must be compact, not ${operation}`);
  if (params.optionalBoolean("sync") === true) await dataset.refresh();
  const made = await dataset.makePlan(params.strings("partitionFilter"), {
    policyInput: policyParam(params),
  });
  daemon.keepPlan(dataset, made);
  return summarize(daemon, dataset, made);
}

export async function planGroups({ daemon, params }: HandlerContext): Promise<Page<WireGroup>> {
  return pageOf(daemon.plan(params.string("planId")).made.plan.groups, params, presentGroup);
}

export async function planSkipped({ daemon, params }: HandlerContext): Promise<Page<WireSkipped>> {
  return pageOf(daemon.plan(params.string("planId")).made.plan.skipped, params, (file) => file);
}

export async function planDocument({ daemon, params }: HandlerContext): Promise<PlanDocument> {
  const { dataset, made } = daemon.plan(params.string("planId"));
  const { plan } = made;
  return {
    tampPlan: 1,
    ...(await summarize(daemon, dataset, made)),
    stats: plan.stats,
    policy: plan.policy,
    groups: plan.groups.map(presentGroup),
    skipped: plan.skipped,
  };
}
