import { expect, test } from "vitest";
import { NoticeLedger, noticeText, type Told } from "../../extension/src/notice-text.ts";
import { recoveredOutcome } from "../../extension/src/recovered-text.ts";
import {
  confirmCompaction,
  confirmUndo,
  latestPublished,
  type Outcome,
  runDetails,
  runOutcome,
  undoOutcome,
} from "../../extension/src/run-text.ts";
import type { RunGroup, RunResult, WireRecovered } from "../../server/src/protocol.ts";
import { ESTIMATE, planOf, purgeOf, resultOf, runOf, summaryOf } from "./wire-values.ts";

function groupsOf(...kinds: readonly RunGroup["kind"][]): readonly RunGroup[] {
  return kinds.map((kind) => ({ partition: "", kind, inputs: 1, inputBytes: 1, outputs: [] }));
}

test("the question names the facts", () => {
  const { message, detail } = confirmCompaction(planOf({ notes: ["page indexes are not written"] }));
  expect(message).toBe("Compact 408 files of events into about 6?");
  expect(detail).toContain("37.2 MiB will be rewritten in 3 groups");
  expect(detail).toContain("Needs 37.2 MiB of free space (95.4 MiB free).\n");
  expect(detail).toContain("The originals (37.2 MiB) are kept until they are purged");
  expect(detail).toContain("page indexes are not written");
  expect(detail).toContain("Undo Last Run");
  expect(confirmUndo(runOf("r-1"), "/lake/events").detail).toContain(
    "replaced 408 files (37.2 MiB) with 6 files",
  );
});

test("the question says what is purged first, and what will not fit", () => {
  const estimate = { ...ESTIMATE, neededBytes: 3000, freeBytes: 1000, purgeBytes: 1000 };
  const { detail } = confirmCompaction(planOf({ estimate }));
  expect(detail).toContain("That is not enough: the run will be refused before it starts.");
  expect(detail).toContain("Before it begins, 1.0 KiB of earlier runs' originals are deleted");
});

const outcomes: readonly (readonly [Partial<RunResult>, Outcome])[] = [
  [
    {},
    {
      severity: "info",
      message: "events: 408 files became 6 (38.1 MiB → 34.3 MiB) in 4.2 s.",
      canUndo: true,
    },
  ],
  [
    { kind: "partly_published", groups: groupsOf("published", "rolled_back"), reason: "day=2 changed" },
    {
      severity: "warning",
      message:
        "events: 408 files became 6 (38.1 MiB → 34.3 MiB); 1 of 2 groups not published: day=2 changed.",
      canUndo: true,
    },
  ],
  [
    { groups: groupsOf("skipped", "skipped", "published") },
    {
      severity: "info",
      message:
        "events: 408 files became 6 (38.1 MiB → 34.3 MiB) in 4.2 s; 2 groups had been published before.",
      canUndo: true,
    },
  ],
  [
    { kind: "partly_published", groups: groupsOf("published", "cancelled", "cancelled") },
    { severity: "info", message: "events: cancelled; 1 of 3 groups had been published.", canUndo: true },
  ],
  [
    { kind: "cancelled", groups: groupsOf("cancelled") },
    { severity: "info", message: "events: cancelled; nothing was changed.", canUndo: false },
  ],
  [
    { kind: "cancelled", groups: groupsOf("published", "cancelled") },
    { severity: "info", message: "events: cancelled; 1 of 2 groups had been published.", canUndo: true },
  ],
  [
    { kind: "rolled_back", reason: "rows differ" },
    {
      severity: "error",
      message: "events: rolled back, the files are as before: rows differ.",
      canUndo: false,
    },
  ],
  [
    { kind: "refused", reason: "no space" },
    { severity: "warning", message: "events: refused: no space.", canUndo: false },
  ],
  [{ kind: "nothing_to_do" }, { severity: "info", message: "events: nothing to do.", canUndo: false }],
];

test.each(outcomes)("%o is told", (changes, expected) => {
  expect(runOutcome(resultOf(changes))).toEqual(expected);
});

test("an unknown outcome says that nothing was deleted", () => {
  expect(runOutcome(resultOf({ kind: "unknown" }))).toMatchObject({ severity: "error", canUndo: false });
  expect(runOutcome(resultOf({ kind: "unknown" })).message).toContain("nothing was deleted");
});

test("the log gets what the notification leaves out", () => {
  const text = runDetails(resultOf()).join("\n");
  expect(text).toContain("validation V2: 40,800 rows compared, 3 passed, 0 failed");
  expect(text).toContain(
    "day=1: published, 136 files → day=1/compacted-r-1-0001.parquet (11.4 MiB, 13,600 rows)",
  );
});

test("the log tells what was recovered and purged first", () => {
  const text = runDetails(resultOf({ recovered: FINISHED, purged: purgeOf().runs })).join("\n");
  expect(text).toContain(
    "recovered run r-0, group 1: roll forward (2 sources retired); rows were readable twice",
  );
  expect(text).toContain("purged run r-2: 2 originals, 977 KiB; it cannot be undone any more");
});

const FINISHED: readonly WireRecovered[] = [
  {
    runId: "r-0",
    group: 1,
    action: "roll_forward",
    detail: "2 sources retired",
    duplicateWindowMs: 7_500_000,
  },
];
const TAKEN_BACK: readonly WireRecovered[] = [
  { runId: "r-0", group: 2, action: "roll_back", detail: "x", duplicateWindowMs: 0 },
  { runId: "r-0", group: 3, action: "discard", detail: "x", duplicateWindowMs: 0 },
];
const LEFT: readonly WireRecovered[] = [
  { runId: "r-0", group: 4, action: "quarantine", detail: "a.parquet is gone", duplicateWindowMs: 0 },
];

test.each([
  [FINISHED, "info", "events: an interrupted run was recovered: 1 group finished."],
  [TAKEN_BACK, "info", "events: an interrupted run was recovered: 2 groups taken back."],
  [
    [...FINISHED, ...TAKEN_BACK],
    "info",
    "events: an interrupted run was recovered: 1 group finished, 2 groups taken back.",
  ],
  [
    [...FINISHED, ...LEFT],
    "warning",
    "events: 1 group of an interrupted run could not be judged and was left as found: a.parquet is gone.",
  ],
] as const)("%o is told", (groups, severity, message) => {
  expect(recoveredOutcome(groups, "/lake/events")).toEqual({ severity, message });
});

test("undo takes back the newest run that still stands", () => {
  const runs = [
    runOf("old", { startedAt: "2026-01-01T00:00:00Z" }),
    runOf("new", { startedAt: "2026-01-03T00:00:00Z" }),
    runOf("undone", { startedAt: "2026-01-04T00:00:00Z", state: "undone" }),
  ];
  expect(latestPublished(runs)?.runId).toBe("new");
  expect(latestPublished([])).toBeNull();
});

test.each([
  ["undone", "events: 408 files put back, 6 withdrawn."],
  ["nothing_to_do", "events: there is no run to undo: x."],
  ["refused", "events: undo was refused: x."],
] as const)("undo that ends as %s", (kind, message) => {
  const files = { restoredFiles: 408, withdrawnFiles: 6 };
  const result = { kind, runId: "r-1", ...files, duplicateWindowMs: 2, recovered: [], reason: "x" };
  expect(undoOutcome(result, "/lake/events").message).toBe(message);
});

test("a crossing is told once until the dataset has been healthy, or is much worse", () => {
  let saved: Told = {};
  const start = (): NoticeLedger =>
    new NoticeLedger(saved, (told) => {
      saved = told;
    });
  const ledger = start();
  expect([ledger.isNew("/a", 100), ledger.isNew("/a", 149), ledger.isNew("/b", 5)]).toEqual([
    true,
    false,
    true,
  ]);
  expect([start().isNew("/a", 100), start().isNew("/a", 150), start().isNew("/a", 151)]).toEqual([
    false,
    true,
    false,
  ]);
  const later = start();
  later.observe(summaryOf("/a", { health: { score: 60, reasons: [] } }));
  later.observe(summaryOf("/a", { state: "missing", health: { score: 100, reasons: [] } }));
  expect(later.isNew("/a", 150)).toBe(false);
  later.observe(summaryOf("/a", { health: { score: 100, reasons: [] } }));
  expect(start().isNew("/a", 3)).toBe(true);
});

test("the notice names what could be gained", () => {
  const plan = planOf();
  const rest = { action: "notify", crossings: [], crossingCount: 0 } as const;
  expect(noticeText({ dataset: "/lake/events", generation: 7, health: plan.health, plan, ...rest })).toBe(
    "events has 408 files (37.2 MiB) that could be about 6 files.",
  );
});
