import { POLICY_OPTIONS, type PolicyInput, resolvePolicy } from "@tamp/core";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { policyOf } from "../support/file-stats.ts";

const MIB = 2 ** 20;

test("the defaults", () => {
  expect(policyOf()).toEqual({
    targetBytes: 128 * MIB,
    smallFileBytes: 96 * MIB,
    oversizeBytes: Math.ceil(1.8 * 128 * MIB),
    targetRows: null,
    rowsPerGroup: 122_880,
    minFiles: 8,
    minAgeMs: 3_600_000,
    minBytes: 128 * MIB,
    rowGroupFactor: 2,
    tierFactor: 5,
    cooldownMs: 0,
    settleMs: 2_000,
    compression: null,
    allow: [],
    maxRunBytes: null,
    maxRunGroups: null,
    retentionMs: 604_800_000,
    maxRetainedBytes: null,
  });
});

describe("bad values are named with their threshold", () => {
  const rows: readonly (readonly [PolicyInput, readonly string[]])[] = [
    [{ targetSize: 0 }, ["targetSize"]],
    [{ targetSize: -5 }, ["targetSize"]],
    [{ targetSize: "many" }, ["targetSize"]],
    [{ targetSize: "-1MB" }, ["targetSize"]],
    [{ smallFile: "0" }, ["smallFile"]],
    [{ targetSize: "1MiB", smallFile: "2MiB" }, ["smallFile"]],
    [{ targetRows: 1.5 }, ["targetRows"]],
    [{ targetRows: Number.NaN }, ["targetRows"]],
    [{ rowsPerGroup: 2047 }, ["rowsPerGroup"]],
    [{ minFiles: 1 }, ["minFiles"]],
    [{ minAgeMs: -1 }, ["minAgeMs"]],
    [{ settleMs: -1 }, ["settleMs"]],
    [{ minBytes: "0" }, ["minBytes"]],
    [{ rowGroupFactor: 1 }, ["rowGroupFactor"]],
    [{ tierFactor: 1 }, ["tierFactor"]],
    [{ tierFactor: 2.5 }, ["tierFactor"]],
    [{ cooldownMs: -1 }, ["cooldownMs"]],
    [{ minfiles: 3 } as PolicyInput, ["minfiles"]],
    [{ maxRunBytes: "0MiB" }, ["maxRunBytes"]],
    [{ maxRunGroups: Number.POSITIVE_INFINITY }, ["maxRunGroups"]],
    [{ retentionMs: -1 }, ["retentionMs"]],
    [{ maxRetained: "0" }, ["maxRetained"]],
    [{ maxRetained: "7d" }, ["maxRetained"]],
    [{ compression: "lzo" }, ["compression"]],
    [{ compression: "ZSTD" }, ["compression"]],
    [{ allow: ["int96", "everything"] }, ["allow"]],
    [{ allow: ["metadata:"] }, ["allow"]],
    [{ targetSize: 0, minFiles: 0, allow: ["x"] }, ["targetSize", "minFiles", "allow"]],
  ];
  test.each(rows)("%j: %j", (input, thresholds) => {
    const result = resolvePolicy(input);
    const problems = result.kind === "invalid" ? result.problems : [];
    expect(problems.map(({ threshold }) => threshold)).toEqual(thresholds);
    for (const { threshold, message } of problems) expect(message).toContain(threshold);
  });

  const times = new Set<string>(["minAgeMs", "cooldownMs", "settleMs", "retentionMs"]);
  test.each(Object.keys(POLICY_OPTIONS) as (keyof typeof POLICY_OPTIONS)[])("%s: zero and less", (name) => {
    fc.assert(
      fc.property(fc.integer({ max: times.has(name) ? -1 : 0 }), (value) => {
        const result = resolvePolicy({ [name]: value });
        expect(result.kind === "invalid" && result.problems.map(({ threshold }) => threshold)).toEqual([
          name,
        ]);
      }),
      { numRuns: 20 },
    );
  });
});

test.each([
  ["minFile", "minFiles"],
  ["min-files", "minFiles"],
  ["TARGETSIZE", "targetSize"],
  ["maxRunByte", "maxRunBytes"],
  ["colour", "targetSize, smallFile"],
])("a threshold that does not exist: %s", (name, hint) => {
  const result = resolvePolicy({ [name]: 1 });
  const problems = result.kind === "invalid" ? result.problems : [];
  expect(problems.map(({ threshold }) => threshold)).toEqual([name]);
  expect(problems[0]?.message).toContain(hint);
});

test.each<readonly [PolicyInput, Partial<ReturnType<typeof policyOf>>]>([
  [
    { minAgeMs: 0, settleMs: 0, retentionMs: 0 },
    { minAgeMs: 0, settleMs: 0, retentionMs: 0 },
  ],
  [{ targetSize: 1000, minBytes: 5 }, { minBytes: 5 }],
  [{ targetSize: 1000 }, { minBytes: 1000 }],
  [{ maxRetained: "2MB" }, { maxRetainedBytes: 2_000_000 }],
  [{ targetSize: "1MB" }, { targetBytes: 1_000_000, smallFileBytes: 750_000, oversizeBytes: 1_800_000 }],
  [{ targetSize: 1 }, { targetBytes: 1, smallFileBytes: 1, oversizeBytes: 2 }],
  [{ targetSize: "1MiB", smallFile: "1MiB" }, { smallFileBytes: MIB }],
  [{ allow: ["int96", "metadata:pandas", "enum", "int96"] }, { allow: ["enum", "int96", "metadata:pandas"] }],
  [
    { compression: "zstd", targetRows: 5 },
    { compression: "zstd", targetRows: 5 },
  ],
])("%j is taken", (input, expected) => {
  expect(policyOf(input)).toMatchObject(expected);
});
