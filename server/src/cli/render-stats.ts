import { formatSize } from "@tamp/core";
import type { DatasetStats, WireWatchState } from "../protocol.ts";
import {
  heading,
  renderFacts,
  renderHealth,
  renderHistogram,
  renderTable,
  toText,
  type View,
} from "./render.ts";
import { countOf, formatCount, formatShare, naturalOrder, partitionName, printable, wrap } from "./text.ts";

const MOST_PARTITIONS = 10;

/** Canonical stats of a dataset for people. All values are facts from footers; nothing here is an estimate. */
export function renderStats(stats: DatasetStats, view: View): string {
  return toText([
    view.paint.bold(printable(stats.dataset)),
    "",
    ...renderFacts(factsOf(stats), view),
    "",
    ...renderHealth(stats.health, view),
    ...leftAloneLines(stats, view),
    ...heading("Files by size", view),
    ...renderHistogram(stats.sizeHistogram, view),
    ...partitionLines(stats, view),
    ...warningLines(stats, view),
  ]);
}

function factsOf(stats: DatasetStats): readonly (readonly [string, string])[] {
  const { fileCount, smallFileCount, smallFileBytes, totalRows, rowGroupCount } = stats;
  const perGroup = rowGroupCount === 0 ? 0 : Math.round(totalRows / rowGroupCount);
  const facts: (readonly [string, string])[] = [
    ["data files", formatCount(fileCount)],
    ["size", `${formatSize(stats.totalBytes)} (${formatSize(stats.uncompressedBytes)} uncompressed)`],
    ["rows", formatCount(totalRows)],
    ["row groups", `${formatCount(rowGroupCount)}, ${countOf(perGroup, "row")} each on average`],
    ["partitions", formatCount(stats.partitionCount)],
    ["schema classes", formatCount(stats.schemaClassCount)],
    [
      "small files",
      `${formatCount(smallFileCount)} (${formatShare(smallFileCount, fileCount)} of files), ${formatSize(smallFileBytes)}`,
    ],
    ["codecs", codecsOf(stats)],
  ];
  if (stats.unsettledCount > 0)
    facts.push(["unsettled", `${countOf(stats.unsettledCount, "file")} may still be written`]);
  if (stats.quarantinedCount > 0)
    facts.push(["unreadable", `${countOf(stats.quarantinedCount, "file")} without usable file stats`]);
  return facts;
}

/** Full health among many small files reads as a contradiction unless it is explained. */
function leftAloneLines(stats: DatasetStats, view: View): readonly string[] {
  const { health, fileCount, smallFileCount, partitionCount } = stats;
  // One small file in each partition is as few as there can be.
  const many = smallFileCount * 2 > fileCount && smallFileCount > partitionCount;
  if (health.score !== 100 || !many) return [];
  const text = `${countOf(smallFileCount, "small file")} cannot be rewritten now: see tamp plan`;
  return wrap(text, view.width - 2).map((line) => `  ${line}`);
}

function codecsOf({ codecs }: DatasetStats): string {
  const entries = Object.entries(codecs).sort(([a, x], [b, y]) => y - x || (a < b ? -1 : 1));
  if (entries.length === 0) return "none";
  return entries.map(([codec, files]) => `${printable(codec)} in ${countOf(files, "file")}`).join(", ");
}

function partitionLines({ partitions, partitionCount }: DatasetStats, view: View): readonly string[] {
  const shown = partitions
    .filter(({ smallFiles }) => smallFiles > 0)
    .sort((a, b) => b.smallFiles - a.smallFiles || naturalOrder(a.partition, b.partition))
    .slice(0, MOST_PARTITIONS);
  if (shown.length === 0 || partitionCount < 2) return [];
  const rows = shown.map(({ partition, files, smallFiles, bytes }) => [
    partitionName(partition),
    formatCount(smallFiles),
    formatCount(files),
    formatSize(bytes),
  ]);
  return [
    ...heading("Partitions with most small files", view),
    ...renderTable({ head: ["partition", ">small files", ">files", ">size"], rows }, view),
    ...(partitionCount > shown.length ? [`  shown: ${shown.length} of ${formatCount(partitionCount)}`] : []),
  ];
}

function warningLines({ warnings, watch }: DatasetStats, view: View): readonly string[] {
  const all = [...warnings, ...(watch.reason === undefined ? [] : [watchText(watch)])];
  if (all.length === 0) return [];
  const lines = all.flatMap((text) => wrap(printable(text), view.hintWidth - 2));
  return [...heading("Warnings", view), ...lines.map((line) => `  ${view.paint.warn(line)}`)];
}

export function watchText({ kind, reason, remedy }: WireWatchState): string {
  const why = reason === undefined ? "" : `: ${reason}`;
  return `${kind}${why}${remedy === undefined ? "" : ` (${remedy})`}`;
}
