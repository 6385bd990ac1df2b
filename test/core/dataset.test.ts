import { foreignFormat, isDataFileName, isPublishedName, publishedName } from "@tamp/core";
import { expect, test } from "vitest";

test.each([
  ["a.parquet", true],
  ["é b'.parquet", true],
  [".parquet", false],
  [".a.parquet", false],
  ["_a.parquet", false],
  ["a.PARQUET", false],
  ["a.parquet.crc", false],
  ["a.parquet.tmp", false],
  ["_k=v.parquet", true],
])("%s is a data file: %s", (name, expected) => {
  expect(isDataFileName(name)).toBe(expected);
});

test.each([
  ["compacted-k3x9-0001.parquet", true],
  ["a/b/compacted-k3x9-12345.parquet", true],
  ["optimized-k3x9-0001.parquet", true],
  ["compacted-k3x9-001.parquet", false],
  ["my-compacted-k3x9-0001.parquet", false],
  ["compacted-K3-0001.parquet", false],
  ["compacted-k3x9-0001.parquet/a.parquet", false],
  [publishedName("compact", "k3x9", 1), true],
  [publishedName("compact", "0", 123_456), true],
])("%s is a published name: %s", (path, expected) => {
  expect(isPublishedName(path)).toBe(expected);
});

test("ordinals have four digits at least", () => {
  expect(publishedName("compact", "r1", 7)).toBe("compacted-r1-0007.parquet");
  expect(publishedName("compact", "r1", 70_000)).toBe("compacted-r1-70000.parquet");
});

test.each<readonly [readonly string[], string | null]>([
  [[], null],
  [["a.parquet", "day=1", "_SUCCESS"], null],
  [["_delta_log"], "Delta Lake"],
  [["v3.metadata.json"], "Apache Iceberg"],
  [["version-hint.text"], "Apache Iceberg"],
  [[".hoodie"], "Apache Hudi"],
  [["_spark_metadata"], "Spark streaming sink"],
  [["_versions"], "Lance"],
  [["_temporary"], "running Hadoop or Spark job"],
  [["snapshot", "manifest"], "Apache Paimon"],
  [["snapshot"], null],
  [["base_0000005"], "Hive ACID"],
  [["base_0000005_v0000012"], "Hive ACID"],
  [["delta_0000001_0000004_0001"], "Hive ACID"],
  [["delete_delta_0000001_0000001"], "Hive ACID"],
  // A user's own names that only look alike.
  [["base_2024.parquet", "delta_20240101.parquet", "base_20240101_x"], null],
])("%j belongs to %s", (names, format) => {
  expect(foreignFormat(names)).toBe(format);
});
