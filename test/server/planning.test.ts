import { type PartitionFiles, type Plan, partitionFiles, planCompaction } from "@tamp/core";
import { expect, it } from "vitest";
import { hashPlan, makePlan, type PlanningInput, planIdOf } from "../../server/src/planning.ts";
import { fakeEngine } from "../support/fake-engine.ts";
import { inputOf, NOW_MS, policyOf, readable } from "../support/file-stats.ts";

const small = (count: number, directories: number) =>
  Array.from({ length: count }, (_, index) =>
    readable({ path: `d${index % directories}/${index}.parquet`, sizeBytes: 5, inode: String(index) }),
  );

function plan(partitions: Iterable<PartitionFiles>, change: Partial<PlanningInput> = {}): Promise<Plan> {
  return makePlan({
    partitions,
    classes: new Map(),
    policy: policyOf(),
    filters: [],
    engine: fakeEngine(),
    nowMs: NOW_MS,
    learnedRatio: null,
    isExcluded: () => false,
    refusal: null,
    ...change,
  });
}

it("plans as the planner does, and lists what it skips where that is wanted", async () => {
  const files = [...small(300, 4), readable({ path: "alone/a.parquet", sizeBytes: 5 })];
  const expected = planCompaction(inputOf(files));
  expect(await plan(partitionFiles(files))).toEqual(expected);
  expect(expected.skipped).toHaveLength(1);
  expect(await plan(partitionFiles(files), { listSkipped: false })).toEqual({ ...expected, skipped: [] });
});

it("asks for the files of a directory once where their inodes are at hand", async () => {
  let asked = 0;
  const pieces = partitionFiles(small(60, 3)).map(({ partition, files }) => ({
    partition,
    get files() {
      asked += 1;
      return files;
    },
    inodes: Float64Array.from(files, (_, index) => index + Number(partition.slice(1)) * 1000),
  }));
  expect((await plan(pieces)).groups).toHaveLength(3);
  expect(asked).toBe(3);
});

it("leaves the event loop to others while it plans and hashes", async () => {
  let turns = 0;
  let done = false;
  const count = (): void => {
    turns += 1;
    if (!done) setImmediate(count);
  };
  const files = partitionFiles(small(60_000, 20));
  setImmediate(count);
  const made = await plan(files);
  const whilePlanning = turns;
  const planId = await hashPlan(made);
  done = true;
  expect(whilePlanning).toBeGreaterThan(2);
  expect(planId).toBe(planIdOf(made));
});

it("a codec that the engine does not know is why a file is skipped", async () => {
  const files = ["a", "b"].map((name) =>
    readable({ path: `${name}.parquet`, sizeBytes: 5, codecs: ["lzo"] }),
  );
  const { skipped } = await plan(partitionFiles(files));
  expect(skipped.map(({ reason, detail }) => [reason, detail])).toEqual([
    ["unsupported", "fake cannot read the codec lzo"],
    ["unsupported", "fake cannot read the codec lzo"],
  ]);
});
