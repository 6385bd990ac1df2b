import { planCompaction } from "@tamp/core";
import { describe, expect, test } from "vitest";
import { HOUR_MS, inputOf, NOW_MS, policyOf, readable } from "../support/file-stats.ts";
import { check, type Given, type Row, SMALL_THREE, small, young } from "../support/plan-rows.ts";

/** Of a run that ended so many milliseconds ago, 10 hours by default. */
const published = (sizeBytes: number, ageMs = 10 * HOUR_MS): Given => ({
  sizeBytes,
  changedMs: NOW_MS - ageMs,
});
const DAY_MS = 24 * HOUR_MS;

/** With a target of 1000 and factor 5 the tiers of published files are: under 150, under 750, at target. */
describe("what a run published", () => {
  test.each<Row>([
    {
      name: "does not count",
      files: { a: young, b: young, "compacted-r1-0001": published(200) },
      skipped: { a: "too_young", b: "too_young", "compacted-r1-0001": "too_young" },
    },
    {
      name: "of the lowest tier goes along with files that alone reach the next",
      files: { ...SMALL_THREE, "compacted-r1-0001": published(149) },
      groups: ["a b c compacted-r1-0001 > 400 (small_files)"],
    },
    {
      name: "goes along from the lowest tier to the middle",
      files: {
        a: { sizeBytes: 10 },
        b: { sizeBytes: 10 },
        c: { sizeBytes: 10 },
        "compacted-r1-0001": published(120),
      },
      groups: ["a b c compacted-r1-0001 > 400 (small_files)"],
    },
    {
      name: "not where a byte is missing",
      files: {
        a: { sizeBytes: 10 },
        b: { sizeBytes: 10 },
        c: { sizeBytes: 10 },
        "compacted-r1-0001": published(119),
      },
      groups: ["a b c > 300 (small_files)"],
      skipped: { "compacted-r1-0001": "too_young" },
    },
    {
      name: "of the middle tier waits, of the lowest goes along",
      files: {
        a: { sizeBytes: 100 },
        b: { sizeBytes: 100 },
        c: { sizeBytes: 100 },
        "compacted-r1-0001": published(200),
        "compacted-r2-0001": published(100),
      },
      groups: ["a b c compacted-r2-0001 > 400 (small_files)"],
      skipped: { "compacted-r1-0001": "too_young" },
    },
    {
      name: "all at once where that makes a whole file",
      files: { ...SMALL_THREE, "compacted-r1-0001": published(200), "compacted-r2-0001": published(100) },
      groups: ["a b c compacted-r1-0001 compacted-r2-0001 > 500 (small_files)"],
    },
    {
      name: "never opens the gate by itself",
      files: {
        "compacted-r1-0001": published(500),
        "compacted-r2-0001": published(500),
        "compacted-r3-0001": published(500),
      },
      skipped: {
        "compacted-r1-0001": "too_young",
        "compacted-r2-0001": "too_young",
        "compacted-r3-0001": "too_young",
      },
    },
    {
      name: "counts for the bytes of a whole file",
      files: { a: young, "compacted-r1-0001": published(400), "compacted-r2-0001": published(400) },
      groups: ["a compacted-r1-0001 compacted-r2-0001 > 300 (small_files)"],
    },
    {
      name: "is merged once nothing has come for a day",
      files: { "compacted-r1-0001": published(200, DAY_MS), "compacted-r2-0001": published(200, DAY_MS) },
      groups: ["compacted-r1-0001 compacted-r2-0001 > 200 (small_files)"],
    },
    {
      name: "not a millisecond before",
      files: {
        "compacted-r1-0001": published(200, DAY_MS - 1),
        "compacted-r2-0001": published(200, DAY_MS - 1),
      },
      skipped: { "compacted-r1-0001": "too_young", "compacted-r2-0001": "too_young" },
    },
    {
      name: "nor while something comes",
      files: {
        "compacted-r1-0001": published(200, 2 * DAY_MS),
        "compacted-r2-0001": published(200, 2 * DAY_MS),
        a: { changedMs: NOW_MS - 1 },
      },
      skipped: { "compacted-r1-0001": "too_young", "compacted-r2-0001": "too_young", a: "unsettled" },
    },
    {
      name: "much of it is not rewritten for little before it has waited longer",
      files: {
        a: { ...small, changedMs: NOW_MS - 3 * DAY_MS + 1, sizeBytes: 100 },
        "compacted-r1-0001": published(300, 3 * DAY_MS),
      },
      skipped: { a: "too_young", "compacted-r1-0001": "too_young" },
    },
    {
      name: "and is then",
      files: {
        a: { ...small, changedMs: NOW_MS - 3 * DAY_MS, sizeBytes: 100 },
        "compacted-r1-0001": published(300, 3 * DAY_MS),
      },
      groups: ["a compacted-r1-0001 > 200 (small_files)"],
    },
    {
      name: "a week at most",
      files: {
        a: { ...small, changedMs: NOW_MS - 7 * DAY_MS, sizeBytes: 1 },
        "compacted-r1-0001": published(700, 7 * DAY_MS),
      },
      groups: ["a compacted-r1-0001 > 200 (small_files)"],
    },
    {
      name: "and no less",
      files: {
        a: { ...small, changedMs: NOW_MS - 7 * DAY_MS + 1, sizeBytes: 1 },
        "compacted-r1-0001": published(700, 7 * DAY_MS),
      },
      skipped: { a: "too_young", "compacted-r1-0001": "too_young" },
    },
    {
      name: "a slow stream has not ended while its next file may come",
      files: {
        a: { ...small, changedMs: NOW_MS - 4 * DAY_MS },
        "compacted-r1-0001": published(200, 7 * DAY_MS),
      },
      skipped: { a: "too_young", "compacted-r1-0001": "too_young" },
    },
    {
      name: "rests not where nothing shall rest, but right after its run",
      files: {
        a: young,
        "compacted-r1-0001": published(200, 3000),
        "compacted-r2-0001": published(200, 2000),
      },
      policy: { minAgeMs: 0 },
      groups: ["a compacted-r1-0001 > 200 (small_files)"],
      skipped: { "compacted-r2-0001": "too_young" },
    },
    {
      name: "makes its partition rest where that is asked for",
      files: { ...SMALL_THREE, big: { sizeBytes: 5000 }, "compacted-r1-0001": published(1000, 59_999) },
      policy: { cooldownMs: 60_000 },
      skipped: {
        a: "too_young",
        b: "too_young",
        c: "too_young",
        big: "too_young",
        "compacted-r1-0001": "at_target",
      },
    },
    {
      name: "and no longer",
      files: { ...SMALL_THREE, "compacted-r1-0001": published(1000, 60_000) },
      policy: { cooldownMs: 60_000 },
      groups: ["a b c > 300 (small_files)"],
      skipped: { "compacted-r1-0001": "at_target" },
    },
  ])("$name", check);

  test("a thousand new files of any sizes are merged in one run into few", () => {
    const sizes = Array.from({ length: 1000 }, (_, index) => 1 + ((index * 7919) % 749));
    const files = sizes.map((sizeBytes, index) =>
      readable({ path: `${1000 + index}.parquet`, sizeBytes, changedMs: NOW_MS - 2000 }),
    );
    const { groups, stats } = planCompaction(inputOf(files, { policy: policyOf({ targetSize: 1000 }) }));
    expect(stats.compactedFileCount).toBeGreaterThan(990);
    const bytes = sizes.reduce((total, size) => total + size, 0);
    expect(groups.length).toBeLessThan((1.25 * bytes) / 1000);
  });
});
