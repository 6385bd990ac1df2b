import type { DatasetStats, WireWatchState } from "@tamp/server/protocol";
import {
  countOf,
  formatCount,
  formatShare,
  formatSize,
  nameOf,
  printable,
  sentences,
  table,
} from "./format.ts";
import { healthLines } from "./health-text.ts";
import { partitionName } from "./plan-text.ts";

/** Canonical statistics as a Markdown document that reads well unrendered. */
export function renderStats(stats: DatasetStats): string {
  const lines = [`# Statistics of ${nameOf(stats.dataset)}`, "", printable(stats.dataset), ""];
  if (stats.fileCount === 0) lines.push("No Parquet files here yet.", "");
  lines.push(...healthLines(stats.health), "", ...totals(stats), "");
  if (stats.fileCount > 0) lines.push(...histogram(stats), ...codecs(stats));
  if (stats.partitions.length > 0) lines.push(...partitions(stats));
  lines.push("## Watching", "", watchLine(stats.watch), "");
  if (stats.warnings.length > 0)
    lines.push("## Warnings", "", ...stats.warnings.map((text) => `- ${printable(text)}`), "");
  return lines.join("\n");
}

function totals(stats: DatasetStats): readonly string[] {
  const perFile = stats.fileCount === 0 ? 0 : stats.totalBytes / stats.fileCount;
  const perGroup = stats.rowGroupCount === 0 ? 0 : Math.round(stats.totalRows / stats.rowGroupCount);
  const rows: (readonly [string, string])[] = [
    ["files", formatCount(stats.fileCount)],
    ["bytes", formatSize(stats.totalBytes)],
    ["bytes uncompressed", formatSize(stats.uncompressedBytes)],
    ["bytes of an average file", formatSize(perFile)],
    ["small files", formatCount(stats.smallFileCount)],
    ["bytes in small files", formatSize(stats.smallFileBytes)],
    ["rows", formatCount(stats.totalRows)],
    ["row groups", formatCount(stats.rowGroupCount)],
    ["rows of an average row group", formatCount(perGroup)],
    ["partitions", formatCount(stats.partitionCount)],
    ["schema classes", formatCount(stats.schemaClassCount)],
    ["files still being written", formatCount(stats.unsettledCount)],
    ["files that cannot be read", formatCount(stats.quarantinedCount)],
  ];
  return table(["", "value"], rows);
}

const BAR_WIDTH = 30;

function histogram(stats: DatasetStats): readonly string[] {
  const most = Math.max(...stats.sizeHistogram.map((bin) => bin.files), 1);
  let from = 0;
  const rows = stats.sizeHistogram.map((bin) => {
    const label =
      bin.belowBytes === null ? `${formatSize(from)} and more` : `below ${formatSize(bin.belowBytes)}`;
    from = bin.belowBytes ?? from;
    const length = bin.files === 0 ? 0 : Math.max(1, Math.round((bin.files / most) * BAR_WIDTH));
    return { label, count: formatCount(bin.files), bar: "█".repeat(length) };
  });
  const labelWidth = Math.max(...rows.map((row) => row.label.length), 0);
  const countWidth = Math.max(...rows.map((row) => row.count.length), 0);
  const lines = rows.map((row) =>
    `${row.label.padEnd(labelWidth)}  ${row.count.padStart(countWidth)}  ${row.bar}`.trimEnd(),
  );
  return ["## Files by size", "", "```text", ...lines, "```", ""];
}

function codecs(stats: DatasetStats): readonly string[] {
  const entries = Object.entries(stats.codecs).sort(([, a], [, b]) => b - a);
  if (entries.length === 0) return [];
  const rows = entries.map(
    ([codec, files]) => [printable(codec), files, formatShare(files, stats.fileCount)] as const,
  );
  return ["## Codecs", "", ...table(["codec", "files", "share"], rows), ""];
}

function partitions(stats: DatasetStats): readonly string[] {
  const rows = stats.partitions.map(
    (partition) =>
      [
        partitionName(partition.partition),
        partition.files,
        partition.smallFiles,
        formatSize(partition.bytes),
      ] as const,
  );
  const more = stats.partitionCount - stats.partitions.length;
  return [
    "## Partitions with most small files",
    "",
    ...table(["partition", "files", "small files", "size"], rows),
    "",
    ...(more > 0 ? [`… and ${countOf(more, "more partition")}.`, ""] : []),
  ];
}

const WATCH_WORDS: Readonly<Record<WireWatchState["kind"], string>> = {
  watching: "Changes are seen as they happen.",
  polling: "Changes are found by looking again and again.",
  degraded: "Some changes may be seen late.",
  off: "This dataset is not watched.",
};

function watchLine({ kind, reason, remedy }: WireWatchState): string {
  return printable(sentences(WATCH_WORDS[kind], reason, remedy));
}
