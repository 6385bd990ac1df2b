import { formatSize } from "@tamp/core";
import type { WirePurgedRun, WireRecovered } from "../protocol.ts";
import { renderTable, type View } from "./render.ts";
import { countOf, formatCount, formatDuration, printable, shorten, wrap } from "./text.ts";
import { explainAction } from "./words.ts";

const MOST_RECOVERED = 10;
const MOST_RUNS = 20;
const MOST_LOST = 3;

/** Groups of interrupted runs and what became of each. */
export function recoveredLines(groups: readonly WireRecovered[], view: View): readonly string[] {
  const more = groups.length - MOST_RECOVERED;
  return [
    ...groups.slice(0, MOST_RECOVERED).flatMap((group) => oneRecovered(group, view)),
    ...(more > 0 ? [`… and ${countOf(more, "more group")} (all: --json)`] : []),
  ];
}

function oneRecovered(group: WireRecovered, { paint, width }: View): readonly string[] {
  const text = explainAction(group.action);
  const twice = rowsTwice(group.duplicateWindowMs);
  return [
    `Run ${printable(group.runId)}, group ${formatCount(group.group)}`,
    ...wrap(text, width - 2).map((line) => `  ${isQuarantined(group) ? paint.bad(line) : line}`),
    ...wrap(printable(group.detail), width - 2).map((line) => `  ${paint.dim(line)}`),
    ...(twice === "" ? [] : [`  ${paint.dim(twice)}`]),
  ];
}

/** Leftovers that were dealt with, or left alone, before the work that was asked for began. */
export function recoveredFirst(
  groups: readonly WireRecovered[],
  view: View,
  next: QuarantineSteps,
): readonly string[] {
  if (groups.length === 0) return [];
  const lines = recoveredLines(groups, { ...view, width: view.width - 2 });
  const left = groups.filter(isQuarantined).length;
  const title =
    left === groups.length
      ? "Not recovered: an interrupted run was left alone"
      : "Recovered first, from an interrupted run";
  const step = left === 0 ? [] : wrap(`next step: ${quarantineStep(next)}`, view.hintWidth - 2);
  return [view.paint.bold(title), ...[...lines, ...step].map((line) => `  ${line}`)];
}

export function isQuarantined({ action }: WireRecovered): boolean {
  return action === "quarantine";
}

/** Command lines that help with a group that recovery leaves alone. */
export interface QuarantineSteps {
  readonly recover: string;
  readonly runs: string;
}

export function quarantineStep({ recover, runs }: QuarantineSteps): string {
  return `bring back what the reason names, then run \`${recover}\` again; or, once you have checked the dataset yourself, move the run's folder away (\`${runs}\` names it), which gives up its undo`;
}

/** `rows stood twice for at most 52 ms`, in old and in new files; `""` where they never did. */
export function rowsTwice(duplicateWindowMs: number): string {
  if (duplicateWindowMs <= 0) return "";
  return `rows stood twice for at most ${formatDuration(duplicateWindowMs)}`;
}

/** Runs whose originals are deleted, as a table. */
export function purgedLines(runs: readonly WirePurgedRun[], view: View): readonly string[] {
  const rows = runs
    .slice(0, MOST_RUNS)
    .map(({ runId, files, bytes }) => [printable(runId), formatCount(files), formatSize(bytes)]);
  const more = runs.length - rows.length;
  return [
    ...renderTable({ head: ["run", ">originals", ">size"], rows }, view),
    ...(more > 0 ? [`  … and ${countOf(more, "more run")} (all: --json)`] : []),
  ];
}

/** `12 originals (300 MiB) of 2 runs` */
export function originalsOf(runs: readonly WirePurgedRun[]): string {
  const files = runs.reduce((sum, run) => sum + run.files, 0);
  const bytes = runs.reduce((sum, run) => sum + run.bytes, 0);
  return `${countOf(files, "original")} (${formatSize(bytes)}) of ${countOf(runs.length, "run")}`;
}

/** Rows of which the originals to be deleted are the only copy that is known. */
export function lostRowsOf(runs: readonly WirePurgedRun[]): number {
  return runs.reduce((sum, run) => sum + run.lostRows, 0);
}

/** Says loudly which rows a purge takes from the world, with the outputs that should have held them. */
export function lostLines(runs: readonly WirePurgedRun[], said: string, view: View): readonly string[] {
  const rows = lostRowsOf(runs);
  if (rows === 0) return [];
  const paths = runs.flatMap((run) => run.lostOutputs);
  const more = paths.length - MOST_LOST;
  return [
    ...wrap(`WARNING: ${countOf(rows, "row")} ${said}`, view.width),
    ...paths.slice(0, MOST_LOST).map((path) => `  ${shorten(printable(path), view.width - 2)}`),
    ...(more > 0 ? [`  … and ${countOf(more, "more output")} (all: --json)`] : []),
  ].map((line) => view.paint.bad(line));
}
