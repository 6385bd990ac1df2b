import { formatSize } from "@tamp/core";
import Table from "cli-table3";
import type { DatasetStats, WireHealth } from "../protocol.ts";
import { type Paint, paintScore } from "./color.ts";
import { countOf, formatCount, shorten, wrap } from "./text.ts";
import { explainHealth } from "./words.ts";

/** Where text goes: its colours and its width in characters. */
export interface View {
  readonly paint: Paint;
  readonly width: number;
  /** Of lines with a command to copy: off a terminal they are never broken. */
  readonly hintWidth: number;
}

export interface TableSpec {
  /** Titles; `>` before one aligns its column to the right. */
  readonly head: readonly string[];
  readonly rows: readonly (readonly string[])[];
  /** The column that is shortened where the table is too wide; default the first. */
  readonly flexible?: number;
}

const INDENT = "  ";
const GAP = "  ";
const LEAST_FLEXIBLE = 12;

/** An aligned table without lines, indented, as lines. */
export function renderTable({ head, rows, flexible = 0 }: TableSpec, { paint, width }: View): string[] {
  const titles = head.map((title) => title.replace(/^>/, ""));
  const room = Math.max(LEAST_FLEXIBLE, width - widthWithout(flexible, [titles, ...rows]));
  const table = new Table({
    head: titles.some((title) => title !== "") ? titles.map((title) => title && paint.dim(title)) : [],
    colAligns: head.map((title) => (title.startsWith(">") ? "right" : "left")),
    chars: { ...NO_LINES, left: INDENT, middle: GAP },
    style: { "padding-left": 0, "padding-right": 0, head: [], border: [] },
  });
  for (const row of rows) {
    table.push(row.map((cell, index) => (index === flexible ? shorten(cell, room) : cell)));
  }
  return table
    .toString()
    .split("\n")
    .map((line) => line.trimEnd());
}

const NO_LINES = {
  top: "",
  "top-mid": "",
  "top-left": "",
  "top-right": "",
  bottom: "",
  "bottom-mid": "",
  "bottom-left": "",
  "bottom-right": "",
  "left-mid": "",
  mid: "",
  "mid-mid": "",
  right: "",
  "right-mid": "",
} as const;

/** Characters that the indent, the gaps and all columns but one take. */
function widthWithout(flexible: number, rows: readonly (readonly string[])[]): number {
  const columns = Math.max(0, ...rows.map((row) => row.length));
  let total = INDENT.length + GAP.length * Math.max(0, columns - 1);
  for (let column = 0; column < columns; column += 1) {
    if (column !== flexible) total += Math.max(0, ...rows.map((row) => [...(row[column] ?? "")].length));
  }
  return total;
}

/** `label  value` lines, the values aligned. */
export function renderFacts(
  facts: readonly (readonly [label: string, value: string])[],
  view: View,
): readonly string[] {
  const width = Math.max(0, ...facts.map(([label]) => label.length));
  return facts.flatMap(([label, value]) =>
    wrap(value, view.width - INDENT.length - width - GAP.length).map((line, index) => {
      const title = (index === 0 ? label : "").padEnd(width);
      return `${INDENT}${index === 0 ? view.paint.dim(title) : title}${GAP}${line}`;
    }),
  );
}

const BLOCKS = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"] as const;
const MOST_BAR = 40;

/** Files by size, a bar each in eighths of a character; what is there is never an empty bar. */
export function renderHistogram(buckets: DatasetStats["sizeHistogram"], view: View): string[] {
  const labels = buckets.map(({ belowBytes }, index) =>
    bucketLabel(buckets[index - 1]?.belowBytes ?? null, belowBytes),
  );
  const counts = buckets.map(({ files }) => formatCount(files));
  const labelWidth = Math.max(0, ...labels.map((label) => label.length));
  const countWidth = Math.max(0, ...counts.map((count) => count.length));
  const room = view.width - INDENT.length - labelWidth - countWidth - 2 * GAP.length;
  const bar = Math.max(8, Math.min(MOST_BAR, room));
  const most = Math.max(1, ...buckets.map(({ files }) => files));
  return buckets.map(({ files }, index) => {
    const label = (labels[index] ?? "").padStart(labelWidth);
    const count = (counts[index] ?? "").padStart(countWidth);
    return `${INDENT}${label}${GAP}${count}${GAP}${barOf(files / most, bar)}`.trimEnd();
  });
}

function barOf(share: number, width: number): string {
  const eighths = share > 0 ? Math.max(1, Math.round(share * width * 8)) : 0;
  return `${"█".repeat(Math.floor(eighths / 8))}${BLOCKS[eighths % 8] ?? ""}`;
}

function bucketLabel(from: number | null, below: number | null): string {
  if (below === null) return from === null ? "any size" : `${formatSize(from)} and more`;
  return from === null ? `under ${formatSize(below)}` : `${formatSize(from)} to ${formatSize(below)}`;
}

/** The score, then each reason in words. */
export function renderHealth(health: WireHealth, view: View): string[] {
  const rest = health.score === 100 ? ": nothing that a compaction could do now" : "";
  const lines = [`${view.paint.bold("Health")} ${paintScore(view.paint, health.score)} of 100${rest}`];
  for (const { kind, files, bytes, partitions } of health.reasons) {
    const where = partitions === 0 ? "" : ` in ${countOf(partitions, "partition")}`;
    lines.push(`${INDENT}${explainHealth(kind)}`);
    lines.push(`${INDENT}${GAP}${countOf(files, "file")}${where}, ${formatSize(bytes)}`);
  }
  return lines;
}

/** `# title` without the sign: a bold line after an empty one. */
export function heading(title: string, view: View): readonly string[] {
  return ["", view.paint.bold(title)];
}

/** Lines and an empty one after them; nothing for none. */
export function paragraph(lines: readonly string[]): readonly string[] {
  return lines.length === 0 ? [] : [...lines, ""];
}

export function toText(lines: readonly string[]): string {
  return `${lines.join("\n")}\n`;
}
