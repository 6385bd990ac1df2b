import { matchesFilters, type PartitionFilter, type Plan } from "@tamp/core";
import { invalid } from "../check.ts";
import { parseFilters } from "../dataset-stats.ts";
import type { OpenDataset } from "../open-dataset.ts";
import { presentCrossing } from "../plan-summary.ts";
import { presentFile } from "../present.ts";
import type { ChangesResult, CheckResult, HistoryResult } from "../protocol.ts";
import { unseenDirectory } from "../scan.ts";
import type { HandlerContext } from "./context.ts";
import { rootOf } from "./datasets.ts";

const MOST_HISTORY = 2_000;
const MOST_QUARANTINED = 1_000;

export async function datasetChanges({ daemon, params }: HandlerContext): Promise<ChangesResult> {
  const dataset = daemon.dataset(rootOf(params));
  const since = params.optionalNumber("since");
  if (since === undefined) throw invalid("since is missing");
  if (params.optionalBoolean("sync") === true) await dataset.refresh();
  // One moment: nothing is awaited from here on.
  const view = dataset.view();
  const { generation } = view;
  const found = dataset.changesSince(since);
  if (found.kind === "fresh") return { generation, fresh: true, changed: [], removed: [] };
  const policy = dataset.currentPolicy();
  const nowMs = daemon.deps.ports.now();
  const changed = found.changed.flatMap((path) => {
    const file = view.find(path);
    return file === null ? [] : [presentFile(file, policy, nowMs)];
  });
  return { generation, fresh: false, changed, removed: found.removed };
}

export async function datasetHistory({ daemon, params }: HandlerContext): Promise<HistoryResult> {
  const { root, history } = daemon.dataset(rootOf(params));
  const sinceMs = params.optionalNumber("sinceMs") ?? 0;
  const limit = params.optionalNumber("limit") ?? MOST_HISTORY;
  if (limit < 1 || limit > MOST_HISTORY) throw invalid(`limit must be between 1 and ${MOST_HISTORY}`);
  return { dataset: root, ...(await history.read({ sinceMs, limit })) };
}

export async function check({ daemon, params }: HandlerContext): Promise<CheckResult> {
  const dataset = daemon.dataset(rootOf(params));
  if (params.optionalBoolean("sync") === true) await dataset.refresh();
  const filters = params.strings("partitionFilter");
  const made = await dataset.makePlan(filters);
  const stats = dataset.stats(filters, made);
  const crossings = made.plan.kind === "refused" ? [] : made.plan.crossings.map(presentCrossing);
  const quarantined = quarantinedOf(made.plan);
  const incomplete = whyIncomplete(dataset, filters);
  return {
    dataset: dataset.root,
    generation: made.generation,
    crossed: crossings.length > 0,
    crossings,
    health: made.health,
    counts: {
      fileCount: stats.fileCount,
      totalBytes: stats.totalBytes,
      partitionCount: stats.partitionCount,
      smallFileCount: stats.smallFileCount,
      unsettledCount: stats.unsettledCount,
      quarantinedCount: quarantined.length,
    },
    quarantined: quarantined.slice(0, MOST_QUARANTINED),
    ...(made.plan.kind === "refused" ? { refused: made.plan.reason } : {}),
    ...(incomplete === null ? {} : { incomplete }),
    warnings: dataset.summary().warnings,
  };
}

/** What was not seen may cross a threshold, and so may what is there by the policy that somebody meant to write. */
function whyIncomplete(dataset: OpenDataset, filterTexts: readonly string[]): string | null {
  const filters = parseFilters(filterTexts);
  const wrong = dataset.datasetPolicy?.problems ?? [];
  const policy = wrong.filter(({ severity, concerns }) => severity === "error" && concerns);
  const unseen = dataset.summary().warnings.filter((warning) => {
    const directory = unseenDirectory(warning);
    return directory !== null && mayHold(directory, filters);
  });
  const reasons = [...unseen, ...policy.map(({ message }) => `the policy is not valid: ${message}`)];
  const [first] = reasons;
  if (first === undefined) return null;
  return reasons.length === 1 ? first : `${first} (and ${reasons.length - 1} more: see the warnings)`;
}

/** Whether a partition that is asked for may lie in or below the directory. */
function mayHold(directory: string, filters: readonly PartitionFilter[]): boolean {
  const depth = directory === "" ? 0 : directory.split("/").length;
  const above = filters.map(({ text, components }) => ({ text, components: components.slice(0, depth) }));
  return matchesFilters(directory, above);
}

function quarantinedOf({ skipped }: Plan): CheckResult["quarantined"] {
  return skipped.flatMap(({ path, reason, detail }) => (reason === "quarantined" ? [{ path, detail }] : []));
}
