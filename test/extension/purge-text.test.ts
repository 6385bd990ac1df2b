import { expect, test } from "vitest";
import { confirmPurge, isSamePurge, purgeDetails, purgeOutcome } from "../../extension/src/purge-text.ts";
import type { PurgeResult } from "../../server/src/protocol.ts";
import { purgeOf } from "./wire-values.ts";

const KEPT = [{ runId: "r-3", reason: "b.parquet is gone" }];

test("the question names the runs, what ends, and what is left", () => {
  const { message, detail } = confirmPurge(purgeOf({ kept: KEPT, retainedBytes: 5_000_000 }), "/lake/events");
  expect(message).toBe("Delete 410 originals (38.1 MiB) of 2 runs in events?");
  expect(detail.split("\n")).toEqual([
    "This cannot be undone, and neither can these runs afterwards:",
    "r-1: 408 originals, 37.2 MiB",
    "r-2: 2 originals, 977 KiB",
    "Kept: r-3: b.parquet is gone",
    "Originals kept for undo after that: 4.8 MiB.",
  ]);
});

test("a long list of runs is counted", () => {
  const runs = Array.from({ length: 12 }, (_, index) => ({
    runId: `r-${index}`,
    files: 1,
    bytes: 1,
    lostOutputs: [],
    lostRows: 0,
  }));
  expect(confirmPurge(purgeOf({ runs }), "/lake/events").detail).toContain("… and 2 more runs");
});

const outcomes: readonly (readonly [Partial<PurgeResult>, string, string])[] = [
  [{}, "info", "events: 410 originals deleted, 38.1 MiB freed; no originals are kept."],
  [
    { kept: KEPT, retainedBytes: 5_000_000 },
    "warning",
    "events: 410 originals deleted, 38.1 MiB freed; 4.8 MiB of originals are kept for undo; 1 run could not be purged.",
  ],
  [
    { kind: "nothing_to_do", runs: [], retainedBytes: 5_000_000 },
    "info",
    "events: nothing is past its retention; 4.8 MiB of originals are kept for undo.",
  ],
  [
    { kind: "refused", runs: [], kept: KEPT, reason: "run r-3 keeps its originals" },
    "warning",
    "events: nothing was purged: run r-3 keeps its originals.",
  ],
];

test.each(outcomes)("%o is told", (changes, severity, message) => {
  expect(purgeOutcome(purgeOf(changes), "/lake/events")).toEqual({ severity, message });
});

test("the log names each run", () => {
  expect(purgeDetails(purgeOf({ kept: KEPT }))).toEqual([
    "purged run r-1: 408 originals, 37.2 MiB",
    "purged run r-2: 2 originals, 977 KiB",
    "kept the originals of run r-3: b.parquet is gone",
  ]);
});

test.each([
  [purgeOf({ dryRun: true }), true],
  [purgeOf({ runs: [{ runId: "r-1", files: 408, bytes: 39_000_000, lostOutputs: [], lostRows: 0 }] }), false],
  [purgeOf({ runs: [] }), false],
])("an answer holds for the same runs only", (now, isSame) => {
  expect(isSamePurge(purgeOf(), now)).toBe(isSame);
});
