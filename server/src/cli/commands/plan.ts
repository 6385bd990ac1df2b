import type { PlanDocument } from "../../protocol.ts";
import {
  type CommandCall,
  filterOf,
  nextSteps,
  type OpenedDataset,
  printJson,
  settledStats,
  viewOf,
  withDataset,
} from "../call.ts";
import { checkEngine } from "../flags.ts";
import { EXIT_FINE, EXIT_PROBLEM, tellProblem } from "../problem.ts";
import { renderPlan } from "../render-plan.ts";
import { quote } from "../text.ts";

/** The dry run: what compaction would do and why; changes nothing. */
export async function plan(call: CommandCall): Promise<number> {
  checkEngine(call.flags);
  const [directory = ""] = call.args;
  return withDataset(call, directory, async (opened) => {
    const document = await makePlan(call, opened);
    if (call.flags.json === true) printJson(call.io, document);
    else call.io.out(renderPlan(document, viewOf(call)));
    await writePlan(call, document);
    if (document.kind === "refused") return refusePlan(call, document);
    if (call.flags.json !== true) call.io.err("Dry run: nothing was changed.\n");
    return EXIT_FINE;
  });
}

/** Plans once no file is still being written, as far as one wait helps. */
export async function makePlan(call: CommandCall, opened: OpenedDataset): Promise<PlanDocument> {
  const { client, dataset } = opened;
  const options = { signal: call.io.signal };
  await settledStats(call, opened);
  const params = { dataset, operation: "compact", sync: true, ...filterOf(call.flags) } as const;
  const { planId } = await client.request("tamp/plan", params, options);
  return client.request("tamp/plan/document", { planId }, options);
}

export function refusePlan({ io, flags }: CommandCall, { dataset, reason }: PlanDocument): number {
  if (flags.json !== true) {
    const message = reason ?? `nothing may be planned for ${dataset}`;
    const hint = `${nextSteps(dataset, flags).plan} after the cause is gone`;
    tellProblem({ message, notDone: "no plan was made and nothing was changed", hint }, io);
  }
  return EXIT_PROBLEM;
}

async function writePlan({ io, flags }: CommandCall, document: PlanDocument): Promise<void> {
  if (flags.out === undefined) return;
  if (document.kind === "refused") {
    io.err(`${flags.out} was not written: the plan was refused\n`);
    return;
  }
  await io.writeFile(io.resolvePath(flags.out), `${JSON.stringify(document, null, 2)}\n`);
  io.err(`Plan written: tamp execute ${quote(flags.out)} carries it out\n`);
}
