import type { PlanSummary, RunResult, UndoResult, WireRun } from "@tamp/server/protocol";
import { assertNever } from "./assert-never.ts";
import { countOf, formatCount, formatDuration, formatSize, nameOf, printable } from "./format.ts";
import { isShort, outputFileCount } from "./plan-text.ts";
import { recoveredDetails } from "./recovered-text.ts";

export interface Question {
  readonly message: string;
  readonly detail: string;
}

/** What is asked before a plan is carried out. */
export function confirmCompaction(plan: PlanSummary): Question {
  const outputs = outputFileCount(plan);
  const { neededBytes, freeBytes, retainedBytes, purgeBytes } = plan.estimate;
  const refused = isShort(plan) ? " That is not enough: the run will be refused before it starts." : "";
  return {
    message: `Compact ${countOf(plan.stats.compactedFileCount, "file")} of ${nameOf(plan.dataset)} into about ${formatCount(outputs)}?`,
    detail: [
      `${formatSize(plan.stats.rewrittenBytes)} will be rewritten in ${countOf(plan.groupCount, "group")}; every row is compared before the new files take the place of the old.`,
      `Needs ${formatSize(neededBytes)} of free space (${formatSize(freeBytes)} free).${refused}`,
      ...plan.notes.map(printable),
      ...(purgeBytes === 0
        ? []
        : [
            `Before it begins, ${formatSize(purgeBytes)} of earlier runs' originals are deleted, whose undo ends.`,
          ]),
      `The originals (${formatSize(retainedBytes)}) are kept until they are purged, and can be put back with Undo Last Run.`,
    ].join("\n"),
  };
}

export function confirmUndo(run: WireRun, dataset: string): Question {
  return {
    message: `Undo the last run in ${nameOf(dataset)}?`,
    detail: `The run of ${run.startedAt} replaced ${countOf(run.inputFiles, "file")} (${formatSize(run.inputBytes)}) with ${countOf(run.outputFiles, "file")} (${formatSize(run.outputBytes)}). The originals come back, and the files that the run wrote are withdrawn.`,
  };
}

/** The run that an undo takes back: the newest that still stands. */
export function latestPublished(runs: readonly WireRun[]): WireRun | null {
  const standing = runs.filter((run) => run.state === "published" || run.state === "partly_published");
  return standing.reduce<WireRun | null>(
    (latest, run) => (latest === null || run.startedAt > latest.startedAt ? run : latest),
    null,
  );
}

export interface Outcome {
  readonly severity: "info" | "warning" | "error";
  readonly message: string;
  readonly canUndo: boolean;
}

export function runOutcome(result: RunResult): Outcome {
  const name = nameOf(result.dataset);
  const reason = result.reason === undefined ? "" : `: ${printable(result.reason)}`;
  const left = result.groups.filter(({ kind }) => kind !== "published" && kind !== "skipped").length;
  switch (result.kind) {
    case "published":
      return {
        severity: "info",
        message: `${published(result)} in ${formatDuration(result.durationMs)}${earlier(result)}.`,
        canUndo: true,
      };
    case "partly_published":
      if (result.groups.some((group) => group.kind === "cancelled")) return cancelled(result);
      return {
        severity: "warning",
        message: `${published(result)}${earlier(result)}; ${formatCount(left)} of ${countOf(result.groups.length, "group")} not published${reason}.`,
        canUndo: true,
      };
    case "nothing_to_do":
      return { severity: "info", message: `${name}: nothing to do${reason}.`, canUndo: false };
    case "cancelled":
      return cancelled(result);
    case "rolled_back":
      return {
        severity: "error",
        message: `${name}: rolled back, the files are as before${reason}.`,
        canUndo: false,
      };
    case "refused":
      return { severity: "warning", message: `${name}: refused${reason}.`, canUndo: false };
    case "unknown":
      return {
        severity: "error",
        message: `${name}: the outcome is not known and nothing was deleted${reason}. The next start finishes or takes back the run.`,
        canUndo: false,
      };
    default:
      return assertNever(result.kind);
  }
}

function cancelled(result: RunResult): Outcome {
  const done = result.groups.filter((group) => group.kind === "published").length;
  const rest =
    done === 0
      ? "nothing was changed"
      : `${formatCount(done)} of ${countOf(result.groups.length, "group")} had been published`;
  return { severity: "info", message: `${nameOf(result.dataset)}: cancelled; ${rest}.`, canUndo: done > 0 };
}

function published(result: RunResult): string {
  const { stats } = result;
  return `${nameOf(result.dataset)}: ${countOf(stats.compactedFileCount, "file")} became ${formatCount(outputFileCount(result))} (${formatSize(stats.beforeTotalBytes)} → ${formatSize(stats.afterTotalBytes)})`;
}

/** Groups of the plan that an earlier run had published. */
function earlier({ groups }: RunResult): string {
  const before = groups.filter((group) => group.kind === "skipped").length;
  return before === 0 ? "" : `; ${countOf(before, "group")} had been published before`;
}

export function undoOutcome(result: UndoResult, dataset: string): Outcome {
  const name = nameOf(dataset);
  const reason = result.reason === undefined ? "" : `: ${printable(result.reason)}`;
  switch (result.kind) {
    case "undone":
      return {
        severity: "info",
        message: `${name}: ${countOf(result.restoredFiles, "file")} put back, ${formatCount(result.withdrawnFiles)} withdrawn.`,
        canUndo: false,
      };
    case "nothing_to_do":
      return { severity: "info", message: `${name}: there is no run to undo${reason}.`, canUndo: false };
    case "refused":
      return { severity: "warning", message: `${name}: undo was refused${reason}.`, canUndo: false };
    default:
      return assertNever(result.kind);
  }
}

/** A run for the log: the facts behind the one line of its notification. */
export function runDetails(result: RunResult): readonly string[] {
  const { validation } = result;
  const phases = Object.entries(result.phases).map(([phase, ms]) => `${phase} ${formatDuration(ms)}`);
  return [
    ...recoveredDetails(result.recovered),
    ...result.purged.map(
      ({ runId, files, bytes }) =>
        `purged run ${printable(runId)}: ${countOf(files, "original")}, ${formatSize(bytes)}; it cannot be undone any more`,
    ),
    `run ${result.runId}: ${result.kind}${result.reason === undefined ? "" : ` (${printable(result.reason)})`}, engine ${result.engine}, ${formatDuration(result.durationMs)}`,
    `  validation ${validation.level}: ${countOf(validation.rowsCompared, "row")} compared, ${formatCount(validation.groupsPassed)} passed, ${formatCount(validation.groupsFailed)} failed, ${formatDuration(validation.durationMs)}`,
    `  phases: ${phases.join(", ")}; rows were readable twice for ${formatDuration(result.duplicateWindowMs)} at most`,
    ...result.groups.map((group) => {
      const outputs = group.outputs.map(
        (file) => `${printable(file.path)} (${formatSize(file.sizeBytes)}, ${countOf(file.rows, "row")})`,
      );
      const reason = group.reason === undefined ? "" : ` (${printable(group.reason)})`;
      return `  ${printable(group.partition) || "(no partition)"}: ${group.kind}${reason}, ${countOf(group.inputs, "file")} → ${outputs.join(", ") || "none"}`;
    }),
  ];
}
