import { TampError } from "../../errors.ts";
import { type CommandCall, printJson, viewOf, withRunsOf } from "../call.ts";
import { EXIT_FINE } from "../problem.ts";
import { renderDatasetHistory } from "../render-health-history.ts";

/** What became of a dataset over time. It is there although every file may be gone. */
export function history(call: CommandCall): Promise<number> {
  const { io, flags } = call;
  const [directory = ""] = call.args;
  return withRunsOf(call, directory, async ({ client, dataset, summary }) => {
    const sinceMs = flags.since === undefined ? {} : { sinceMs: Math.max(0, io.now() - flags.since) };
    const params = { dataset, ...sinceMs };
    const found = await client.request("tamp/dataset/history", params, { signal: io.signal });
    if (summary.state === "missing" && found.points.length + found.runs.length === 0) {
      const hint = "give the directory that holds the Parquet files";
      throw new TampError("DatasetNotFound", `${dataset} is not a directory, and has no history`, { hint });
    }
    if (flags.json === true) printJson(io, found);
    else io.out(renderDatasetHistory(found, viewOf(call)));
    return EXIT_FINE;
  });
}
