import type { WireRecovered } from "@tamp/server/protocol";
import { countOf, formatDuration, nameOf, printable, words } from "./format.ts";
import type { Outcome } from "./run-text.ts";

/** What was done with the leftovers of an interrupted run, in one sentence; what could not be judged comes first. */
export function recoveredOutcome(
  groups: readonly WireRecovered[],
  dataset: string,
): Pick<Outcome, "severity" | "message"> {
  const name = nameOf(dataset);
  const left = groups.filter(({ action }) => action === "quarantine");
  const [first] = left;
  if (first !== undefined) {
    const message = `${name}: ${countOf(left.length, "group")} of an interrupted run could not be judged and ${left.length === 1 ? "was" : "were"} left as found: ${printable(first.detail)}.`;
    return { severity: "warning", message };
  }
  const finished = groups.filter(({ action }) => action === "roll_forward").length;
  const parts = [
    ...(finished > 0 ? [`${countOf(finished, "group")} finished`] : []),
    ...(groups.length > finished ? [`${countOf(groups.length - finished, "group")} taken back`] : []),
  ];
  return { severity: "info", message: `${name}: an interrupted run was recovered: ${parts.join(", ")}.` };
}

/** Each group for the log. */
export function recoveredDetails(groups: readonly WireRecovered[]): readonly string[] {
  return groups.map(({ runId, group, action, detail, duplicateWindowMs }) => {
    const twice =
      duplicateWindowMs > 0
        ? `; rows were readable twice for ${formatDuration(duplicateWindowMs)} at most`
        : "";
    return `recovered run ${printable(runId)}, group ${group}: ${words(action)} (${printable(detail)})${twice}`;
  });
}
