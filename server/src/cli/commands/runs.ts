import { formatSize } from "@tamp/core";
import type { WireRun } from "../../protocol.ts";
import { type CommandCall, printJson, viewOf, withDataset } from "../call.ts";
import { EXIT_FINE } from "../problem.ts";
import { renderTable, toText, type View } from "../render.ts";
import { formatCount, formatMoment, printable } from "../text.ts";
import { words } from "../words.ts";

export function runs(call: CommandCall): Promise<number> {
  const [directory = ""] = call.args;
  return withDataset(call, directory, async ({ client, dataset }) => {
    const found = await client.request("tamp/runs", { dataset }, { signal: call.io.signal });
    if (call.flags.json === true) printJson(call.io, found);
    else call.io.out(renderRuns(found.runs, viewOf(call)));
    return EXIT_FINE;
  });
}

/** Newest first, two lines a run: its id is long, and `--run` needs all of it. */
function renderRuns(found: readonly WireRun[], view: View): string {
  if (found.length === 0) return "No runs yet.\n";
  const rows = found.map((run) => [
    formatMoment(run.startedAt),
    words(run.state),
    formatCount(run.groups),
    `${formatCount(run.inputFiles)} → ${formatCount(run.outputFiles)}`,
    `${formatSize(run.inputBytes)} → ${formatSize(run.outputBytes)}`,
  ]);
  const head = ["started (UTC)", "state", ">groups", ">files", ">size"];
  const [title = "", ...lines] = renderTable({ head, rows }, view);
  return toText([
    title,
    ...lines.flatMap((line, index) => [line, ...detailsOf(found[index] as WireRun, view)]),
  ]);
}

function detailsOf({ runId, retainedBytes }: WireRun, { paint }: View): readonly string[] {
  const kept = retainedBytes > 0 ? `, originals kept: ${formatSize(retainedBytes)}` : "";
  return [paint.dim(`    run ${printable(runId)}${kept}`)];
}
