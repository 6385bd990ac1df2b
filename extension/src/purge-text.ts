import type { PurgeResult } from "@tamp/server/protocol";
import { assertNever } from "./assert-never.ts";
import { countOf, formatCount, formatSize, nameOf, printable } from "./format.ts";
import type { Outcome, Question } from "./run-text.ts";

const RUNS_SHOWN = 10;

/** What is asked before originals are deleted, of the answer to a dry run. */
export function confirmPurge(preview: PurgeResult, dataset: string): Question {
  const { runs, kept, purgedFiles, purgedBytes, retainedBytes } = preview;
  const hidden = runs.length - RUNS_SHOWN;
  return {
    message: `Delete ${countOf(purgedFiles, "original")} (${formatSize(purgedBytes)}) of ${countOf(runs.length, "run")} in ${nameOf(dataset)}?`,
    detail: [
      `This cannot be undone, and neither can ${runs.length === 1 ? "this run" : "these runs"} afterwards:`,
      ...runs
        .slice(0, RUNS_SHOWN)
        .map(
          ({ runId, files, bytes }) =>
            `${printable(runId)}: ${countOf(files, "original")}, ${formatSize(bytes)}`,
        ),
      ...(hidden > 0 ? [`… and ${countOf(hidden, "more run")}`] : []),
      ...kept
        .slice(0, RUNS_SHOWN)
        .map(({ runId, reason }) => `Kept: ${printable(runId)}: ${printable(reason)}`),
      `Originals kept for undo after that: ${formatSize(retainedBytes)}.`,
    ].join("\n"),
  };
}

/** Whether two dry runs would delete the originals of the same runs. */
export function isSamePurge(a: PurgeResult, b: PurgeResult): boolean {
  return a.runs.map(({ runId }) => runId).join() === b.runs.map(({ runId }) => runId).join();
}

export function purgeOutcome(result: PurgeResult, dataset: string): Pick<Outcome, "severity" | "message"> {
  const name = nameOf(dataset);
  const { retainedBytes, purgedFiles, purgedBytes, kept } = result;
  const left =
    retainedBytes === 0
      ? "no originals are kept"
      : `${formatSize(retainedBytes)} of originals are kept for undo`;
  switch (result.kind) {
    case "purged": {
      const notAll = kept.length === 0 ? "" : `; ${countOf(kept.length, "run")} could not be purged`;
      const message = `${name}: ${countOf(purgedFiles, "original")} deleted, ${formatSize(purgedBytes)} freed; ${left}${notAll}.`;
      return { severity: kept.length === 0 ? "info" : "warning", message };
    }
    case "nothing_to_do":
      return { severity: "info", message: `${name}: nothing is past its retention; ${left}.` };
    case "refused":
      return {
        severity: "warning",
        message: `${name}: nothing was purged${result.reason === undefined ? "" : `: ${printable(result.reason)}`}.`,
      };
    default:
      return assertNever(result.kind);
  }
}

/** A purge for the log. */
export function purgeDetails({ runs, kept }: PurgeResult): readonly string[] {
  return [
    ...runs.map(
      ({ runId, files, bytes }) =>
        `purged run ${printable(runId)}: ${formatCount(files)} originals, ${formatSize(bytes)}`,
    ),
    ...kept.map(({ runId, reason }) => `kept the originals of run ${printable(runId)}: ${printable(reason)}`),
  ];
}
