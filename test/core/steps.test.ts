import { partitionFiles, planCompactionSteps } from "@tamp/core";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { drain, filterSteps, STRETCH, sortSteps } from "../../core/src/steps.ts";
import { inputOf, readable } from "../support/file-stats.ts";

/** Pauses that steps make. */
function countSteps(steps: Generator<void, unknown>): number {
  let count = 0;
  while (steps.next().done !== true) count += 1;
  return count;
}

const MANY = 3 * STRETCH + 7;
const byKey = (a: { key: number }, b: { key: number }): number => a.key - b.key;

describe("sorting in steps", () => {
  test.each<readonly [string, (index: number) => number]>([
    ["in order", (index) => index],
    ["backwards", (index) => -index],
    ["mixed, with many alike", (index) => (index * 7919) % 100],
    ["all alike", () => 1],
  ])("%s", (_name, keyOf) => {
    for (const length of [0, 1, 2, STRETCH, STRETCH + 1, MANY]) {
      const items = Array.from({ length }, (_, index) => ({ key: keyOf(index), index }));
      expect(drain(sortSteps(items, byKey))).toEqual([...items].sort(byKey));
    }
  });

  test("is that of Array.sort for any list", () => {
    const item = fc.record({ key: fc.nat(5), id: fc.nat() });
    fc.assert(
      fc.property(fc.array(item), (items) => {
        expect(drain(sortSteps(items, byKey))).toEqual([...items].sort(byKey));
      }),
    );
  });

  test("pauses, however the list is ordered", () => {
    for (const sign of [1, -1]) {
      const items = Array.from({ length: MANY }, (_, index) => ({ key: sign * index }));
      expect(countSteps(sortSteps(items, byKey))).toBeGreaterThanOrEqual(3);
    }
  });
});

test("filtering in steps keeps the order and pauses", () => {
  const items = Array.from({ length: MANY }, (_, index) => index);
  const isOdd = (value: number): boolean => value % 2 === 1;
  expect(drain(filterSteps(items, isOdd))).toEqual(items.filter(isOdd));
  expect(countSteps(filterSteps(items, isOdd))).toBe(3);
});

describe("planning in steps", () => {
  test.each([
    ["in one directory", 1],
    ["a directory each", 100_000],
  ])("handles no more than a stretch of files at once, %s", (_name, perDirectory) => {
    const files = Array.from({ length: MANY }, (_, index) =>
      readable({ path: `d${Math.floor((index * perDirectory) / 100_000)}/${index}.parquet`, sizeBytes: 5 }),
    );
    let asked = 0;
    let most = 0;
    const counted = files.map((file) => ({
      get kind() {
        asked += 1;
        return file.kind;
      },
      ...(file.kind === "readable" ? { stats: file.stats } : {}),
    })) as unknown as typeof files;
    const steps = planCompactionSteps(inputOf(files, { partitions: partitionFiles(counted) }));
    asked = 0;
    while (steps.next().done !== true) {
      most = Math.max(most, asked);
      asked = 0;
    }
    // Each file is asked for its kind a few times.
    expect(most).toBeLessThanOrEqual(5 * STRETCH);
    expect(most).toBeGreaterThan(0);
  });
});
