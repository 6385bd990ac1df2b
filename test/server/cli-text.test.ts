import { describe, expect, it } from "vitest";
import { inFlags } from "../../server/src/cli/flags.ts";
import { formatDuration, naturalOrder, wrap } from "../../server/src/cli/text.ts";

describe("wrap", () => {
  it.each([
    ["pin 1 ms, rewrite 2.0 s", 12, ["pin 1 ms,", "rewrite", "2.0 s"]],
    ["needs 1.5 GiB beside", 10, ["needs", "1.5 GiB", "beside"]],
    ["about 3 groups", 9, ["about 3", "groups"]],
    ["a-word-that-is-longer", 5, ["a-word-that-is-longer"]],
  ] as const)("%s in %i", (text, width, lines) => {
    expect(wrap(text, width)).toEqual(lines);
  });
});

describe("natural order", () => {
  it.each([
    [
      ["month=10", "month=2"],
      ["month=2", "month=10"],
    ],
    [
      ["y=2026/m=1", "y=2025/m=12"],
      ["y=2025/m=12", "y=2026/m=1"],
    ],
    [
      ["a1", "a", "", "a01"],
      ["", "a", "a01", "a1"],
    ],
    [
      ["10", "x", "9"],
      ["9", "10", "x"],
    ],
  ])("%j", (given, expected) => {
    expect([...given].sort(naturalOrder)).toEqual(expected);
  });
});

describe("thresholds as flags", () => {
  it.each([
    ["targetSize must be at least 1 bytes, not 0", "--target-size must be at least 1 byte, not 0"],
    ["smallFile must not exceed targetSize: x", "--small-file must not exceed --target-size: x"],
    ["minAgeMs must be a whole number of ms", "--min-age must be a whole number of ms"],
    ["maxRunGroups must be at least 1 groups", "--max-groups must be at least 1 group"],
    ["retentionMs must be at least 0 ms, not -1", "--retention must be at least 0 ms, not -1"],
    ["maxRetained must be at least 1 bytes, not 0", "--max-retained must be at least 1 byte, not 0"],
    ["memoryLimit must be at least 64MiB", "--memory-limit must be at least 64MiB"],
    ["overlapMs must be at most 600000", "--overlap must be at most 600000"],
    ["compression must be one of zstd", "--compression must be one of zstd"],
    ["the compression of aFile", "the compression of aFile"],
  ])("%s", (given, expected) => {
    expect(inFlags(given)).toBe(expected);
  });
});

describe("how long something took", () => {
  it.each([
    [0, "0 ms"],
    [999.4, "999 ms"],
    [999.6, "1.0 s"],
    [59_900, "59.9 s"],
    [59_960, "1 min 0 s"],
    [3_599_499, "59 min 59 s"],
    [3_599_600, "1 h 0 min"],
    [7_810_000, "2 h 10 min"],
    [86_400_000, "1 d 0 h"],
    [615_600_000, "7 d 3 h"],
  ])("%d ms: %s", (ms, text) => {
    expect(formatDuration(ms)).toBe(text);
  });
});
