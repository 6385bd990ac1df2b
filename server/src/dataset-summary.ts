import type { Health } from "@tamp/core";
import type { Inventory } from "./inventory.ts";
import type { PastRuns } from "./past-runs.ts";
import { presentRecovered } from "./present.ts";
import type { DatasetSummary } from "./protocol.ts";
import type { ForeignHit } from "./scan.ts";

export interface SummaryParts extends Pick<DatasetSummary, "watch" | "automation" | "running"> {
  readonly root: string;
  readonly inventory: Inventory;
  readonly pastRuns: PastRuns;
  /** Of the latest judgement; null where there is none. */
  readonly health: Health | null;
  /** Files that changed later may still be written; milliseconds since the epoch. */
  readonly settledMs: number;
  /** Of the policy and the history. */
  readonly warnings: readonly string[];
}

/** What is known of a dataset, in short. */
export function presentSummary(parts: SummaryParts): DatasetSummary {
  const { root, inventory, pastRuns, health, settledMs, watch, automation, running } = parts;
  const { totals, generation, rootMissing } = inventory;
  const unsettled = inventory.view().countUnsettled(settledMs);
  return {
    dataset: root,
    state: rootMissing ? "missing" : totals.fileCount === 0 ? "empty" : "ready",
    generation,
    fileCount: totals.fileCount,
    totalBytes: totals.totalBytes,
    totalRows: totals.totalRows,
    smallFileCount: totals.smallFileCount,
    unsettledCount: unsettled.files,
    quarantinedCount: totals.unreadableCount - unsettled.unreadable,
    health: health ?? { score: 100, reasons: [] },
    watch,
    automation,
    running,
    interruptedGroups: pastRuns.interruptedGroups,
    recovered: pastRuns.recovered.map(presentRecovered),
    warnings: warningsOf(parts),
  };
}

function warningsOf({ root, inventory, pastRuns, warnings }: SummaryParts): readonly string[] {
  const groups = pastRuns.interruptedGroups;
  const waiting =
    groups === 1 ? "1 group of an interrupted run waits" : `${groups} groups of interrupted runs wait`;
  const interrupted = groups === 0 ? [] : [`${waiting} for \`tamp recover ${root}\``];
  return [...inventory.foreign.map(refusalText), ...interrupted, ...warnings, ...inventory.warnings];
}

export function refusalText({ directory, format }: ForeignHit): string {
  return `${directory === "" ? "the dataset" : directory} belongs to ${format}: rewriting its files would corrupt it`;
}
