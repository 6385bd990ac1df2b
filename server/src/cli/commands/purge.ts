import { formatSize } from "@tamp/core";
import type { PurgeParams, PurgeResult } from "../../protocol.ts";
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
import { type CliFlags, commandLine, type FlagName } from "../flags.ts";
import { EXIT_FINE, EXIT_INTERRUPTED, EXIT_PROBLEM, tellProblem } from "../problem.ts";
import { paragraph, toText, type View } from "../render.ts";
import { lostLines, lostRowsOf, originalsOf, purgedLines, recoveredFirst } from "../render-history.ts";
import { countOf, printable, wrap } from "../text.ts";
import { UsageError } from "../usage-error.ts";

/** Deletes originals that are kept for undo: shows which, asks, and tells what is left. */
export async function purge(call: CommandCall): Promise<number> {
  const { io, flags } = call;
  if (flags.run !== undefined && flags.all === true) {
    throw new UsageError("--run and --all exclude each other", "give the one or the other");
  }
  if (flags.dryRun !== true) requireConsent(call, "purge");
  const [directory = ""] = call.args;
  return withRunsOf(call, directory, async (opened) => {
    const asked = { ...(flags.run === undefined ? {} : { runId: flags.run }), ...(flags.all ? ALL : {}) };
    if (flags.json !== true) return showAndPurge(call, opened, asked);
    const result = await send(call, opened, { ...asked, dryRun: flags.dryRun === true });
    printJson(io, result);
    return result.kind === "refused" ? EXIT_PROBLEM : EXIT_FINE;
  });
}

const ALL = { all: true } as const;

type Asked = Omit<PurgeParams, "dataset">;

function send({ io }: CommandCall, { client, dataset }: OpenedDataset, asked: Asked): Promise<PurgeResult> {
  return client.request("tamp/purge", { dataset, ...asked }, { signal: io.signal });
}

async function showAndPurge(call: CommandCall, opened: OpenedDataset, asked: Asked): Promise<number> {
  const { io, flags } = call;
  const preview = await send(call, opened, { ...asked, dryRun: true });
  if (preview.kind === "refused") return refuse(call, opened, preview);
  io.out(renderPreview(preview, call, opened.dataset));
  if (preview.runs.length === 0) return EXIT_FINE;
  if (flags.dryRun === true) {
    io.err("Dry run: nothing was deleted.\n");
    return EXIT_FINE;
  }
  if (!(await agrees(call, questionOf(preview)))) {
    io.err("Not purged: nothing was deleted.\n");
    return EXIT_INTERRUPTED;
  }
  // The answer was about these runs: one that ended meanwhile stays undoable.
  if (flags.yes !== true && !isSame(preview, await send(call, opened, { ...asked, dryRun: true }))) {
    const message = "other runs than those shown would be purged now";
    const hint = `${commandLine("purge", opened.dataset, flags, AGAIN)} shows them`;
    tellProblem({ message, notDone: "nothing was deleted", hint }, io);
    return EXIT_PROBLEM;
  }
  const result = await send(call, opened, asked);
  if (result.kind === "refused") return refuse(call, opened, result);
  io.out(renderResult(result, call, opened.dataset));
  return EXIT_FINE;
}

const AGAIN = ["run", "all", "retention", "maxRetained", "workspace"] as const satisfies readonly FlagName[];

function questionOf({ runs }: PurgeResult): string {
  const lost = lostRowsOf(runs);
  if (lost === 0) return `Delete ${originalsOf(runs)} for good?`;
  return `Delete ${originalsOf(runs)}? ${countOf(lost, "row")} ${existsOf(lost)} nowhere else; delete them for good?`;
}

function existsOf(rows: number): string {
  return rows === 1 ? "exists" : "exist";
}

/** Nor may rows be lost that the answer was not about. */
function isSame(a: PurgeResult, b: PurgeResult): boolean {
  const told = ({ runs }: PurgeResult): string =>
    runs.map(({ runId, lostRows }) => `${runId} ${lostRows}`).join();
  return told(a) === told(b);
}

function refuse(call: CommandCall, { dataset }: OpenedDataset, { reason, kept }: PurgeResult): number {
  const { io, flags } = call;
  // One reason is the problem's own.
  if (kept.length > 1) io.out(toText(keptLines(kept, viewOf(call)).slice(0, -1)));
  const { runs, purge } = nextSteps(dataset, flags);
  const byName = `${purge} --run ID purges one run, whatever became of its outputs`;
  const hint = flags.run === undefined ? byName : `${runs} lists the runs`;
  tellProblem({ message: reason ?? "the purge was refused", notDone: "nothing was deleted", hint }, io);
  return EXIT_PROBLEM;
}

function renderPreview(preview: PurgeResult, call: CommandCall, dataset: string): string {
  const view = viewOf(call);
  const { runs } = preview;
  const rest = [...keptLines(preview.kept, view), ...retainedLine(preview)];
  const first = paragraph(recoveredFirst(preview.recovered, view, nextSteps(dataset, call.flags)));
  if (runs.length === 0) return toText([...first, nothingTo(call.flags), ...rest]);
  const these = runs.length === 1 ? "this run" : "these runs";
  const warning = `After that ${these} cannot be undone: nothing brings the originals back.`;
  return toText([
    ...first,
    view.paint.bold(`Purge of ${printable(dataset)}`),
    `Deletes ${originalsOf(runs)}.`,
    ...wrap(warning, view.width).map((line) => view.paint.warn(line)),
    "",
    ...paragraph(lostLines(runs, lostText(lostRowsOf(runs)), view)),
    ...purgedLines(runs, view),
    "",
    ...rest,
  ]);
}

function lostText(rows: number): string {
  const gone = "these outputs, which held them, are gone or were changed by somebody else";
  return `${existsOf(rows)} nowhere else and would be lost: ${gone}.`;
}

function nothingTo({ run, all, maxRetained }: CliFlags): string {
  if (run !== undefined) return `Nothing to purge: run ${printable(run)} keeps no originals.`;
  if (all === true) return "Nothing to purge: no run keeps originals.";
  const newest = maxRetained === undefined ? "" : ", and the newest run is never purged for its size";
  return `Nothing to purge: no run is past its retention${newest}.`;
}

function renderResult(result: PurgeResult, call: CommandCall, dataset: string): string {
  const view = viewOf(call);
  const head =
    result.kind === "nothing_to_do"
      ? "Nothing was purged."
      : `Purged: ${countOf(result.runs.length, "run")}, ${countOf(result.purgedFiles, "original")} deleted, ${formatSize(result.purgedBytes)} freed`;
  return toText([
    "",
    ...paragraph(recoveredFirst(result.recovered, view, nextSteps(dataset, call.flags))),
    view.paint.good(head),
    ...lostLines(result.runs, "went with them that exist nowhere else; these outputs had held them:", view),
    ...keptLines(result.kept, view),
    ...retainedLine(result),
  ]);
}

const MOST_KEPT = 10;

function keptLines(kept: PurgeResult["kept"], view: View): readonly string[] {
  if (kept.length === 0) return [];
  const more = kept.length - MOST_KEPT;
  return [
    view.paint.bold(`Kept: ${countOf(kept.length, "run")}`),
    ...kept
      .slice(0, MOST_KEPT)
      .flatMap(({ runId, reason }) => [
        `  run ${printable(runId)}`,
        ...wrap(printable(reason), view.width - 4).map((line) => `    ${line}`),
      ]),
    ...(more > 0 ? [`  … and ${countOf(more, "more run")} (all: --json)`] : []),
    "",
  ];
}

/** In a dry run what would be left. */
function retainedLine({ retainedBytes, dryRun, runs }: PurgeResult): readonly string[] {
  const after = dryRun && runs.length > 0 ? " after that" : "";
  return [`Originals kept for undo${after}: ${retainedBytes > 0 ? formatSize(retainedBytes) : "none"}`];
}
