import { assertNever, formatSize } from "@tamp/core";
import type { PlanSummary, RunGroup, RunResult } from "../protocol.ts";
import type { Problem } from "./problem.ts";
import { heading, renderFacts, renderTable, toText, type View } from "./render.ts";
import { isQuarantined, originalsOf, purgedLines, recoveredFirst } from "./render-history.ts";
import { countOf, formatCount, formatDuration, partitionName, printable, wrap } from "./text.ts";
import { explainOutcome } from "./words.ts";

const MOST_REASONS = 10;
const MOST_NAMES = 3;

/** In the order in which a group goes through them. */
const PHASES = [
  "pin",
  "rewrite",
  "validate",
  "sync",
  "publish",
] as const satisfies readonly (keyof RunResult["phases"])[];

/** Command lines that a person may want next. */
export interface NextSteps {
  readonly plan: string;
  readonly runs: string;
  readonly undo: string;
  readonly recover: string;
  readonly purge: string;
}

export interface RunSteps extends NextSteps {
  /** The command that was given, which goes on with what was not published. */
  readonly again: string;
}

export interface RunView extends View {
  readonly next: RunSteps;
}

/** What a run did, counted afterwards, beside what its plan expected. */
export function renderRun(result: RunResult, plan: PlanSummary, view: RunView): string {
  const published = result.groups.filter(({ kind }) => kind === "published");
  const recovered = recoveredFirst(result.recovered, view, view.next);
  return toText([
    "",
    headline(result, view),
    ...(result.groups.length > 0 ? countedLines(result, plan, view) : []),
    ...(published.length > 0
      ? ["", ...renderFacts(factsOf(result, published, view), { ...view, width: view.hintWidth })]
      : []),
    ...groupLines("Published before by a run of this plan", result.groups.filter(isSkipped), view),
    ...groupLines("Groups not published", result.groups.filter(isFailed), view),
    ...(recovered.length > 0 ? ["", ...recovered] : []),
    ...purgedFirst(result, view),
  ]);
}

function isSkipped({ kind }: RunGroup): boolean {
  return kind === "skipped";
}

function isFailed({ kind }: RunGroup): boolean {
  return kind !== "published" && kind !== "skipped";
}

function headline(result: RunResult, { paint }: View): string {
  const run = `run ${printable(result.runId)}`;
  const time = formatDuration(result.durationMs);
  switch (result.kind) {
    case "published":
      return paint.good(`Published ${run} in ${time}`);
    case "partly_published":
      return paint.warn(`Published a part of ${run} in ${time}`);
    case "nothing_to_do":
      return "Nothing to do: the plan has no file groups";
    case "rolled_back":
      return paint.bad(`Rolled back ${run}: nothing was published`);
    case "cancelled":
      return paint.warn(`Cancelled ${run}: nothing was published`);
    case "unknown":
      return paint.bad(`The outcome of ${run} is not known`);
    case "refused":
      return paint.bad("Refused: nothing was executed");
    default:
      return assertNever(result.kind);
  }
}

function countedLines({ stats }: RunResult, { stats: planned }: PlanSummary, view: View): readonly string[] {
  const rows = [
    [
      "files",
      formatCount(stats.beforeFileCount),
      `~${formatCount(planned.afterFileCount)}`,
      formatCount(stats.afterFileCount),
    ],
    [
      "size",
      formatSize(stats.beforeTotalBytes),
      `~${formatSize(planned.afterTotalBytes)}`,
      formatSize(stats.afterTotalBytes),
    ],
  ];
  return ["", ...renderTable({ head: ["", ">before", ">estimated", ">counted after"], rows }, view)];
}

function factsOf(
  result: RunResult,
  published: readonly RunGroup[],
  { next }: RunView,
): readonly (readonly [string, string])[] {
  const outputs = published.flatMap((group) => group.outputs);
  const inputs = published.reduce((sum, group) => sum + group.inputs, 0);
  const inputBytes = published.reduce((sum, group) => sum + group.inputBytes, 0);
  const outputBytes = outputs.reduce((sum, output) => sum + output.sizeBytes, 0);
  const before = result.groups.filter(isSkipped).length;
  const earlier = before === 0 ? "" : `, ${formatCount(before)} published before`;
  return [
    [
      "groups",
      `${formatCount(published.length)} of ${formatCount(result.groups.length)} published${earlier}`,
    ],
    [
      "rewritten",
      `${countOf(inputs, "file")}, ${formatSize(inputBytes)} → ${countOf(outputs.length, "file")}, ${formatSize(outputBytes)}`,
    ],
    ["validated", `${countOf(result.validation.rowsCompared, "row")} compared with the originals, in order`],
    [
      "rows twice",
      `for at most ${formatDuration(result.duplicateWindowMs)}, in old and new files of a group`,
    ],
    ["time", timesOf(result)],
    ["undo", `the originals are kept: ${next.undo}`],
  ];
}

function timesOf({ phases }: RunResult): string {
  const times = PHASES.filter((phase) => phases[phase] > 0);
  return times.map((phase) => `${phase} ${formatDuration(phases[phase])}`).join(", ") || "under 1 ms";
}

/** Groups under a title that counts them; those of one kind and reason together. */
function groupLines(title: string, groups: readonly RunGroup[], view: View): readonly string[] {
  if (groups.length === 0) return [];
  const alike = new Map<string, RunGroup[]>();
  for (const group of groups) {
    const key = JSON.stringify([group.kind, reasonOf(group)]);
    alike.set(key, [...(alike.get(key) ?? []), group]);
  }
  const shown = [...alike.values()].slice(0, MOST_REASONS);
  const more = groups.length - shown.reduce((sum, groups) => sum + groups.length, 0);
  return [
    ...heading(`${title}: ${formatCount(groups.length)}`, view),
    ...shown.flatMap((groups) => alikeLines(groups, view)),
    ...(more > 0 ? [`  … and ${countOf(more, "more group")} (all: --json)`] : []),
  ];
}

/** Groups with one reason share its lines; a few of their partitions are named. */
function alikeLines(groups: readonly RunGroup[], { width }: View): readonly string[] {
  const [group] = groups;
  if (group === undefined) return [];
  const names = [...new Set(groups.map(({ partition }) => partitionName(partition)))];
  const more = names.length > MOST_NAMES ? ", …" : "";
  const named = `${names.slice(0, MOST_NAMES).join(", ")}${more}`;
  const who = groups.length === 1 ? named : `${countOf(groups.length, "group")} (${named})`;
  const files = countOf(
    groups.reduce((sum, { inputs }) => sum + inputs, 0),
    "file",
  );
  const certain = group.kind === "unknown" ? "" : `, ${files} as before`;
  const reason = printable(reasonOf(group));
  const [outcome, below] = isSkipped(group)
    ? [reason, ""]
    : [`${explainOutcome(group.kind)}${certain}`, reason];
  return [
    ...wrap(`${who}: ${outcome}`, width - 2).map((line) => `  ${line}`),
    ...(below === "" ? [] : wrap(below, width - 4).map((line) => `    ${line}`)),
  ];
}

/** Of a cancelled group only that it was cancelled: how its engine ended is no reason. */
function reasonOf({ kind, reason }: RunGroup): string {
  return kind === "cancelled" ? "" : (reason ?? "");
}

/** The daemon gives a run the reason of its first group without success. */
function becauseOf({ reason, groups }: RunResult): string {
  if (reason === undefined) return "";
  const cancelled = groups.some((group) => group.kind === "cancelled" && group.reason === reason);
  return cancelled ? ": the run was cancelled" : `: ${reason}`;
}

/** Runs that lost their originals to this one's retention. */
function purgedFirst({ purged }: RunResult, view: View): readonly string[] {
  if (purged.length === 0) return [];
  const title = `Purged first: ${originalsOf(purged)}; their undo has ended`;
  return ["", ...wrap(title, view.width).map((line) => view.paint.bold(line)), ...purgedLines(purged, view)];
}

/** What stands between a run and success; null where nothing does. */
export function problemOfRun(result: RunResult, next: RunSteps): Problem | null {
  const failed = countOf(result.groups.filter(isFailed).length, "group");
  const because = becauseOf(result);
  switch (result.kind) {
    case "published":
    case "nothing_to_do":
      return null;
    case "partly_published":
      return problem(
        `${failed} not published${because}`,
        "their files stay as they were",
        `${next.again} goes on with what was not published`,
      );
    case "rolled_back":
      return problem(
        `nothing was published${because}`,
        "all files stay as they were",
        `once the cause is gone, ${next.again} tries again`,
      );
    case "cancelled":
      return problem("the run was cancelled", "all files stay as they were", `${next.again} begins again`);
    case "unknown":
      return problem(
        `the outcome is not known${because}`,
        "nothing was deleted",
        `${next.recover} finishes or rolls back the run`,
      );
    case "refused":
      return problem(
        result.reason ?? "the plan was refused",
        "nothing was changed",
        result.recovered.some(isQuarantined)
          ? `deal with the groups that were left alone, as told above; ${next.plan} shows what can be done meanwhile`
          : `${next.plan} makes a new plan`,
      );
    default:
      return assertNever(result.kind);
  }
}

function problem(message: string, notDone: string, hint: string): Problem {
  return { message, notDone, hint };
}
