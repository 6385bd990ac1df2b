import type { Plan } from "@tamp/core";
import type { Executed } from "./execute.ts";
import { presentRecovered, presentRunGroup } from "./present.ts";
import type { RunResult, WireCanonicalStats, WireEstimate } from "./protocol.ts";

export interface RunParts {
  readonly dataset: string;
  readonly plan: Plan;
  readonly planId: string;
  readonly engine: string;
  readonly executed: Executed;
  readonly durationMs: number;
  readonly estimate: WireEstimate;
}

/** What a run did, as the wire shows it. */
export function presentRun({
  dataset,
  plan,
  planId,
  engine,
  executed,
  durationMs,
  estimate,
}: RunParts): RunResult {
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
