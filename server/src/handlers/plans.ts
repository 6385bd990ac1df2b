import type { Plan } from "@tamp/core";
import { invalid } from "../check.ts";
import type { Daemon } from "../daemon.ts";
import type { MadePlan, OpenDataset } from "../open-dataset.ts";
import { countReasons, pageOf, presentGroup } from "../present.ts";
import type { Page, PlanDocument, PlanSummary, WireEstimate, WireGroup, WireSkipped } from "../protocol.ts";
import type { HandlerContext } from "./context.ts";
import { policyParam, rootOf } from "./datasets.ts";

export async function makePlan({ daemon, params }: HandlerContext): Promise<PlanSummary> {
  const dataset = daemon.dataset(rootOf(params));
  const operation = params.string("operation");
  if (operation !== "compact") throw invalid(`operation must be compact, not ${operation}`);
  if (params.optionalBoolean("sync") === true) await dataset.refresh();
  const made = await dataset.makePlan(params.strings("partitionFilter"), policyParam(params));
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

export async function summarize(daemon: Daemon, dataset: OpenDataset, made: MadePlan): Promise<PlanSummary> {
  const { plan } = made;
  const reason =
    plan.kind === "refused" ? plan.reason : plan.kind === "nothing_to_do" ? whyNothing(made) : null;
  return {
    kind: plan.kind,
    planId: made.planId,
    dataset: dataset.root,
    generation: made.generation,
    operation: "compact",
    engine: daemon.deps.engine.name,
    partitionFilter: plan.partitionFilter,
    stats: { ...plan.stats, plannedGroups: [] },
    groupCount: plan.groups.length,
    skippedCount: plan.skipped.length,
    skippedByReason: countReasons(plan),
    estimate: await presentEstimate(daemon, dataset, plan),
    benefit: plan.benefit,
    health: made.health,
    notes: plan.groups.length > 0 ? dataset.notes() : [],
    ...(reason === null ? {} : { reason }),
  };
}

export async function presentEstimate(
  { deps }: Daemon,
  dataset: OpenDataset,
  { estimate, policy, groups }: Plan,
): Promise<WireEstimate> {
  const retainedBytes = groups.reduce((sum, group) => sum + group.inputBytes, 0);
  return {
    ...estimate,
    freeBytes: await deps.ports.fs.freeBytes(dataset.root).catch(() => 0),
    retainedBytes,
    purgeBytes: groups.length === 0 ? 0 : dataset.dueBytes(policy, retainedBytes),
  };
}

function whyNothing({ plan }: MadePlan): string {
  const reasons = Object.entries(countReasons(plan)).filter(([reason]) => reason !== "filtered_out");
  if (reasons.length === 0) return "there are no data files";
  return reasons.map(([reason, files]) => `${files} ${reason.replaceAll("_", " ")}`).join(", ");
}
