/** A dataset at one moment, with what had come in and what runs had written by then. */
export interface HistoryPoint {
  /** Milliseconds since the epoch. */
  readonly atMs: number;
  readonly files: number;
  readonly bytes: number;
  readonly rows: number;
  readonly smallFiles: number;
  readonly score: number;
  /** Bytes of all new files that no run wrote, since the history began. */
  readonly arrivedBytes: number;
  /** Bytes that runs wrote, since the history began. */
  readonly rewrittenBytes: number;
}

export const HISTORY_RUN_KINDS = ["published", "partly_published", "undone", "recovered", "purged"] as const;

/** Something that was done to a dataset, and the dataset's files before and after it. */
export interface HistoryRun {
  /** Milliseconds since the epoch: when it ended. */
  readonly atMs: number;
  readonly runId: string;
  readonly kind: (typeof HISTORY_RUN_KINDS)[number];
  readonly filesBefore: number;
  readonly filesAfter: number;
  readonly bytesBefore: number;
  readonly bytesAfter: number;
  /** What its plan took `bytesAfter` to become; null where there was no plan. */
  readonly estimatedBytes: number | null;
  /** Bytes of the files that it wrote. */
  readonly rewrittenBytes: number;
}

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

/** Points are at least this far apart, unless one of them is worth telling by itself. */
export const HISTORY_STEP_MS = 5 * MINUTE_MS;
/** Nothing is kept for longer. */
export const HISTORY_KEPT_MS = 730 * DAY_MS;

/** Younger than the first: one point for each of the second. */
const TIERS = [
  [DAY_MS, HISTORY_STEP_MS],
  [30 * DAY_MS, HOUR_MS],
  [HISTORY_KEPT_MS, DAY_MS],
] as const;

const WORTH_TELLING = 0.1;

/** Whether `next` is recorded after `last`, the point that was recorded before it. */
export function shouldRecord(last: HistoryPoint | null, next: HistoryPoint): boolean {
  if (last === null) return true;
  const gapMs = next.atMs - last.atMs;
  // A clock that was set back says nothing of the time that has passed.
  if (gapMs < 0 || gapMs >= HISTORY_STEP_MS) return true;
  const keys = ["files", "bytes", "rows", "smallFiles", "score"] as const;
  return keys.some((key) => differs(last[key], next[key]));
}

function differs(before: number, after: number): boolean {
  return Math.abs(after - before) > WORTH_TELLING * Math.max(before, 0);
}

/** By time; what had come in and what was written never fall, whichever process told of it. */
export function inOrder(points: readonly HistoryPoint[]): readonly HistoryPoint[] {
  let arrivedBytes = 0;
  let rewrittenBytes = 0;
  return [...points].sort(byTime).map((point) => {
    arrivedBytes = Math.max(arrivedBytes, point.arrivedBytes);
    rewrittenBytes = Math.max(rewrittenBytes, point.rewrittenBytes);
    return { ...point, arrivedBytes, rewrittenBytes };
  });
}

/**
 * Every five minutes for a day, every hour for a month, every day for two years: of the points of such a time the
 * last. By time; what is dated after `nowMs` counts as new, since it may be `nowMs` that is wrong.
 */
export function thin<T extends { readonly atMs: number }>(points: readonly T[], nowMs: number): readonly T[] {
  const kept = new Map<string, T>();
  for (const point of [...points].sort(byTime)) {
    const stepMs = stepAt(nowMs - point.atMs);
    if (stepMs !== null) kept.set(`${stepMs} ${Math.floor(point.atMs / stepMs)}`, point);
  }
  return [...kept.values()].sort(byTime);
}

function stepAt(ageMs: number): number | null {
  return TIERS.find(([untilMs]) => ageMs < untilMs)?.[1] ?? null;
}

/** How many bytes were written for each that came in: 1 where no run wrote any, null where nothing came in. */
export function amplification(from: Written | null, to: Written | null): number | null {
  const arrivedBytes = (to?.arrivedBytes ?? 0) - (from?.arrivedBytes ?? 0);
  const rewrittenBytes = (to?.rewrittenBytes ?? 0) - (from?.rewrittenBytes ?? 0);
  return arrivedBytes <= 0 ? null : (arrivedBytes + rewrittenBytes) / arrivedBytes;
}

type Written = Pick<HistoryPoint, "arrivedBytes" | "rewrittenBytes">;

function byTime(a: { readonly atMs: number }, b: { readonly atMs: number }): number {
  return a.atMs - b.atMs;
}
