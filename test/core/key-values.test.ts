import { comparableKeyValues, type FileKeyValue, keptKeyValues, outputKeyValues } from "@tamp/core";
import { describe, expect, test } from "vitest";

function pandas(stop: number, start = 0): string {
  return JSON.stringify({
    index_columns: [{ kind: "range", name: null, start, stop, step: 1 }],
    columns: [],
  });
}

const kv = (key: string, value: string): FileKeyValue => ({ key, value });
const SPACED = '{"index_columns": ["id"], "big": 12345678901234567890}';

describe("what must agree between files", () => {
  test.each<readonly [string, readonly FileKeyValue[], readonly string[], readonly FileKeyValue[]]>([
    ["nothing", [], [], []],
    ["sorted by key", [kv("b", "2"), kv("a", "1")], [], [kv("a", "1"), kv("b", "2")]],
    ["an allowed key may differ", [kv("b", "2"), kv("a", "1")], ["metadata:b", "a"], [kv("a", "1")]],
    ["pandas' own row count", [kv("pandas", pandas(7))], [], [kv("pandas", pandas(0))]],
    ["another index stays", [kv("pandas", pandas(7, 3))], [], [kv("pandas", pandas(7, 3))]],
    ["another range where it may be lost", [kv("pandas", pandas(7, 3))], ["metadata:pandas"], []],
    ["untouched text keeps its bytes", [kv("pandas", SPACED)], [], [kv("pandas", SPACED)]],
    ["no JSON", [kv("pandas", "{oops")], [], [kv("pandas", "{oops")]],
    ["JSON of another shape", [kv("pandas", "[1]")], [], [kv("pandas", "[1]")]],
    ["only pandas' key", [kv("other", pandas(7))], [], [kv("other", pandas(7))]],
  ])("%s", (_name, entries, allow, expected) => {
    expect(comparableKeyValues(entries, allow)).toEqual(expected);
  });
});

test("an output carries its own row count", () => {
  const kept = keptKeyValues([kv("pandas", pandas(7)), kv("a", "1")], []);
  expect(outputKeyValues(kept, 21, [])).toEqual([kv("a", "1"), kv("pandas", pandas(21))]);
});
