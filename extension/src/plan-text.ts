import type { Page, PlanSummary, WireGroup, WireSkipped } from "@tamp/server/protocol";
import { assertNever } from "./assert-never.ts";
import { countOf, formatCount, formatSize, nameOf, printable, table, words } from "./format.ts";
import { healthLines } from "./health-text.ts";

export interface PlanView {
  readonly plan: PlanSummary;
  readonly groups: Page<WireGroup>;
  readonly skipped: Page<WireSkipped>;
}

/** Files that a rewrite leaves behind, as far as a plan can say. */
export function outputFileCount(plan: Pick<PlanSummary, "stats">): number {
  return plan.stats.afterFileCount - (plan.stats.beforeFileCount - plan.stats.compactedFileCount);
}

/** What is purged first makes room. */
export function isShort({ estimate }: Pick<PlanSummary, "estimate">): boolean {
  return estimate.neededBytes > estimate.freeBytes + estimate.purgeBytes;
}

/** The dry run as a Markdown document that reads well unrendered. */
export function renderPlan({ plan, groups, skipped }: PlanView): string {
  const lines = [`# Compaction of ${nameOf(plan.dataset)}`, "", "Dry run: nothing has been changed.", ""];
  lines.push(printable(plan.dataset), "", ...verdict(plan), "");
  if (plan.kind === "planned") lines.push(...effect(plan), "");
  lines.push(...healthLines(plan.health), "");
  if (plan.notes.length > 0)
    lines.push("## Notes", "", ...plan.notes.map((note) => `- ${printable(note)}`), "");
  if (groups.total > 0) lines.push(...groupSection(groups));
  if (plan.skippedCount > 0) lines.push(...skippedSection(plan, skipped));
  if (plan.kind === "planned") lines.push(`Plan ${plan.planId}, generation ${plan.generation}.`, "");
  return lines.join("\n");
}

function verdict(plan: PlanSummary): readonly string[] {
  const reason = plan.reason === undefined ? "" : `: ${printable(plan.reason)}`;
  switch (plan.kind) {
    case "planned":
      return [
        `${countOf(plan.stats.compactedFileCount, "file")} (${formatSize(plan.stats.rewrittenBytes)}) in ${countOf(plan.groupCount, "group")} would become about ${countOf(outputFileCount(plan), "file")}.`,
      ];
    case "nothing_to_do":
      return [`Nothing to do${reason}.`];
    case "refused":
      return [`Refused${reason}.`];
    default:
      return assertNever(plan.kind);
  }
}

function effect(plan: PlanSummary): readonly string[] {
  const { stats, benefit, estimate } = plan;
  const rows = [
    ["files in the dataset", formatCount(stats.beforeFileCount), formatCount(stats.afterFileCount)],
    [
      "bytes in the dataset",
      formatSize(stats.beforeTotalBytes),
      `about ${formatSize(stats.afterTotalBytes)}`,
    ],
    [
      "row groups in the planned scope",
      formatCount(benefit.rowGroupsBefore),
      formatCount(benefit.rowGroupsAfter),
    ],
  ];
  const basis = estimate.basis === "runs" ? "earlier runs on this dataset" : "the sizes of the inputs";
  return [
    ...table(["", "now", "after"], rows),
    "",
    `- sizes after are estimated from ${basis}`,
    `- free space needed: ${formatSize(estimate.neededBytes)}; free: ${formatSize(estimate.freeBytes)}${isShort(plan) ? " (not enough: a run is refused before it starts)" : ""}`,
    ...(estimate.purgeBytes === 0
      ? []
      : [`- purged first: ${formatSize(estimate.purgeBytes)} of earlier runs' originals, whose undo ends`]),
    `- engine: ${plan.engine}; codec: ${stats.compressionCodec ?? "as each group has it"}`,
    ...(plan.partitionFilter.length === 0
      ? []
      : [`- only: ${plan.partitionFilter.map(printable).join(", ")}`]),
    `- the originals (${formatSize(estimate.retainedBytes)}) are kept until they are purged: Undo Last Run puts them back`,
  ];
}

function groupSection(groups: Page<WireGroup>): readonly string[] {
  const lines = [`## What would be rewritten: ${countOf(groups.total, "group")}`, ""];
  for (const group of groups.items) lines.push(...groupLines(group), "");
  return [...lines, ...remainder(groups, "group")];
}

/** Inputs shown of each group; the rest is counted. */
const INPUTS_SHOWN = 20;

function groupLines(group: WireGroup): readonly string[] {
  const shown = group.inputs.slice(0, INPUTS_SHOWN);
  const hidden = group.inputs.length - shown.length;
  const width = Math.max(...shown.map((input) => printable(input.path).length), 0);
  return [
    `### ${partitionName(group.partition)}`,
    "",
    `${countOf(group.inputs.length, "file")}, ${formatSize(group.inputBytes)} → ${countOf(group.outputRows.length, "file")}, about ${formatSize(group.estimatedOutputBytes)}; row groups ${formatCount(group.rowGroupsBefore)} → ${formatCount(group.rowGroupsAfter)}; ${group.codec}; because of ${group.reasons.map(words).join(", ")}`,
    "",
    "```text",
    ...shown.map(
      (input) =>
        `${printable(input.path).padEnd(width)}  ${formatSize(input.sizeBytes).padStart(9)}  ${countOf(input.rows, "row")}`,
    ),
    ...(hidden > 0 ? [`… and ${formatCount(hidden)} more`] : []),
    "```",
  ];
}

export function partitionName(partition: string): string {
  return partition === "" ? "(no partition)" : printable(partition);
}

function skippedSection(plan: PlanSummary, skipped: Page<WireSkipped>): readonly string[] {
  const reasons = Object.entries(plan.skippedByReason).sort(([, a], [, b]) => b - a);
  // Files at their target are the good case, and there may be very many of them: a count says enough.
  const listed = skipped.items.filter((file) => file.reason !== "at_target");
  return [
    `## Left as they are: ${countOf(plan.skippedCount, "file")}`,
    "",
    ...reasons.map(([reason, count]) => `- ${words(reason)}: ${formatCount(count)}`),
    "",
    ...(listed.length === 0 ? [] : ["```text", ...listed.map(skippedLine), "```", ""]),
    ...remainder(skipped, "file"),
  ];
}

function skippedLine(file: WireSkipped): string {
  return `${printable(file.path)}: ${words(file.reason)}${file.detail === "" ? "" : ` (${printable(file.detail)})`}`;
}

function remainder(page: Page<unknown>, noun: string): readonly string[] {
  const hidden = page.total - page.items.length;
  return hidden > 0 ? [`… and ${countOf(hidden, `more ${noun}`)}.`, ""] : [];
}
