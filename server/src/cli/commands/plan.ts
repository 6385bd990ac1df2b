import { TampError } from "../../errors.ts";
import type { PlanDocument } from "../../protocol.ts";
import {
  type CommandCall,
  filterOf,
  nextSteps,
  type OpenedDataset,
  printJson,
  settledStats,
  tellLine,
  tellWarnings,
  viewOf,
  withDataset,
} from "../call.ts";
import { checkEngine } from "../flags.ts";
import { EXIT_FINE, EXIT_PROBLEM, tellProblem } from "../problem.ts";
import { renderPlan } from "../render-plan.ts";
import { printable, quote } from "../text.ts";
import { UsageError } from "../usage-error.ts";

/** The dry run: what compaction would do and why; changes nothing. */
export async function plan(call: CommandCall): Promise<number> {
  checkEngine(call.flags);
  const [directory = ""] = call.args;
  return withDataset(call, directory, async (opened) => {
    await checkOut(call, opened.dataset);
    tellWarnings(call.io, opened.summary.warnings);
    const document = await makePlan(call, opened);
    if (call.flags.json !== true) call.io.out(renderPlan(document, viewOf(call)));
    await writePlan(call, document);
    // After the file, because its failure is the one JSON object then.
    if (call.flags.json === true) printJson(call.io, document);
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
    tellProblem({ message, notDone: "no plan was made and no file was rewritten", hint }, io);
  }
  return EXIT_PROBLEM;
}

async function writePlan({ io, flags }: CommandCall, document: PlanDocument): Promise<void> {
  if (flags.out === undefined) return;
  if (document.kind === "refused") {
    tellLine(io, `${printable(flags.out)} was not written: the plan was refused`);
    return;
  }
  const path = io.resolvePath(flags.out);
  await io.createFile(path, `${JSON.stringify(document, null, 2)}\n`).catch((error: unknown) => {
    throw notWritten(path, error);
  });
  tellLine(io, `Plan written: tamp execute ${quote(flags.out)} carries it out`);
}

const CAUSES: ReadonlyMap<string, readonly [cause: string, hint: string]> = new Map([
  ["EEXIST", ["there is something with that name already", "give --out another name, or remove it first"]],
  ["ENOENT", ["its folder is not there", "make the folder first, or give --out another"]],
  ["ENOTDIR", ["a part of its path is not a folder", "give --out a file in a folder"]],
  ["EACCES", ["its folder may not be written to", "give --out a file in a folder that you may write to"]],
  ["EROFS", ["its file system is read-only", "give --out a file in a folder that you may write to"]],
  ["ENOSPC", ["its disk is full", "free space, or give --out a file on another disk"]],
]);

function notWritten(path: string, error: unknown): TampError {
  const text = error instanceof Error ? error.message : String(error);
  const [cause, hint] = CAUSES.get(codeOf(error)) ?? [text, "give --out another file"];
  return new TampError("IoError", `${path} cannot be written: ${cause}`, {
    hint,
    notDone: "the plan was not written, and nothing was changed",
  });
}

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "";
}

/** What Tamp watches and what it keeps beside it hold no plans: a run, or recovery, would meet them. */
async function checkOut({ io, flags }: CommandCall, dataset: string): Promise<void> {
  if (flags.out === undefined) return;
  const given = io.resolvePath(flags.out);
  const path = await io.realPath(given);
  const roots = [dataset, await io.realPath(dataset)];
  if (flags.workspace !== undefined) roots.push(await io.realPath(io.resolvePath(flags.workspace)));
  const inside = roots.some((root) => [given, path].some((file) => file.startsWith(`${root}/`)));
  const inWorkspace = [given, path].some((file) => /(?:^|\/)\.[^/]*\.tamp\//.test(file));
  if (!inside && !inWorkspace) return;
  throw new UsageError(
    `--out ${given} lies inside ${inWorkspace ? "a Tamp workspace" : "the dataset or its workspace"}`,
    "give --out a file somewhere else",
  );
}
