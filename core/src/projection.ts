import type { FileGroup, PlanBody } from "./plan.ts";
import { STRETCH } from "./steps.ts";

/** What the files of the planned scope hold now. */
export interface ScopeCount {
  files: number;
  bytes: number;
  rowGroups: number;
}

/** What the scope would be once these groups were rewritten. */
export function* projectStats(
  before: Readonly<ScopeCount>,
  groups: readonly FileGroup[],
  learnedRatio: number | null,
): Generator<void, Pick<PlanBody, "stats" | "estimate" | "benefit">> {
  const sums = yield* sumGroups(groups);
  const afterFileCount = before.files - sums.inputFiles + sums.outputFiles;
  return {
    stats: {
      beforeFileCount: before.files,
      afterFileCount,
      beforeTotalBytes: before.bytes,
      afterTotalBytes: before.bytes - sums.inputBytes + sums.outputBytes,
      compactedFileCount: sums.inputFiles,
      rewrittenBytes: sums.inputBytes,
      compressionCodec: sums.codecs.size === 1 ? ([...sums.codecs][0] ?? null) : null,
      dryRun: true,
      clusterColumns: [],
      plannedGroups: sums.paths,
    },
    estimate: {
      basis: learnedRatio === null ? "inputs" : "runs",
      ratio: learnedRatio ?? 1,
      neededBytes: Math.max(sums.outputBytes, sums.inputBytes),
    },
    benefit: {
      filesBefore: before.files,
      filesAfter: afterFileCount,
      rowGroupsBefore: before.rowGroups,
      rowGroupsAfter: before.rowGroups + sums.addedRowGroups,
    },
  };
}

interface GroupSums {
  inputFiles: number;
  outputFiles: number;
  inputBytes: number;
  outputBytes: number;
  /** Below zero where row groups vanish. */
  addedRowGroups: number;
  readonly codecs: Set<string>;
  readonly paths: (readonly string[])[];
}

function* sumGroups(groups: readonly FileGroup[]): Generator<void, GroupSums> {
  const none = { inputFiles: 0, outputFiles: 0, inputBytes: 0, outputBytes: 0, addedRowGroups: 0 };
  const sums: GroupSums = { ...none, codecs: new Set(), paths: [] };
  for (const group of groups) {
    const paths: string[] = [];
    sums.paths.push(paths);
    for (const { path } of group.inputs) {
      paths.push(path);
      sums.inputFiles += 1;
      if (sums.inputFiles % STRETCH === 0) yield;
    }
    sums.outputFiles += group.outputRows.length;
    sums.inputBytes += group.inputBytes;
    sums.outputBytes += group.estimatedOutputBytes;
    sums.addedRowGroups += group.rowGroupsAfter - group.rowGroupsBefore;
    sums.codecs.add(group.codec);
  }
  return sums;
}
