import { assertNever, formatSize } from "@tamp/core";
import type { WireCrossing } from "../protocol.ts";
import { countOf, formatCount, formatDuration } from "./text.ts";

type CrossingFacts = Pick<WireCrossing, "trigger" | "files" | "bytes" | "limit" | "value">;

/** What stands against the threshold: `45 small files; the limit is 12`. */
export function explainCrossing({ trigger, files, limit, value }: CrossingFacts): string {
  switch (trigger) {
    case "count":
      return `${countOf(value, "small file")}; the limit is ${formatCount(limit)}`;
    case "bytes":
      return `small files of ${formatSize(value)} together; the limit is ${formatSize(limit)}`;
    case "age":
      return `small files have waited for ${formatDuration(value)}; the limit is ${formatDuration(limit)}`;
    case "row_groups":
      return `${factor(value)} times the row groups that the rows need; the limit is ${factor(limit)}`;
    case "oversize":
      return `a file of ${formatSize(value)}; the limit is ${formatSize(limit)}`;
    case "codec":
      return `${countOf(files, "file")} with another codec than the one asked for`;
    default:
      return assertNever(trigger);
  }
}

const factor = (value: number): string => String(Math.round(value * 10) / 10);

/** `12 files, 3.0 MiB to rewrite` */
export function workOfCrossing({ files, bytes }: CrossingFacts): string {
  return `${countOf(files, "file")}, ${formatSize(bytes)} to rewrite`;
}
