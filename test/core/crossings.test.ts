import {
  type CompactionInput,
  type Crossing,
  type FileStats,
  type Plan,
  type PolicyInput,
  planCompaction,
} from "@tamp/core";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { HOUR_MS, inputOf, NOW_MS, policyOf, randomInput, readable } from "../support/file-stats.ts";

type Given = Partial<FileStats>;
type Files = Readonly<Record<string, Given>>;

/** Sizes in a policy whose target is 1000: small under 750, oversize over 1800. */
const POLICY: PolicyInput = { targetSize: 1000, minFiles: 3, rowsPerGroup: 2048 };
const DAY_MS = 24 * HOUR_MS;

function planOf(files: Files, policy: PolicyInput = {}, input: Partial<CompactionInput> = {}): Plan {
  const listed = Object.entries(files).map(([name, given]) =>
    readable({ path: `${name}.parquet`, ...given }),
  );
  return planCompaction(inputOf(listed, { policy: policyOf({ ...POLICY, ...policy }), ...input }));
}

const aged = (sizeBytes: number, ageMs = 10 * HOUR_MS): Given => ({ sizeBytes, changedMs: NOW_MS - ageMs });

interface Row {
  readonly name: string;
  readonly files: Files;
  readonly policy?: PolicyInput;
  readonly crossings: readonly Crossing[];
}

const at = (partition: string, crossing: Omit<Crossing, "partition">): Crossing => ({
  partition,
  ...crossing,
});

describe("the threshold that a partition is over", () => {
  test.each<Row>([
    { name: "none", files: { a: aged(100) }, crossings: [] },
    {
      name: "the count, in each of two partitions",
      files: {
        "y/a": aged(1),
        "y/b": aged(1),
        "y/c": aged(1),
        "x/a": aged(2),
        "x/b": aged(2),
        "x/c": aged(2),
      },
      crossings: [
        at("x", { trigger: "count", files: 3, bytes: 6, limit: 3, value: 3 }),
        at("y", { trigger: "count", files: 3, bytes: 3, limit: 3, value: 3 }),
      ],
    },
    {
      name: "bytes",
      files: { a: aged(500, 3000), b: aged(700, 3000) },
      crossings: [at("", { trigger: "bytes", files: 2, bytes: 1200, limit: 1000, value: 1200 })],
    },
    {
      name: "age: that of the second",
      files: { a: aged(100), b: aged(100, 2 * HOUR_MS) },
      crossings: [at("", { trigger: "age", files: 2, bytes: 200, limit: HOUR_MS, value: 2 * HOUR_MS })],
    },
    {
      name: "age, since nothing comes any more",
      files: { a: aged(100, 2 * DAY_MS), "compacted-r1-0001": aged(100, 2 * DAY_MS) },
      crossings: [at("", { trigger: "age", files: 2, bytes: 200, limit: DAY_MS, value: 2 * DAY_MS })],
    },
    {
      name: "row groups: the worst file",
      files: { a: { rowGroupCount: 2 }, b: { rowGroupCount: 7 } },
      crossings: [at("", { trigger: "row_groups", files: 2, bytes: 2000, limit: 2, value: 7 })],
    },
    {
      name: "size before row groups",
      files: { a: { sizeBytes: 2700 }, b: { rowGroupCount: 7 } },
      crossings: [at("", { trigger: "oversize", files: 2, bytes: 3700, limit: 1800, value: 2700 })],
    },
    {
      name: "rows, in bytes",
      files: { a: { sizeBytes: 1000, rows: 200 } },
      policy: { targetRows: 50 },
      crossings: [at("", { trigger: "oversize", files: 1, bytes: 1000, limit: 250, value: 1000 })],
    },
    {
      name: "codec",
      files: { a: { codecs: ["gzip"] }, b: {} },
      policy: { compression: "snappy" },
      crossings: [at("", { trigger: "codec", files: 1, bytes: 1000, limit: 1, value: 1 })],
    },
    {
      name: "whatever a run may rewrite",
      files: { a: aged(100), b: aged(100), c: aged(100) },
      policy: { maxRunBytes: 1 },
      crossings: [at("", { trigger: "count", files: 3, bytes: 300, limit: 3, value: 3 })],
    },
  ])("$name", ({ files, policy, crossings }) => {
    expect(planOf(files, policy).crossings).toEqual(crossings);
  });

  test("there is none exactly where there is nothing to do", () => {
    fc.assert(
      fc.property(randomInput, (input) => {
        const plan = planCompaction(input);
        expect(plan.crossings.length === 0).toBe(plan.kind === "nothing_to_do");
        expect(plan.crossings.reduce((sum, { files }) => sum + files, 0)).toBe(plan.stats.compactedFileCount);
        expect(plan.crossings.reduce((sum, { bytes }) => sum + bytes, 0)).toBe(plan.stats.rewrittenBytes);
        for (const { limit, value } of plan.crossings) expect(value).toBeGreaterThanOrEqual(limit);
      }),
    );
  });
});

describe("the next time at which the plan may change by itself", () => {
  test.each<readonly [string, Files, PolicyInput, number | null]>([
    ["never", {}, {}, null],
    ["never: at target", { a: { changedMs: NOW_MS - HOUR_MS } }, {}, null],
    ["never: one alone", { a: aged(1, 60_000) }, {}, null],
    ["a file settles", { a: aged(1, 500) }, {}, 1_500],
    ["the second file comes of age", { a: aged(1, 60_000), b: aged(1, 30_000) }, {}, HOUR_MS - 30_000],
    ["another age", { a: aged(1, 60_000), b: aged(1, 30_000) }, { minAgeMs: 90_000 }, 60_000],
    ["a published file may go along", { "compacted-r1-0001": aged(1, 2_000) }, {}, 1],
    [
      "nothing comes any more",
      { "compacted-r1-0001": aged(1, 5_000), "compacted-r2-0001": aged(1, 4_000) },
      {},
      DAY_MS - 4_000,
    ],
    ["a partition has rested", { "compacted-r1-0001": aged(1000, 5_000) }, { cooldownMs: 60_000 }, 55_000],
    [
      "a published file may be mended",
      { "compacted-r1-0001": { ...aged(1000, 5_000), rowGroupCount: 5 } },
      {},
      HOUR_MS - 5_000,
    ],
  ])("%s", (_name, files, policy, afterMs) => {
    expect(planOf(files, policy).nextDueMs).toBe(afterMs === null ? null : NOW_MS + afterMs);
  });

  const said = ({ groups, skipped, crossings }: Plan): unknown => ({
    groups,
    reasons: skipped.map(({ path, reason }) => [path, reason]),
    triggers: crossings.map(({ partition, trigger }) => [partition, trigger]),
  });

  test("comes before every change, and none comes where there is none", () => {
    const share = fc.double({ min: 0, max: 1, noNaN: true });
    fc.assert(
      fc.property(randomInput, share, (input, part) => {
        const plan = planCompaction(input);
        const lastMs = (plan.nextDueMs ?? input.nowMs + 4_000 * DAY_MS) - 1;
        const nowMs = Math.floor(input.nowMs + part * (lastMs - input.nowMs));
        for (const atMs of [nowMs, lastMs])
          expect(said(planCompaction({ ...input, nowMs: atMs }))).toEqual(said(plan));
      }),
      { numRuns: 300 },
    );
  });
});
