import { dueRuns, type RetainedRun } from "@tamp/core";
import { describe, expect, test } from "vitest";

const DAY = 86_400_000;
const NOW = 100 * DAY;

/** Runs `a`, `b`, … of these ages in days, 10 bytes each. */
function runsOf(...agesInDays: readonly number[]): readonly RetainedRun[] {
  return agesInDays.map((days, index) => ({
    runId: "abcdef"[index] ?? "",
    retainedBytes: 10,
    sinceMs: NOW - days * DAY,
  }));
}

describe("runs that are due to be purged", () => {
  const rows: readonly {
    readonly what: string;
    readonly ages: readonly number[];
    readonly days?: number;
    readonly most?: number | null;
    readonly incoming?: number;
    readonly before?: boolean;
    readonly due: string;
  }[] = [
    { what: "none is old", ages: [6, 1], due: "" },
    { what: "age reached to the millisecond", ages: [7, 1], due: "a" },
    { what: "all are old, the newest too", ages: [30, 20, 10], due: "abc" },
    { what: "a retention of nothing", ages: [1, 0], days: 0, due: "ab" },
    { what: "a run dated ahead of the clock stays", ages: [-1, 8], due: "b" },
    { what: "a bound that holds", ages: [3, 2, 1], most: 30, due: "" },
    { what: "a bound takes the oldest first", ages: [3, 2, 1], most: 20, due: "a" },
    { what: "what is about to come counts", ages: [3, 2, 1], most: 30, incoming: 15, due: "ab" },
    { what: "a bound never takes the newest", ages: [3, 2, 1], most: 5, incoming: 100, due: "ab" },
    { what: "old ones make room before young ones go", ages: [1, 9, 2], most: 20, due: "b" },
    { what: "nothing to purge", ages: [], most: 1, incoming: 100, due: "" },
    { what: "before a run the newest stays, however old", ages: [30, 20, 10], before: true, due: "ab" },
    { what: "a single run stays before a run", ages: [30], most: 5, incoming: 100, before: true, due: "" },
  ];
  test.each(rows)("$what", ({ ages, days = 7, most = null, incoming = 0, before = false, due }) => {
    const found = dueRuns({
      runs: runsOf(...ages),
      retention: { retentionMs: days * DAY, maxRetainedBytes: most },
      nowMs: NOW,
      incomingBytes: incoming,
      keepNewest: before,
    });
    expect(found.map(({ runId }) => runId).join("")).toBe(due);
  });
});
