import {
  amplification,
  HISTORY_KEPT_MS,
  HISTORY_STEP_MS,
  type HistoryPoint,
  inOrder,
  shouldRecord,
  thin,
} from "@tamp/core";
import fc from "fast-check";
import { describe, expect, it } from "vitest";

const NOW = Date.UTC(2026, 2, 1, 12, 0, 7);
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

const POINT: HistoryPoint = {
  atMs: NOW,
  files: 100,
  bytes: 1_000,
  rows: 5_000,
  smallFiles: 50,
  score: 80,
  arrivedBytes: 0,
  rewrittenBytes: 0,
};

describe("a point is recorded", () => {
  const rows: readonly (readonly [string, Partial<HistoryPoint>, boolean])[] = [
    ["not for its own sake", { atMs: NOW + 4 * MINUTE }, false],
    ["after five minutes", { atMs: NOW + 5 * MINUTE }, true],
    ["not for a tenth more", { files: 110, bytes: 1_100, rows: 5_500, smallFiles: 55, score: 88 }, false],
    ["for more files than that", { files: 111 }, true],
    ["for fewer bytes", { bytes: 899 }, true],
    ["for other rows", { rows: 4_000 }, true],
    ["for other small files", { smallFiles: 0 }, true],
    ["for another health", { score: 71 }, true],
    ["where the clock was set back", { atMs: NOW - 1 }, true],
    ["not for what came in alone", { arrivedBytes: 9_999 }, false],
  ];

  it.each(rows)("%s", (_name, changes, expected) => {
    expect(shouldRecord(POINT, { ...POINT, ...changes })).toBe(expected);
  });

  it("where there is none yet, and for the first file of all", () => {
    expect(shouldRecord(null, POINT)).toBe(true);
    expect(shouldRecord({ ...POINT, files: 0 }, { ...POINT, files: 1 })).toBe(true);
  });
});

describe("thinning", () => {
  const agesKept = (ages: readonly number[]): readonly number[] =>
    thin(
      ages.map((age) => ({ atMs: NOW - age })),
      NOW,
    ).map(({ atMs }) => NOW - atMs);

  // 12:00:07 is 7 s after the beginning of a time of five minutes, and of an hour.
  it.each([
    ["keeps the last of five minutes", [8_000, 9_000, 0, 1_000], [8_000, 0]],
    ["keeps the last of an hour after a day", [2 * DAY + MINUTE, 2 * DAY + 2 * MINUTE], [2 * DAY + MINUTE]],
    ["keeps the last of a day after a month", [40 * DAY, 40 * DAY + HOUR], [40 * DAY]],
    ["forgets after two years", [HISTORY_KEPT_MS, HISTORY_KEPT_MS - 1], [HISTORY_KEPT_MS - 1]],
    [
      "keeps what is dated ahead",
      [-400 * DAY, -400 * DAY - 2 * HISTORY_STEP_MS],
      [-400 * DAY, -400 * DAY - 2 * HISTORY_STEP_MS],
    ],
  ])("%s", (_name, ages, expected) => {
    expect(agesKept(ages)).toEqual(expected);
  });

  const moments = fc.array(fc.integer({ min: -DAY, max: 3 * 365 * DAY }), { maxLength: 200 });

  it("keeps the newest, in the order of time, and thinning again changes nothing", () => {
    fc.assert(
      fc.property(moments, (ages) => {
        const points = ages.map((age) => ({ atMs: NOW - age }));
        const kept = thin(points, NOW);
        expect(thin(kept, NOW)).toEqual(kept);
        expect(kept.map(({ atMs }) => atMs)).toEqual(kept.map(({ atMs }) => atMs).sort((a, b) => a - b));
        const youngest = Math.min(...ages);
        expect(kept.at(-1)?.atMs).toBe(youngest < HISTORY_KEPT_MS ? NOW - youngest : undefined);
      }),
    );
  });

  it("leaves under 1,750 points of two years of a point each minute", () => {
    let points: readonly { readonly atMs: number }[] = [];
    for (let day = 0; day < 731; day += 1) {
      const added = Array.from({ length: 288 }, (_, index) => ({
        atMs: NOW + day * DAY + index * HISTORY_STEP_MS,
      }));
      points = thin([...points, ...added], NOW + (day + 1) * DAY);
    }
    expect(points.length).toBeGreaterThan(1_650);
    expect(points.length).toBeLessThan(1_750);
  });
});

it("points are told by time, and sums never fall", () => {
  const told = inOrder([
    { ...POINT, atMs: NOW + 2, arrivedBytes: 30, rewrittenBytes: 5 },
    { ...POINT, atMs: NOW, arrivedBytes: 10, rewrittenBytes: 7 },
    { ...POINT, atMs: NOW + 1, arrivedBytes: 20, rewrittenBytes: 0 },
  ]);
  expect(
    told.map(({ atMs, arrivedBytes, rewrittenBytes }) => [atMs - NOW, arrivedBytes, rewrittenBytes]),
  ).toEqual([
    [0, 10, 7],
    [1, 20, 7],
    [2, 30, 7],
  ]);
});

describe("write amplification", () => {
  const sums = (arrivedBytes: number, rewrittenBytes: number) => ({ arrivedBytes, rewrittenBytes });

  it.each([
    ["1 where nothing was rewritten", null, sums(100, 0), 1],
    ["3 where everything was rewritten twice", null, sums(100, 200), 3],
    ["over a time alone", sums(100, 200), sums(200, 250), 1.5],
    ["none where nothing came in", sums(100, 0), sums(100, 100), null],
    ["none without a history", null, null, null],
  ])("is %s", (_name, from, to, expected) => {
    expect(amplification(from, to)).toBe(expected);
  });
});
