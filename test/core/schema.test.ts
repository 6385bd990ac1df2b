import {
  type ColumnChange,
  type ColumnSchema,
  compareColumns,
  describeChange,
  refusedChanges,
  schemaText,
} from "@tamp/core";
import { describe, expect, test } from "vitest";

function column(given: Partial<ColumnSchema> = {}): ColumnSchema {
  return {
    path: "x",
    physicalType: "INT64",
    typeLength: 0,
    logicalType: "",
    repetition: "o",
    groupTypes: "",
    fieldIds: "-",
    ...given,
  };
}

describe("a change of one column", () => {
  const rows: readonly (readonly [Partial<ColumnSchema>, Partial<ColumnSchema>, readonly string[]])[] = [
    [{}, {}, []],
    [{ path: "x" }, { path: "y" }, ["nesting: never"]],
    [{ repetition: "r" }, { repetition: "o" }, ["nullability: nullability"]],
    [{ repetition: "o" }, { repetition: "r" }, ["nullability: never"]],
    [{ repetition: "r" }, { repetition: "*" }, ["nullability: never"]],
    [{ repetition: "r*r" }, { repetition: "o*o" }, ["nullability: nullability"]],
    [{ repetition: "o*o" }, { repetition: "o*" }, ["nullability: never"]],
    [{ fieldIds: "1" }, {}, ["field ids: field-ids"]],
    [{ groupTypes: "LIST" }, {}, ["nesting: never"]],
    [
      { physicalType: "INT96" },
      { logicalType: "TIMESTAMP(NANOS,local)" },
      ["physical type: int96", "logical type: int96"],
    ],
    [
      { logicalType: "TIMESTAMP(MILLIS,utc)" },
      { logicalType: "TIMESTAMP(MICROS,utc)" },
      ["logical type: time-unit"],
    ],
    [
      { logicalType: "TIMESTAMP(MILLIS,utc)" },
      { logicalType: "TIMESTAMP(MILLIS,local)" },
      ["logical type: never"],
    ],
    [{ logicalType: "TIME(MILLIS,utc)" }, { logicalType: "TIMESTAMP(MILLIS,utc)" }, ["logical type: never"]],
    [{ logicalType: "ENUM" }, { logicalType: "STRING" }, ["logical type: enum"]],
    [
      { logicalType: "DECIMAL(9,2)", physicalType: "INT32" },
      { logicalType: "DECIMAL(9,2)" },
      ["physical type: decimal-width"],
    ],
    [{ logicalType: "DECIMAL(9,2)" }, { logicalType: "DECIMAL(9,3)" }, ["logical type: never"]],
    [
      { physicalType: "FIXED_LEN_BYTE_ARRAY", typeLength: 3 },
      { physicalType: "BYTE_ARRAY" },
      ["physical type: fixed-binary"],
    ],
    [
      { physicalType: "FIXED_LEN_BYTE_ARRAY", typeLength: 16, logicalType: "UUID" },
      { physicalType: "BYTE_ARRAY" },
      ["physical type: never", "logical type: never"],
    ],
    [{ physicalType: "INT32" }, {}, ["physical type: never"]],
  ];
  test.each(rows)("%j to %j: %j", (from, to, expected) => {
    const changes = compareColumns([column(from)], [column(to)]);
    expect(changes.map(({ attribute, allowName }) => `${attribute}: ${allowName ?? "never"}`)).toEqual(
      expected,
    );
    expect(schemaText([column(from)]) === schemaText([column(to)])).toBe(expected.length === 0);
    const allowed = changes.flatMap(({ allowName }) => allowName ?? []);
    expect(refusedChanges(changes, allowed)).toEqual(changes.filter(({ allowName }) => allowName === null));
    expect(refusedChanges(changes, [])).toEqual(changes);
  });
});

test("columns that are gone or new", () => {
  const two = [column({ path: "a" }), column({ path: "b" })];
  const kinds = (changes: readonly ColumnChange[]) =>
    changes.map((item) => `${item.attribute} ${item.column}`);
  expect(kinds(compareColumns(two, two.slice(0, 1)))).toEqual(["missing b"]);
  expect(kinds(compareColumns(two.slice(0, 1), two))).toEqual(["added b"]);
});

test("a change is told with its remedy", () => {
  const [widened] = compareColumns([column({ repetition: "r" })], [column()]);
  expect(describeChange(widened as ColumnChange)).toBe("x: nullability r -> o (--allow nullability)");
  const [lost] = compareColumns([column({ logicalType: "UUID" })], [column()]);
  expect(describeChange(lost as ColumnChange)).toBe("x: logical type UUID -> none");
});

test("no text of a column's name passes for another schema", () => {
  expect(schemaText([column({ path: 'x"|INT64' })])).not.toBe(schemaText([column({ path: "x" })]));
  expect(schemaText([column({ path: "x\ny" })]).split("\n")).toHaveLength(1);
});
