import { formatSize } from "@tamp/core";
import type { HistoryResult, WireHistoryPoint, WireHistoryRun } from "../protocol.ts";
import { paintScore } from "./color.ts";
import { heading, renderFacts, renderTable, toText, type View } from "./render.ts";
import { countOf, formatCount, formatDuration, formatMoment, printable, wrap } from "./text.ts";
import { words } from "./words.ts";

const MOST_RUNS = 10;
const MOST_ROWS = 12;
const WIDEST_CHART = 60;
const BARS = ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"] as const;

interface Series {
  readonly name: string;
  readonly of: (point: WireHistoryPoint) => number;
  readonly text: (value: number) => string;
}

const SERIES: readonly Series[] = [
  { name: "small files", of: (point) => point.smallFiles, text: formatCount },
  { name: "files", of: (point) => point.files, text: formatCount },
  { name: "size", of: (point) => point.bytes, text: formatSize },
  { name: "health", of: (point) => point.score, text: formatCount },
];

/** How a dataset became what it is: a picture over time, a table of moments, and the runs. */
export function renderDatasetHistory(result: HistoryResult, view: View): string {
  const { dataset, points, runs, amplification } = result;
  const first = points[0];
  const last = points.at(-1);
  const title = view.paint.bold(printable(dataset));
  if (first === undefined || last === undefined) {
    return toText([title, "No history of this time.", ...runLines(runs, view)]);
  }
  const time = `${formatMoment(iso(first.atMs))} to ${formatMoment(iso(last.atMs))} UTC (${formatDuration(last.atMs - first.atMs)})`;
  return toText([
    title,
    ...wrap(time, view.width),
    "",
    ...SERIES.flatMap((series) => chartLines(series, points, view)),
    "",
    ...renderFacts(
      [
        ["came in", inAll(first.arrivedBytes, last.arrivedBytes)],
        ["rewritten by runs", inAll(first.rewrittenBytes, last.rewrittenBytes)],
        ["write amplification", amplificationText(amplification)],
      ],
      view,
    ),
    ...heading(`Moments: ${shownOf(points)}`, view),
    ...momentLines(points, view),
    ...runLines(runs, view),
  ]);
}

function inAll(before: number, after: number): string {
  return `${formatSize(after - before)}; ${formatSize(after)} since the history began`;
}

function amplificationText(value: number | null): string {
  return value === null ? "not known: nothing came in" : `${value.toFixed(2)} x`;
}

/** `small files  ▁▂▃▅█▁  12 to 409, now 45`; the second half moves to a line of its own where it does not fit. */
function chartLines(series: Series, points: readonly WireHistoryPoint[], view: View): readonly string[] {
  const label = Math.max(...SERIES.map(({ name }) => name.length));
  const width = Math.max(8, Math.min(WIDEST_CHART, view.width - label - 4));
  const values = points.map(series.of);
  const least = values.reduce((a, b) => Math.min(a, b));
  const most = values.reduce((a, b) => Math.max(a, b));
  const now = series.text(values.at(-1) ?? 0);
  const range = least === most ? "all the time" : `now, ${series.text(least)} to ${series.text(most)}`;
  return [
    `  ${view.paint.dim(series.name.padEnd(label))}  ${bars(columnsOf(points, series.of, width), least, most)}`,
    `  ${" ".repeat(label)}  ${now} ${range}`,
  ];
}

/** The value at the end of each of `width` equal times; before the first point there is none. */
function columnsOf(
  points: readonly WireHistoryPoint[],
  of: (point: WireHistoryPoint) => number,
  width: number,
): readonly number[] {
  const from = points[0]?.atMs ?? 0;
  const wholeMs = (points.at(-1)?.atMs ?? 0) - from;
  let index = 0;
  return Array.from({ length: wholeMs === 0 ? 1 : width }, (_, column) => {
    const untilMs = from + (wholeMs * (column + 1)) / width;
    while ((points[index + 1]?.atMs ?? Number.POSITIVE_INFINITY) <= untilMs) index += 1;
    const point = points[index];
    return point === undefined ? 0 : of(point);
  });
}

function bars(values: readonly number[], least: number, most: number): string {
  // What never changes is drawn low and flat; a picture of it would be noise.
  const step = (most - least) / (BARS.length - 1);
  const level = (value: number): number =>
    value === least ? 0 : Math.max(1, Math.round((value - least) / step));
  return values.map((value) => BARS[level(value)] ?? "").join("");
}

function shownOf(points: readonly WireHistoryPoint[]): string {
  if (points.length <= MOST_ROWS) return formatCount(points.length);
  return `${formatCount(MOST_ROWS)} of ${formatCount(points.length)} (all: --json)`;
}

/** Evenly over the time, the first and the last among them. */
function momentLines(points: readonly WireHistoryPoint[], view: View): readonly string[] {
  const rows = Math.min(MOST_ROWS, points.length);
  const chosen = Array.from(
    { length: rows },
    (_, row) => points[Math.round((row * (points.length - 1)) / Math.max(1, rows - 1))] as WireHistoryPoint,
  );
  const cells = chosen.map((point) => [
    formatMoment(iso(point.atMs)).slice(0, 16),
    formatCount(point.files),
    formatCount(point.smallFiles),
    formatSize(point.bytes),
    paintScore(view.paint, point.score),
  ]);
  return renderTable({ head: ["time (UTC)", ">files", ">small", ">size", ">health"], rows: cells }, view);
}

function runLines(runs: readonly WireHistoryRun[], view: View): readonly string[] {
  if (runs.length === 0) return [];
  const shown = [...runs].reverse().slice(0, MOST_RUNS);
  const rows = shown.map((run) => [
    formatMoment(iso(run.atMs)).slice(0, 16),
    words(run.kind),
    `${formatCount(run.filesBefore)} → ${formatCount(run.filesAfter)}`,
  ]);
  const [title = "", ...lines] = renderTable({ head: ["ended (UTC)", "what", ">files"], rows }, view);
  const details = shown.map((run) => view.paint.dim(`    ${sizesOf(run)}`));
  const more = runs.length - shown.length;
  return [
    ...heading(`Runs: ${formatCount(runs.length)}`, view),
    title,
    ...lines.flatMap((line, index) => [line, details[index] ?? ""]),
    ...(more > 0 ? [`  … and ${countOf(more, "earlier run")} (all: --json)`] : []),
  ];
}

/** `1.2 GiB → 1.0 GiB (~1.1 GiB)`: in brackets what the plan took it to become. */
function sizesOf({ bytesBefore, bytesAfter, estimatedBytes }: WireHistoryRun): string {
  const expected = estimatedBytes === null ? "" : ` (~${formatSize(estimatedBytes)})`;
  return `${formatSize(bytesBefore)} → ${formatSize(bytesAfter)}${expected}`;
}

function iso(ms: number): string {
  return new Date(ms).toISOString();
}
