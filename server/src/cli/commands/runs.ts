import { assertNever, formatSize } from "@tamp/core";
import type { WireRun } from "../../protocol.ts";
import { type CommandCall, nextSteps, printJson, viewOf, withRunsOf } from "../call.ts";
import { EXIT_FINE } from "../problem.ts";
import { renderTable, toText, type View } from "../render.ts";
import { quarantineStep, rowsTwice } from "../render-history.ts";
import type { NextSteps } from "../render-run.ts";
import { countOf, formatCount, formatMoment, printable, wrap } from "../text.ts";
import { words } from "../words.ts";

export function runs(call: CommandCall): Promise<number> {
  const [directory = ""] = call.args;
  return withRunsOf(call, directory, async ({ client, dataset }) => {
    const found = await client.request("tamp/runs", { dataset }, { signal: call.io.signal });
    if (call.flags.json === true) printJson(call.io, found);
    else call.io.out(renderRuns(found.runs, viewOf(call), nextSteps(dataset, call.flags)));
    return EXIT_FINE;
  });
}

/** Newest first; under each line its id, since `--run` needs all of it, and what may be said of it. */
function renderRuns(found: readonly WireRun[], view: View, next: NextSteps): string {
  if (found.length === 0) return "No runs yet.\n";
  const rows = found.map((run) => [
    startOf(run),
    words(run.state),
    formatCount(run.groups),
    `${formatCount(run.inputFiles)} → ${formatCount(run.outputFiles)}`,
    `${formatSize(run.inputBytes)} → ${formatSize(run.outputBytes)}`,
  ]);
  const head = ["started (UTC)", "state", ">groups", ">files", ">size"];
  const [title = "", ...lines] = renderTable({ head, rows }, view);
  return toText([
    title,
    ...lines.flatMap((line, index) => [line, ...detailsOf(found[index] as WireRun, view, next)]),
    ...retainedLines(found, view, next),
  ]);
}

/** A run whose journal is damaged has no start but the one in its id. */
function startOf({ runId, startedAt }: WireRun): string {
  if (startedAt !== "") return formatMoment(startedAt);
  const parts = /^(\d{4})(\d\d)(\d\d)t(\d\d)(\d\d)(\d\d)/.exec(runId);
  if (parts === null) return "not known";
  const [, year, month, day, hour, minute, second] = parts;
  return `${year}-${month}-${day} ${hour}:${minute}:${second}`;
}

function detailsOf(run: WireRun, { paint, width, hintWidth }: View, next: NextSteps): readonly string[] {
  const since = run.stateSince === "" ? "" : `${words(run.state)} since ${formatMoment(run.stateSince)}`;
  const texts = [
    `run ${printable(run.runId)}`,
    [since, rowsTwice(run.duplicateWindowMs)].filter((text) => text !== "").join("; "),
    folderOf(run),
  ];
  const broken = (text: string, most: number): readonly string[] => (text === "" ? [] : wrap(text, most - 4));
  const lines = [
    ...texts.flatMap((text) => broken(text, width)),
    ...broken(remarkOf(run, next), hintWidth),
    ...broken(printable(run.reason ?? ""), width),
  ];
  return lines.map((line) => paint.dim(`    ${line}`));
}

/** Named too where a person may have to move it away. */
function folderOf({ state, retainedBytes, folder }: WireRun): string {
  if (retainedBytes > 0) return `originals kept: ${formatSize(retainedBytes)} in ${printable(folder)}`;
  return state === "interrupted" || state === "quarantined" ? `its folder: ${printable(folder)}` : "";
}

function remarkOf({ state }: WireRun, next: NextSteps): string {
  switch (state) {
    case "running":
      return "under way: its groups are published one by one";
    case "published":
      return "";
    case "partly_published":
      return "some of its groups were not published";
    case "undone":
      return "the originals stand";
    case "purged":
      return "its originals were deleted: it cannot be undone";
    case "rolled_back":
      return "nothing was published";
    case "interrupted":
      return `${next.recover} finishes it or takes it back`;
    case "quarantined":
      return `left alone: ${quarantineStep(next)}`;
    default:
      return assertNever(state);
  }
}

function retainedLines(
  found: readonly WireRun[],
  { hintWidth }: View,
  { purge }: NextSteps,
): readonly string[] {
  const keeping = found.filter((run) => run.retainedBytes > 0);
  if (keeping.length === 0) return [];
  const bytes = keeping.reduce((sum, run) => sum + run.retainedBytes, 0);
  const text = `Originals kept for undo: ${formatSize(bytes)} of ${countOf(keeping.length, "run")}; ${purge} deletes those past their retention`;
  return ["", ...wrap(text, hintWidth)];
}
