import type { WireHealth } from "@tamp/server/protocol";
import { countOf, formatSize, words } from "./format.ts";

/** `38 of 100`, and a line for each reason. */
export function healthLines(health: WireHealth): readonly string[] {
  const reasons = health.reasons.map(
    (reason) =>
      `- ${words(reason.kind)}: ${countOf(reason.files, "file")}, ${formatSize(reason.bytes)}, in ${countOf(reason.partitions, "partition")}`,
  );
  const [first = "", ...rest] = reasons.length === 0 ? ["- nothing to do"] : reasons;
  return [`Health: ${health.score} of 100`, "", first, ...rest];
}
