import { expect, test } from "vitest";
import { renderPlan } from "../../extension/src/plan-text.ts";
import { renderStats } from "../../extension/src/stats-text.ts";
import type { WireSkipped } from "../../server/src/protocol.ts";
import { ESTIMATE, groupOf, planOf, statsOf } from "./wire-values.ts";

const NONE = { total: 0, items: [], nextOffset: null };

test("a plan says what would be done, what it gains and needs, and why", () => {
  const groups = { total: 3, items: [groupOf("day=1", 25), groupOf("", 2)], nextOffset: 2 };
  const text = renderPlan({
    plan: planOf({ notes: ["page indexes are not written"] }),
    groups,
    skipped: NONE,
  });
  for (const line of [
    "# Compaction of events",
    "Dry run: nothing has been changed.",
    "408 files (37.2 MiB) in 3 groups would become about 6 files.",
    "| files in the dataset            |      412 |             10 |",
    "- free space needed: 37.2 MiB; free: 95.4 MiB",
    "- the originals (37.2 MiB) are kept until they are purged: Undo Last Run puts them back",
    "- small files: 400 files, 37.2 MiB, in 3 partitions",
    "- page indexes are not written",
    "### day=1",
    "25 files, 50.0 KiB → 1 file, about 48.8 KiB; row groups 25 → 1; zstd; because of small files, row groups",
    "day=1/part-0.parquet     2.0 KiB  100 rows",
    "… and 5 more",
    "### (no partition)",
    "… and 1 more group.",
    "Plan 3f2a, generation 7.",
  ]) {
    expect(text.split("\n")).toContain(line);
  }
});

test("a plan lists what it leaves, but not the files that are as they should be", () => {
  const items: readonly WireSkipped[] = [
    { path: "a.parquet", reason: "at_target", detail: "" },
    { path: "b\n.parquet", reason: "quarantined", detail: "footer is cut off" },
  ];
  const plan = planOf({ skippedCount: 2, skippedByReason: { at_target: 1, quarantined: 1 } });
  const text = renderPlan({ plan, groups: NONE, skipped: { total: 2, items, nextOffset: null } });
  expect(text).toContain("## Left as they are: 2 files");
  expect(text).toContain("- at target: 1\n- quarantined: 1");
  expect(text).toContain("b\\u{a}.parquet: quarantined (footer is cut off)");
  expect(text).not.toContain("a.parquet: at target");
});

test.each([
  ["nothing_to_do", "every file is at its target", "Nothing to do: every file is at its target."],
  ["refused", "this is a Delta table", "Refused: this is a Delta table."],
] as const)("a plan of kind %s gives its reason and promises nothing", (kind, reason, line) => {
  const text = renderPlan({ plan: planOf({ kind, reason, groupCount: 0 }), groups: NONE, skipped: NONE });
  expect(text).toContain(line);
  expect(text).not.toContain("free space");
  expect(text).not.toContain("3f2a");
});

test("too little free space is said before anything is run", () => {
  const estimate = { ...ESTIMATE, basis: "runs", neededBytes: 2_000, freeBytes: 1_000 } as const;
  const text = renderPlan({ plan: planOf({ estimate }), groups: NONE, skipped: NONE });
  expect(text).toContain("(not enough: a run is refused before it starts)");
  expect(text).not.toContain("purged first");
  expect(text).toContain("estimated from earlier runs on this dataset");
});

test("what is purged first makes room", () => {
  const estimate = { ...ESTIMATE, neededBytes: 2_000, freeBytes: 1_000, purgeBytes: 1_000 };
  const text = renderPlan({ plan: planOf({ estimate }), groups: NONE, skipped: NONE });
  expect(text).not.toContain("not enough");
  expect(text).toContain("- purged first: 1.0 KiB of earlier runs' originals, whose undo ends");
});

test("statistics are complete and line up", () => {
  const text = renderStats(statsOf({ warnings: ["2 files are older than their footers"] }));
  for (const line of [
    "# Statistics of events",
    "Health: 38 of 100",
    "| files                        |      412 |",
    "| rows of an average row group |      100 |",
    "| files that cannot be read    |        1 |",
    "below 1.0 MiB     400  ██████████████████████████████",
    "below 128 MiB      12  █",
    "128 MiB and more    0",
    "| zstd   |   400 |  97 % |",
    "| day=1     |   137 |         136 | 12.4 MiB |",
    "… and 2 more partitions.",
    "Some changes may be seen late. The inotify limit is reached. Raise fs.inotify.max_user_watches.",
    "- 2 files are older than their footers",
  ]) {
    expect(text.split("\n")).toContain(line);
  }
});

test("an empty dataset divides by nothing", () => {
  const text = renderStats(
    statsOf({ fileCount: 0, rowGroupCount: 0, totalBytes: 0, codecs: {}, partitions: [], partitionCount: 0 }),
  );
  expect(text).toContain("No Parquet files here yet.");
  expect(text).not.toMatch(/NaN|Infinity|undefined/);
});
