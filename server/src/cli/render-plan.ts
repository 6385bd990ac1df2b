import { assertNever, formatDuration, formatSize } from "@tamp/core";
import type { PlanDocument, PlanSummary, WireGroup } from "../protocol.ts";
import { heading, renderFacts, renderHealth, renderTable, toText, type View } from "./render.ts";
import {
  baseName,
  countOf,
  formatCount,
  naturalOrder,
  partitionName,
  printable,
  shorten,
  wrap,
} from "./text.ts";
import { explainGroup, explainSkip, words } from "./words.ts";

const MOST_GROUPS = 12;
const MOST_NAMES = 3;
const MOST_DETAILS = 5;

/** Reasons whose details differ: each detail is told once, with a few of its files. */
const DETAILED = new Set(["unsupported", "quarantined", "foreign_schema", "hard_linked", "excluded"]);

/** What a plan would do and why, and what it would not do and why. Estimates carry a `~`. */
export function renderPlan(plan: PlanDocument, view: View, remark = ""): string {
  return toText([
    view.paint.bold(`Plan for ${printable(plan.dataset)}${remark}`),
    ...verdict(plan).flatMap((text) => wrap(text, view.width)),
    ...refusalWarning(plan, view),
    ...(plan.groups.length > 0 ? effectLines(plan, view) : []),
    "",
    ...renderHealth(plan.health, view),
    ...groupLines(plan.groups, view),
    ...skippedLines(plan, view),
    ...noteLines(plan, view),
    "",
    view.paint.dim(`plan ${printable(plan.planId)}`),
  ]);
}

/** The number of files that the groups become. */
export function outputFileCount(groups: readonly WireGroup[]): number {
  return groups.reduce((sum, group) => sum + group.outputRows.length, 0);
}

/** `1,100 files (300 MiB) in 12 groups` */
export function workOf({ stats, groupCount }: Pick<PlanSummary, "stats" | "groupCount">): string {
  const { compactedFileCount, rewrittenBytes } = stats;
  return `${countOf(compactedFileCount, "file")} (${formatSize(rewrittenBytes)}) in ${countOf(groupCount, "group")}`;
}

function verdict(plan: PlanDocument): readonly string[] {
  const only = plan.partitionFilter.map(printable).join(" or ");
  const scope = only === "" ? [] : [`Only what lies under ${only}.`];
  switch (plan.kind) {
    case "planned": {
      const outputs = countOf(outputFileCount(plan.groups), "file");
      return [`Rewrites ${workOf(plan)} to ${outputs}.`, ...scope];
    }
    case "nothing_to_do":
      return ["Nothing to do: no file group pays for a rewrite.", ...scope];
    case "refused":
      return [`Refused: ${printable(plan.reason ?? "no reason was given")}.`, ...scope];
    default:
      return assertNever(plan.kind);
  }
}

/** A run that will not fit is refused before it starts: said where nobody overlooks it. */
function refusalWarning({ kind, estimate, policy }: PlanDocument, { paint, width }: View): readonly string[] {
  if (kind !== "planned") return [];
  const { neededBytes, freeBytes, retainedBytes } = estimate;
  const most = policy.maxRetainedBytes;
  const texts = [
    ...(isShort(estimate)
      ? [
          `Not enough free space: needs ~${formatSize(neededBytes)}, ${formatSize(freeBytes)} free. A run is refused before it starts; free space, or plan less with --partition or --max-bytes.`,
        ]
      : []),
    ...(most !== null && retainedBytes > most
      ? [
          `Too many originals to keep: ${formatSize(retainedBytes)}, and --max-retained allows ${formatSize(most)}. A run is refused before it starts; raise the limit, or plan less with --partition or --max-bytes.`,
        ]
      : []),
  ];
  return texts.flatMap((text) => wrap(text, width)).map((line) => paint.bad(line));
}

/** What is purged first makes room. */
function isShort({ neededBytes, freeBytes, purgeBytes }: PlanSummary["estimate"]): boolean {
  return neededBytes > freeBytes + purgeBytes;
}

function effectLines(
  { stats, benefit, estimate, engine, policy }: PlanDocument,
  view: View,
): readonly string[] {
  const rows = [
    ["files", formatCount(stats.beforeFileCount), `~${formatCount(stats.afterFileCount)}`],
    ["size", formatSize(stats.beforeTotalBytes), `~${formatSize(stats.afterTotalBytes)}`],
    ["row groups", formatCount(benefit.rowGroupsBefore), `~${formatCount(benefit.rowGroupsAfter)}`],
  ];
  const { neededBytes, freeBytes, retainedBytes, purgeBytes } = estimate;
  const short = isShort(estimate) ? `; ${view.paint.bad("not enough")}` : "";
  const time = policy.retentionMs === 0 ? "until the next run" : `for ${formatDuration(policy.retentionMs)}`;
  const kept = `${formatSize(retainedBytes)} of originals, ${time}`;
  const purged = `${formatSize(purgeBytes)} of earlier runs' originals, whose undo ends with that`;
  return [
    "",
    ...renderTable({ head: ["", ">now", ">after"], rows }, view),
    "",
    ...renderFacts(
      [
        ["estimates (~)", basisOf(estimate)],
        ["free space", `needs ~${formatSize(neededBytes)}, ${formatSize(freeBytes)} free${short}`],
        ["kept for undo", kept],
        ...(purgeBytes > 0 ? [["purged first", purged] as const] : []),
        ["engine", printable(engine)],
        ["codec", printable(stats.compressionCodec ?? "each group keeps its own")],
      ],
      view,
    ),
  ];
}

function basisOf({ basis, ratio }: PlanSummary["estimate"]): string {
  if (basis === "inputs") return "outputs taken to be as large as their inputs";
  return `outputs ${ratio.toFixed(2)} x their inputs, as in this dataset's runs`;
}

function groupLines(groups: readonly WireGroup[], view: View): readonly string[] {
  if (groups.length === 0) return [];
  const lines = [...heading(`File groups: ${formatCount(groups.length)}`, view)];
  const ordered = [...groups].sort((a, b) => naturalOrder(a.partition, b.partition));
  let partition: string | null = null;
  for (const group of ordered.slice(0, MOST_GROUPS)) {
    if (group.partition !== partition)
      lines.push(`  ${shorten(partitionName(group.partition), view.width - 2)}`);
    partition = group.partition;
    lines.push(...oneGroup(group, view));
  }
  const hidden = ordered.slice(MOST_GROUPS);
  if (hidden.length > 0) {
    const files = hidden.reduce((sum, group) => sum + group.inputs.length, 0);
    lines.push(`  … and ${countOf(hidden.length, "more group")} of ${countOf(files, "file")} (all: --json)`);
  }
  return lines;
}

function oneGroup(group: WireGroup, { paint, width }: View): readonly string[] {
  const inputs = `${countOf(group.inputs.length, "file")}, ${formatSize(group.inputBytes)}`;
  const outputs = `${countOf(group.outputRows.length, "file")}, ~${formatSize(group.estimatedOutputBytes)}`;
  const names = group.inputs.slice(0, MOST_NAMES).map(({ path }) => baseName(path));
  const more = group.inputs.length - names.length;
  const tail = more > 0 ? ` … ${formatCount(more)} more` : "";
  const shown = `${shorten(names.join(", "), width - 6 - tail.length)}${tail}`;
  return [
    ...wrap(`${inputs} → ${outputs}: ${explainGroup(group.reasons)}`, width - 4).map((line) => `    ${line}`),
    `      ${paint.dim(shown)}`,
  ];
}

function skippedLines(
  { skipped, skippedByReason, skippedCount }: PlanDocument,
  view: View,
): readonly string[] {
  if (skippedCount === 0) return [];
  const reasons = Object.entries(skippedByReason).sort(([a, x], [b, y]) => y - x || (a < b ? -1 : 1));
  const rows = reasons.map(([reason, files]) => [formatCount(files), words(reason), explainSkip(reason)]);
  const lines = detailLines(skipped, view);
  return [
    ...heading(`Not rewritten: ${countOf(skippedCount, "file")}`, view),
    ...renderTable({ head: [">files", "reason", "what it means"], rows, flexible: 2 }, view),
    ...(lines.length > 0 ? ["", ...lines] : []),
  ];
}

/** `60 files: unsupported: …` and a few of their paths, the most frequent detail first. */
function detailLines(skipped: PlanDocument["skipped"], { paint, width }: View): readonly string[] {
  const byText = new Map<string, string[]>();
  for (const { path, reason, detail } of skipped) {
    if (!DETAILED.has(reason) || detail === "") continue;
    const text = `${words(reason)}: ${printable(detail)}`;
    const paths = byText.get(text) ?? [];
    byText.set(text, paths);
    paths.push(path);
  }
  const details = [...byText].sort(([, a], [, b]) => b.length - a.length);
  const lines = details.slice(0, MOST_DETAILS).flatMap(([text, paths]) => {
    const examples = [...paths].sort(naturalOrder).slice(0, MOST_NAMES);
    const more = paths.length - examples.length;
    return [
      ...wrap(`${countOf(paths.length, "file")}: ${text}`, width - 2).map((line) => `  ${line}`),
      ...examples.map((path) => `    ${paint.dim(shorten(printable(path), width - 4))}`),
      ...(more > 0 ? [`    ${paint.dim(`… ${formatCount(more)} more`)}`] : []),
    ];
  });
  const hidden = details.slice(MOST_DETAILS).reduce((sum, [, paths]) => sum + paths.length, 0);
  return hidden === 0 ? lines : [...lines, `  … and ${countOf(hidden, "more file")} (all: --json)`];
}

function noteLines({ notes }: PlanDocument, view: View): readonly string[] {
  if (notes.length === 0) return [];
  return [
    ...heading("What a rewrite leaves out", view),
    ...notes.flatMap((note) => wrap(printable(note), view.width - 2).map((line) => `  ${line}`)),
  ];
}
