import { HISTORY_RUN_KINDS, type HistoryPoint, type HistoryRun } from "@tamp/core";

/** A line of the file that keeps a dataset's history: an array, since names would be most of it. */
export type HistoryLine =
  | { readonly kind: "point"; readonly point: HistoryPoint }
  | { readonly kind: "run"; readonly run: HistoryRun };

export function writeHistoryLine(line: HistoryLine): string {
  if (line.kind === "point") return JSON.stringify(["p", ...POINT_KEYS.map((key) => line.point[key])]);
  const { run } = line;
  const numbers = RUN_KEYS.map((key) => run[key]);
  return JSON.stringify(["r", run.atMs, run.runId, run.kind, run.estimatedBytes, ...numbers]);
}

/** Every line that is whole, each once; a line that is damaged, or of a later version, is passed over. */
export function readHistoryLines(text: string): readonly HistoryLine[] {
  return [...new Set(text.split("\n"))].flatMap((line) => readLine(line) ?? []);
}

export const pointsOf = (lines: readonly HistoryLine[]): readonly HistoryPoint[] =>
  lines.flatMap((line) => (line.kind === "point" ? [line.point] : []));

export const runsOf = (lines: readonly HistoryLine[]): readonly HistoryRun[] =>
  lines.flatMap((line) => (line.kind === "run" ? [line.run] : []));

const POINT_KEYS = [
  "atMs",
  "files",
  "bytes",
  "rows",
  "smallFiles",
  "score",
  "arrivedBytes",
  "rewrittenBytes",
] as const satisfies readonly (keyof HistoryPoint)[];

const RUN_KEYS = [
  "filesBefore",
  "filesAfter",
  "bytesBefore",
  "bytesAfter",
  "rewrittenBytes",
] as const satisfies readonly (keyof HistoryRun)[];

function readLine(line: string): HistoryLine | null {
  const fields = parseArray(line);
  if (fields[0] === "p") return readPoint(fields.slice(1));
  return fields[0] === "r" ? readRun(fields.slice(1)) : null;
}

function readPoint(fields: readonly unknown[]): HistoryLine | null {
  const values = readNumbers(POINT_KEYS, fields);
  return values === null ? null : { kind: "point", point: values };
}

function readRun([atMs, runId, name, estimatedBytes, ...rest]: readonly unknown[]): HistoryLine | null {
  const values = readNumbers(RUN_KEYS, rest);
  const kind = HISTORY_RUN_KINDS.find((known) => known === name);
  if (values === null || kind === undefined || !isCount(atMs) || typeof runId !== "string") return null;
  if (estimatedBytes !== null && !isCount(estimatedBytes)) return null;
  return { kind: "run", run: { atMs, runId, kind, estimatedBytes, ...values } };
}

function readNumbers<K extends string>(
  keys: readonly K[],
  fields: readonly unknown[],
): Readonly<Record<K, number>> | null {
  if (fields.length < keys.length || !fields.slice(0, keys.length).every(isCount)) return null;
  return Object.fromEntries(keys.map((key, index) => [key, fields[index]])) as Record<K, number>;
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function parseArray(line: string): readonly unknown[] {
  try {
    const value: unknown = JSON.parse(line);
    return Array.isArray(value) ? value : [];
  } catch {
    return [];
  }
}
