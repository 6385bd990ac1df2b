import type { GroupReason, Plan } from "./plan.ts";

export interface HealthReason {
  readonly kind: GroupReason | "foreign_format";
  readonly files: number;
  readonly bytes: number;
  readonly partitions: number;
}

/** 100 exactly when a plan would be `nothing_to_do`. */
export interface Health {
  readonly score: number;
  readonly reasons: readonly HealthReason[];
}

/** What each debt can cost of the 100 points when it is total. */
export const HEALTH_WEIGHTS = { files: 60, rowGroups: 25, bytes: 15 } as const;

/**
 * Judges a dataset by what its plan would mend: the share of files and of row groups that would vanish, and the
 * share of bytes that stand in files to be rewritten, weighted by HEALTH_WEIGHTS.
 */
export function judgeHealth(plan: Plan): Health {
  const reasons = reasonsOf(plan);
  if (plan.kind === "nothing_to_do") return { score: 100, reasons };
  const { benefit, stats } = plan;
  const debt =
    HEALTH_WEIGHTS.files * vanishing(benefit.filesBefore, benefit.filesAfter) +
    HEALTH_WEIGHTS.rowGroups * vanishing(benefit.rowGroupsBefore, benefit.rowGroupsAfter) +
    HEALTH_WEIGHTS.bytes * (stats.beforeTotalBytes === 0 ? 0 : stats.rewrittenBytes / stats.beforeTotalBytes);
  return { score: Math.min(99, Math.max(0, Math.round(100 - debt))), reasons };
}

function vanishing(before: number, after: number): number {
  return before === 0 ? 0 : Math.max(0, before - after) / before;
}

function reasonsOf(plan: Plan): readonly HealthReason[] {
  const byKind = new Map<GroupReason, { files: number; bytes: number; partitions: Set<string> }>();
  for (const group of plan.groups) {
    for (const kind of group.reasons) {
      const entry = byKind.get(kind) ?? { files: 0, bytes: 0, partitions: new Set() };
      byKind.set(kind, entry);
      entry.files += group.inputs.length;
      entry.bytes += group.inputBytes;
      entry.partitions.add(group.partition);
    }
  }
  const found = [...byKind].map(([kind, { files, bytes, partitions }]) => ({
    kind,
    files,
    bytes,
    partitions: partitions.size,
  }));
  if (plan.kind !== "refused" || plan.because !== "foreign_format") return found;
  return [
    {
      kind: "foreign_format",
      files: plan.stats.beforeFileCount,
      bytes: plan.stats.beforeTotalBytes,
      partitions: 0,
    },
    ...found,
  ];
}
