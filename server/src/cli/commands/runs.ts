import { assertNever, formatSize } from "@tamp/core";
import type { WireRun } from "../../protocol.ts";
import { type CommandCall, nextSteps, printJson, viewOf, withDataset } from "../call.ts";
import { EXIT_FINE } from "../problem.ts";
import { renderTable, toText, type View } from "../render.ts";
import { formatCount, formatMoment, printable, wrap } from "../text.ts";
import { words } from "../words.ts";

export function runs(call: CommandCall): Promise<number> {
  const [directory = ""] = call.args;
  return withDataset(call, directory, async ({ client, dataset }) => {
    const found = await client.request("tamp/runs", { dataset }, { signal: call.io.signal });
    if (call.flags.json === true) printJson(call.io, found);
    else call.io.out(renderRuns(found.runs, viewOf(call), nextSteps(dataset, call.flags).recover));
    return EXIT_FINE;
  });
}

/** Newest first, two lines a run: its id is long, and `--run` needs all of it. */
function renderRuns(found: readonly WireRun[], view: View, recover: string): string {
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
    ...lines.flatMap((line, index) => [line, ...detailsOf(found[index] as WireRun, view, recover)]),
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

function detailsOf(run: WireRun, { paint, width }: View, recover: string): readonly string[] {
  const kept = run.retainedBytes > 0 ? `, originals kept: ${formatSize(run.retainedBytes)}` : "";
  const remark = remarkOf(run, recover);
  const lines = [`run ${printable(run.runId)}${kept}`, ...(remark === "" ? [] : wrap(remark, width - 4))];
  return lines.map((line) => paint.dim(`    ${line}`));
}

function remarkOf({ state }: WireRun, recover: string): string {
  switch (state) {
    case "published":
      return "";
    case "partly_published":
      return "some of its groups were not published";
    case "undone":
      return "the originals stand";
    case "rolled_back":
      return "nothing was published";
    case "interrupted":
    case "quarantined":
      return `see ${recover}`;
    default:
      return assertNever(state);
  }
}
