import {
  hiveKeys,
  matchesFilters,
  type PartitionFilter,
  parsePartitionFilter,
  partitionOf,
} from "@tamp/core";
import fc from "fast-check";
import { describe, expect, test } from "vitest";

function filter(text: string): PartitionFilter {
  const parsed = parsePartitionFilter(text);
  if (parsed === null) throw new Error(`no filter: ${text}`);
  return parsed;
}

describe("partition filter", () => {
  const rows: readonly (readonly [partition: string, filters: readonly string[], matches: boolean])[] = [
    ["month=1", ["month=1"], true],
    ["month=10", ["month=1"], false],
    ["month=1", ["month=10"], false],
    ["month=1", ["month=1/"], true],
    ["month=1/day=2", ["month=1"], true],
    ["month=1", ["month=1/day=2"], false],
    ["year=2024/month=1", ["month=1"], false],
    ["year=2024/month=1", ["year=2024/month=1"], true],
    ["year=2024/month=10", ["year=2024/month=1"], false],
    ["month=2", ["month=1", "month=2"], true],
    ["month=3", ["month=1", "month=2"], false],
    ["", ["month=1"], false],
    ["", [], true],
    ["anything", [], true],
    ["city=S%C3%A3o%20Paulo", ["city=São Paulo"], true],
    ["city=a b", ["city=a%20b"], true],
    ["city=50%25%20x", ["city=50% x"], true],
    ["city=%FFa%20b", ["city=%FFa b"], true],
    ["k=v=w", ["k=v=w"], true],
    ["k=v=w", ["k=v"], false],
    ["k%3Dv=w", ["k=v=w"], false],
    ["k=", ["k="], true],
    ["k=", ["k=x"], false],
    ["k=x", ["k="], false],
    ["day=__HIVE_DEFAULT_PARTITION__", ["day=__HIVE_DEFAULT_PARTITION__"], true],
    ["day=", ["day=__HIVE_DEFAULT_PARTITION__"], false],
    ["Month=1", ["month=1"], false],
    ["plain", ["plain"], true],
    ["plain2", ["plain"], false],
    ["a%20b", ["a b"], false],
  ];
  test.each(rows)("%j under %j: %j", (partition, filters, matches) => {
    expect(matchesFilters(partition, filters.map(filter))).toBe(matches);
  });

  test.each(["", "/", "//", "a//b", "/a", ".", "a/..", "../a", "a/./b"])("%j is no filter", (text) => {
    expect(parsePartitionFilter(text)).toBeNull();
  });

  const component = fc.string({ minLength: 1, maxLength: 6 }).map((text) => `k=${encodeURIComponent(text)}`);
  test("a prefix of components matches, a prefix of characters does not", () => {
    fc.assert(
      fc.property(fc.array(component, { minLength: 1, maxLength: 4 }), fc.nat(3), (components, cut) => {
        const prefix = components.slice(0, 1 + (cut % components.length)).join("/");
        const partition = components.join("/");
        expect(matchesFilters(partition, [filter(prefix)])).toBe(true);
        expect(matchesFilters(`${prefix}0/x`, [filter(prefix)])).toBe(false);
      }),
    );
  });
});

test.each([
  ["a.parquet", ""],
  ["d/a.parquet", "d"],
  ["y=1/m=2/a.parquet", "y=1/m=2"],
])("partition of %s is %j", (path, partition) => {
  expect(partitionOf(path)).toBe(partition);
});

test.each<readonly [string, readonly (readonly [string, string | null])[]]>([
  ["", []],
  ["plain", []],
  ["=v", []],
  [
    "y=2024/m=1",
    [
      ["y", "2024"],
      ["m", "1"],
    ],
  ],
  [
    "y=2024/plain/m=1",
    [
      ["y", "2024"],
      ["m", "1"],
    ],
  ],
  ["k=v=w", [["k", "v=w"]]],
  ["k=", [["k", ""]]],
  ["k=__HIVE_DEFAULT_PARTITION__", [["k", null]]],
  ["a%2Fb=c%3Dd", [["a/b", "c=d"]]],
  ["k=100%", [["k", "100%"]]],
  ["k=%zz%20", [["k", "%zz "]]],
  ["k=%FF%20", [["k", "%FF%20"]]],
])("hive keys of %j", (partition, keys) => {
  expect(hiveKeys(partition)).toEqual(keys.map(([key, value]) => ({ key, value })));
});
