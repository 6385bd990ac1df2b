import { type Candidate, neededRowGroups } from "./candidate.ts";
import type { Gate } from "./gate.ts";
import type { Crossing, GroupReason } from "./plan.ts";
import type { Policy } from "./policy.ts";
import { STRETCH } from "./steps.ts";

type Measure = Pick<Crossing, "limit" | "value">;

/** By which threshold the groups of a partition came to be; null where there are none. */
export function* judgeCrossing(
  partition: string,
  { groups, gate }: { readonly groups: readonly (readonly Candidate[])[]; readonly gate: Gate },
  policy: Policy,
): Generator<void, Crossing | null> {
  let files = 0;
  let bytes = 0;
  const worst = new Map<GroupReason, Measure>();
  for (const group of groups) {
    for (const file of group) {
      files += 1;
      bytes += file.sizeBytes;
      if (files % STRETCH === 0) yield;
      for (const reason of file.reasons) {
        const measure = measureFault(reason, file, policy);
        const known = worst.get(reason);
        if (known === undefined || measure.value / measure.limit > known.value / known.limit)
          worst.set(reason, measure);
      }
    }
  }
  if (files === 0) return null;
  if (gate.opened !== null && worst.has("small_files")) return { partition, ...gate.opened, files, bytes };
  for (const trigger of ["oversize", "row_groups", "codec"] as const) {
    const measure = worst.get(trigger);
    if (measure !== undefined) return { partition, trigger, files, bytes, ...measure };
  }
  return null;
}

function measureFault(reason: GroupReason, file: Candidate, policy: Policy): Measure {
  const { sizeBytes, rows, stats } = file;
  if (reason === "oversize") {
    const times = Math.max(sizeBytes / policy.oversizeBytes, rows / (policy.targetRows ?? Infinity));
    // In bytes where it is the rows that are too many, too: so many would be within the bound.
    return { limit: Math.floor(sizeBytes / times), value: sizeBytes };
  }
  if (reason !== "row_groups") return { limit: 1, value: 1 };
  return { limit: policy.rowGroupFactor, value: stats.rowGroupCount / neededRowGroups(rows, policy) };
}
