import type { RecoverResult } from "../../protocol.ts";
import { type CommandCall, nextSteps, printJson, viewOf, withRunsOf } from "../call.ts";
import { EXIT_FINE, EXIT_PROBLEM, tellProblem } from "../problem.ts";
import { toText, type View } from "../render.ts";
import { isQuarantined, quarantineStep, recoveredLines } from "../render-history.ts";
import { countOf } from "../text.ts";

/** Finishes or rolls back what an interrupted run left. */
export function recover(call: CommandCall): Promise<number> {
  const { io, flags } = call;
  const [directory = ""] = call.args;
  return withRunsOf(call, directory, async ({ client, dataset }) => {
    const result = await client.request("tamp/recover", { dataset }, { signal: io.signal });
    if (flags.json === true) printJson(io, result);
    else io.out(renderRecovery(result, viewOf(call)));
    if (result.kind !== "quarantined") return EXIT_FINE;
    if (flags.json !== true) {
      const left = result.groups.filter(isQuarantined).length;
      tellProblem(
        {
          message: `${countOf(left, "group")} of an interrupted run could not be judged`,
          notDone: "their files and their journal were left as they are",
          hint: quarantineStep(nextSteps(dataset, flags)),
        },
        io,
      );
    }
    return EXIT_PROBLEM;
  });
}

function renderRecovery({ groups }: RecoverResult, view: View): string {
  if (groups.length === 0) return "Nothing to recover: no run was interrupted.\n";
  return toText(recoveredLines(groups, view));
}
