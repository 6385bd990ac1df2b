import { assertNever, formatSize } from "@tamp/core";
import { TampError } from "../../errors.ts";
import type { UndoResult, WireRun } from "../../protocol.ts";
import {
  agrees,
  type CommandCall,
  nextSteps,
  type OpenedDataset,
  printJson,
  requireConsent,
  viewOf,
  withRunsOf,
} from "../call.ts";
import { EXIT_FINE, EXIT_INTERRUPTED, EXIT_PROBLEM, tellProblem } from "../problem.ts";
import { paragraph, toText } from "../render.ts";
import { recoveredFirst, rowsTwice } from "../render-history.ts";
import { countOf, formatMoment, printable } from "../text.ts";

/** Gives back the originals of a run. */
export async function undo(call: CommandCall): Promise<number> {
  requireConsent(call, "undo");
  const { io, flags } = call;
  const [directory = ""] = call.args;
  return withRunsOf(call, directory, async (opened) => {
    const runId = flags.run === undefined ? {} : { runId: flags.run };
    const target = flags.yes === true || flags.json === true ? runId : await chosenRun(call, opened);
    if (target === null) return EXIT_INTERRUPTED;
    const { client, dataset } = opened;
    const result = await client.request("tamp/undo", { dataset, ...target }, { signal: io.signal });
    if (flags.json === true) printJson(io, result);
    else tellUndo(call, dataset, result);
    return result.kind === "refused" ? EXIT_PROBLEM : EXIT_FINE;
  });
}

/** States in which a run has groups that can be undone. */
const STANDING: readonly WireRun["state"][] = ["published", "partly_published"];

/** The run that the question was about, so that no other is undone; null where the answer was no. */
async function chosenRun(
  call: CommandCall,
  { client, dataset }: OpenedDataset,
): Promise<{ readonly runId?: string } | null> {
  const { io, flags } = call;
  const { runs } = await client.request("tamp/runs", { dataset }, { signal: io.signal });
  const run = runs.find(({ runId, state }) =>
    flags.run === undefined ? STANDING.includes(state) : runId === flags.run,
  );
  if (run === undefined && flags.run === undefined) return {};
  if (run === undefined) {
    throw new TampError("RunNotFound", `there is no run ${flags.run}`, {
      hint: "`tamp runs DIR` lists the runs",
      notDone: "nothing was undone",
    });
  }
  io.out(changesOf(run));
  if (await agrees(call, "Undo this run?")) return { runId: run.runId };
  io.err("Not undone: nothing was changed.\n");
  return null;
}

function changesOf(run: WireRun): string {
  const outputs = `${countOf(run.outputFiles, "output")} (${formatSize(run.outputBytes)})`;
  const inputs = `${countOf(run.inputFiles, "original")} (${formatSize(run.inputBytes)})`;
  return [
    `Run ${printable(run.runId)} of ${formatMoment(run.startedAt)} UTC`,
    `  an undo restores ${inputs} and withdraws ${outputs}\n`,
  ].join("\n");
}

function tellUndo(call: CommandCall, dataset: string, result: UndoResult): void {
  const { io, flags } = call;
  const run = `run ${printable(result.runId ?? "")}`;
  const first = paragraph(recoveredFirst(result.recovered, viewOf(call), nextSteps(dataset, flags)));
  if (first.length > 0) io.out(toText(first));
  switch (result.kind) {
    case "undone": {
      const files = `${countOf(result.restoredFiles, "original")} restored, ${countOf(result.withdrawnFiles, "output")} withdrawn`;
      const twice = rowsTwice(result.duplicateWindowMs);
      io.out(toText([`Undone: ${run}`, `  ${files}`, ...(twice === "" ? [] : [`  ${twice}`])]));
      return;
    }
    case "nothing_to_do":
      io.out(
        result.runId === null
          ? "Nothing to undo: no published run.\n"
          : `Nothing to undo: ${run} is not published.\n`,
      );
      return;
    case "refused": {
      const message = `${run} cannot be undone${result.reason === undefined ? "" : `: ${result.reason}`}`;
      const runs = nextSteps(dataset, flags).runs;
      tellProblem({ message, notDone: "nothing was undone", hint: `${runs} lists the runs` }, io);
      return;
    }
    default:
      assertNever(result.kind);
  }
}
