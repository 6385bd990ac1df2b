import type { Crossing, Plan } from "@tamp/core";
import type { Daemon } from "./daemon.ts";
import type { MadePlan, OpenDataset } from "./open-dataset.ts";
import type { PlanSummary, WireCrossing, WireEstimate } from "./protocol.ts";

/** A plan without its long lists, as the wire shows it. */
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
    skippedCount: Object.values(plan.skippedByReason).reduce((sum, files) => sum + files, 0),
    skippedByReason: plan.skippedByReason,
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
  const reasons = Object.entries(plan.skippedByReason).filter(([reason]) => reason !== "filtered_out");
  if (reasons.length === 0) return "there are no data files";
  return reasons.map(([reason, files]) => `${files} ${reason.replaceAll("_", " ")}`).join(", ");
}

const MOST_CROSSINGS = 20;

/** The partitions over a threshold that have most files to rewrite. */
export function worstCrossings({ crossings }: Plan): readonly WireCrossing[] {
  return [...crossings]
    .sort((a, b) => b.files - a.files)
    .slice(0, MOST_CROSSINGS)
    .map(presentCrossing);
}

export function presentCrossing({ partition, trigger, files, bytes, limit, value }: Crossing): WireCrossing {
  return { partition, trigger, files, bytes, limit, value };
}
