import type { ExecuteParams, PlanDocument, RunResult } from "../protocol.ts";
import {
  agrees,
  type CommandCall,
  nextSteps,
  type OpenedDataset,
  printJson,
  tellLine,
  viewOf,
} from "./call.ts";
import { commandLine, type FlagName, POLICY_FLAGS } from "./flags.ts";
import { EXIT_FINE, EXIT_INTERRUPTED, EXIT_PROBLEM, tellProblem } from "./problem.ts";
import { createProgress } from "./progress.ts";
import { outputFileCount, renderPlan, workOf } from "./render-plan.ts";
import { problemOfRun, renderRun } from "./render-run.ts";
import { countOf } from "./text.ts";

/** Shows the plan, asks where it must, runs it, and shows what was counted. */
export async function showAndCarryOut(
  call: CommandCall,
  opened: OpenedDataset,
  document: PlanDocument,
  source: Pick<ExecuteParams, "planId" | "plan">,
): Promise<number> {
  const { io, flags } = call;
  const view = viewOf(call);
  io.out(renderPlan(document, view, source.plan === undefined ? "" : " (as it was written)"));
  if (document.kind !== "refused" && document.groups.length === 0) return EXIT_FINE;
  const question = `Rewrite ${workOf(document)} to ${countOf(outputFileCount(document.groups), "file")}?`;
  if (!(await agrees(call, question))) {
    const more = opened.recovered.length === 0 ? "" : " more";
    tellLine(io, `Not executed: nothing${more} was changed.`);
    return EXIT_INTERRUPTED;
  }
  const result = await carryOut(call, opened, source);
  const next = { ...nextSteps(result.dataset, flags), again: againOf(call, result.dataset, source) };
  const told = { ...result, recovered: untold(opened, result) };
  io.out(renderRun(told, document, { ...view, next }));
  const problem = problemOfRun(result, next);
  if (problem !== null) tellProblem(problem, io);
  return exitOfRun(result, io.signal.aborted);
}

const AGAIN = [
  "partition",
  ...POLICY_FLAGS,
  "engine",
  "memoryLimit",
  "overlap",
  "yes",
  "workspace",
] as const satisfies readonly FlagName[];

/** A plan from a file is executed again, where groups that were published are passed over; else one is made anew. */
function againOf(
  { args, flags }: CommandCall,
  dataset: string,
  { plan }: Pick<ExecuteParams, "plan">,
): string {
  return plan === undefined
    ? commandLine("compact", dataset, flags, AGAIN)
    : commandLine("execute", args, flags, AGAIN);
}

/** Runs the plan and prints its result for a machine: nothing is asked. */
export async function carryOutJson(
  call: CommandCall,
  opened: OpenedDataset,
  source: Pick<ExecuteParams, "planId" | "plan">,
): Promise<number> {
  const result = await carryOut(call, opened, source);
  printJson(call.io, { ...result, recovered: [...opened.recovered, ...untold(opened, result)] });
  return exitOfRun(result, call.io.signal.aborted);
}

/** A group that is quarantined is met again by the run. */
function untold({ recovered }: OpenedDataset, result: RunResult): RunResult["recovered"] {
  return result.recovered.filter(
    ({ runId, group, action }) =>
      !recovered.some((told) => told.runId === runId && told.group === group && told.action === action),
  );
}

async function carryOut(
  { io, flags }: CommandCall,
  { client, dataset }: OpenedDataset,
  source: Pick<ExecuteParams, "planId" | "plan">,
): Promise<RunResult> {
  const progress = createProgress(io, { quiet: flags.json === true });
  const onAbort = (): void => {
    progress.clear();
    tellLine(io, "Cancelling: the group under way is rolled back or finished first");
  };
  io.signal.addEventListener("abort", onAbort, { once: true });
  const params: ExecuteParams = {
    dataset,
    ...source,
    ...(flags.memoryLimit === undefined ? {} : { memoryLimit: flags.memoryLimit }),
    ...(flags.overlap === undefined ? {} : { overlapMs: flags.overlap }),
  };
  try {
    return await client.request("tamp/execute", params, {
      signal: io.signal,
      onProgress: (value) => progress.update(value),
    });
  } finally {
    io.signal.removeEventListener("abort", onAbort);
    progress.stop();
  }
}

/** A run that was told to stop and stopped is interrupted; one whose outcome is not known is a problem first. */
export function exitOfRun({ kind }: RunResult, interrupted: boolean): number {
  if (kind === "published" || kind === "nothing_to_do") return EXIT_FINE;
  if (kind === "cancelled") return EXIT_INTERRUPTED;
  const stopped = kind === "partly_published" || kind === "rolled_back";
  return interrupted && stopped ? EXIT_INTERRUPTED : EXIT_PROBLEM;
}
