import { type DataFile, fileFacts } from "./dataset.ts";
import { matchesFilters, type PartitionFilter, partitionOf } from "./partition.ts";
import type { FileGroup, PlanBody } from "./plan.ts";

export interface ProjectionInput {
  readonly files: readonly DataFile[];
  readonly filters: readonly PartitionFilter[];
  readonly learnedRatio: number | null;
}

/** What the dataset would be once these groups were rewritten; counts cover the filtered files only. */
export function projectStats(
  input: ProjectionInput,
  groups: readonly FileGroup[],
): Pick<PlanBody, "stats" | "estimate" | "benefit"> {
  const before = countBefore(input);
  const sum = (of: (group: FileGroup) => number): number =>
    groups.reduce((total, group) => total + of(group), 0);
  const inputFiles = sum((group) => group.inputs.length);
  const inputBytes = sum((group) => group.inputBytes);
  const outputBytes = sum((group) => group.estimatedOutputBytes);
  const afterFileCount = before.files - inputFiles + sum((group) => group.outputRows.length);
  const rowGroupsAfter =
    before.rowGroups - sum((group) => group.rowGroupsBefore) + sum((group) => group.rowGroupsAfter);
  const codecs = new Set(groups.map((group) => group.codec));
  return {
    stats: {
      beforeFileCount: before.files,
      afterFileCount,
      beforeTotalBytes: before.bytes,
      afterTotalBytes: before.bytes - inputBytes + outputBytes,
      compactedFileCount: inputFiles,
      rewrittenBytes: inputBytes,
      compressionCodec: codecs.size === 1 ? ([...codecs][0] ?? null) : null,
      dryRun: true,
      clusterColumns: [],
      plannedGroups: groups.map((group) => group.inputs.map((file) => file.path)),
    },
    estimate: {
      basis: input.learnedRatio === null ? "inputs" : "runs",
      ratio: input.learnedRatio ?? 1,
      neededBytes: Math.max(outputBytes, inputBytes),
    },
    benefit: {
      filesBefore: before.files,
      filesAfter: afterFileCount,
      rowGroupsBefore: before.rowGroups,
      rowGroupsAfter,
    },
  };
}

function countBefore({ files, filters }: ProjectionInput): {
  files: number;
  bytes: number;
  rowGroups: number;
} {
  const count = { files: 0, bytes: 0, rowGroups: 0 };
  for (const file of files) {
    const { path, sizeBytes } = fileFacts(file);
    if (filters.length > 0 && !matchesFilters(partitionOf(path), filters)) continue;
    count.files += 1;
    count.bytes += sizeBytes;
    if (file.kind === "readable") count.rowGroups += file.stats.rowGroupCount;
  }
  return count;
}
