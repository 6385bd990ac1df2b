import { type CommandCall, printJson, settledStats, viewOf, withDataset } from "../call.ts";
import { EXIT_FINE } from "../problem.ts";
import { renderStats } from "../render-stats.ts";

export function stats(call: CommandCall): Promise<number> {
  const [directory = ""] = call.args;
  return withDataset(call, directory, async (opened) => {
    const found = await settledStats(call, opened);
    if (call.flags.json === true) printJson(call.io, found);
    else call.io.out(renderStats(found, viewOf(call)));
    return EXIT_FINE;
  });
}
