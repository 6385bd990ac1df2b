import { type DataFile, judgeHealth, planCompaction } from "@tamp/core";
import fc from "fast-check";
import { expect, test } from "vitest";
import { inputOf, policyOf, randomInput, readable } from "../support/file-stats.ts";

const POLICY = policyOf({ targetSize: 1000, minFiles: 2 });

function judge(files: readonly DataFile[]) {
  return judgeHealth(planCompaction(inputOf(files, { policy: POLICY })));
}

const many = (count: number, given: { sizeBytes: number; rowGroupCount?: number }) =>
  Array.from({ length: count }, (_, index) => readable({ path: `${index}.parquet`, ...given }));

test.each<readonly [string, readonly DataFile[], number]>([
  ["no files", [], 100],
  ["at target", many(5, { sizeBytes: 1000 }), 100],
  // 60 x 9/10 files, 25 x 9/10 row groups and 15 x all bytes would go.
  ["ten into one", many(10, { sizeBytes: 100 }), Math.round(100 - 54 - 22.5 - 15)],
  // No file goes, 25 x 9/10 row groups do, 15 x all bytes are rewritten.
  ["row groups alone", many(1, { sizeBytes: 1000, rowGroupCount: 10 }), Math.round(100 - 22.5 - 15)],
  ["two of a great many", [...many(2, { sizeBytes: 1 }), ...many(900, { sizeBytes: 1000 }).slice(2)], 99],
])("%s", (_name, files, score) => {
  expect(judge(files).score).toBe(score);
});

test("reasons count files, bytes and partitions", () => {
  const files = ["x/a", "x/b", "y/a", "y/b"].map((name) =>
    readable({ path: `${name}.parquet`, sizeBytes: 10 }),
  );
  expect(judge(files).reasons).toEqual([{ kind: "small_files", files: 4, bytes: 40, partitions: 2 }]);
});

test("a refused plan is never healthy and says why", () => {
  const plan = planCompaction(inputOf(many(3, { sizeBytes: 1000 }), { policy: POLICY }));
  const refused = { ...plan, kind: "refused", reason: "Delta Lake" } as const;
  const { score, reasons } = judgeHealth({ ...refused, because: "foreign_format" });
  expect(score).toBeLessThan(100);
  expect(reasons).toEqual([{ kind: "foreign_format", files: 3, bytes: 3000, partitions: 0 }]);
  expect(judgeHealth({ ...refused, because: "policy" }).reasons).toEqual([]);
});

test("100 exactly where there is nothing to do", () => {
  fc.assert(
    fc.property(randomInput, (input) => {
      const plan = planCompaction(input);
      const { score, reasons } = judgeHealth(plan);
      expect(score === 100).toBe(plan.kind === "nothing_to_do");
      expect(score).toBeGreaterThanOrEqual(0);
      expect(reasons.length === 0).toBe(plan.kind === "nothing_to_do");
    }),
  );
});
