import { readdirSync } from "node:fs";
import { copyFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { compareColumns, refusedChanges } from "@tamp/core";
import type { SchemaElement } from "hyparquet";
import { parquetWriteBuffer } from "hyparquet-writer";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { predictDuckdbChanges } from "../../server/src/engines/duckdb-capabilities.ts";
import {
  closeScratch,
  columnsIn,
  footer,
  newFolder,
  openScratch,
  rewrite,
  running,
  taskOf,
} from "../support/duckdb-scratch.ts";

type FieldRepetitionType = NonNullable<SchemaElement["repetition_type"]>;

beforeAll(() => openScratch("capabilities"));
afterAll(closeScratch);

/** A schema element; optional unless it says otherwise. */
type Element = Omit<SchemaElement, "repetition_type"> & {
  readonly repetition_type?: FieldRepetitionType;
};

function required(element: Element): Element {
  return { ...element, repetition_type: "REQUIRED" };
}

function repeated(element: Element): Element {
  return { ...element, repetition_type: "REPEATED" };
}

function clock(
  type: "TIME" | "TIMESTAMP",
  unit: "MILLIS" | "MICROS" | "NANOS",
  isAdjustedToUTC: boolean,
): Element {
  const physical = type === "TIME" && unit === "MILLIS" ? "INT32" : "INT64";
  return { name: "c", type: physical, logical_type: { type, isAdjustedToUTC, unit } };
}

function decimal(type: SchemaElement["type"] & string, precision: number, type_length?: number): Element {
  const element: Element = { name: "c", type, converted_type: "DECIMAL", precision, scale: 2 };
  return type_length === undefined ? element : { ...element, type_length };
}

function emptyFile(elements: readonly Element[]): Uint8Array {
  const roots: string[] = [];
  let inside = 0;
  for (const { name, num_children = 0 } of elements) {
    if (inside === 0) roots.push(name);
    inside += inside === 0 ? num_children : num_children - 1;
  }
  const schema: SchemaElement[] = [
    { name: "root", num_children: roots.length },
    ...elements.map(
      (element): SchemaElement => ({ ...element, repetition_type: element.repetition_type ?? "OPTIONAL" }),
    ),
  ];
  const columnData = roots.map((name) => ({ name, data: [] }));
  return new Uint8Array(parquetWriteBuffer({ columnData, schema, codec: "UNCOMPRESSED" }));
}

const int32: Element = { name: "element", type: "INT32" };
const listOf = (id?: number): Element => ({
  name: "l",
  converted_type: "LIST",
  num_children: 1,
  ...(id === undefined ? {} : { field_id: id }),
});
const mapOf: Element = { name: "m", converted_type: "MAP", num_children: 1 };
const text = (name: string): Element => ({ name, type: "BYTE_ARRAY", converted_type: "UTF8" });
const fixed = (type_length: number): Element => ({ name: "c", type: "FIXED_LEN_BYTE_ARRAY", type_length });

/** Each file may hold several columns; what changes is `attribute: from -> to`, `!` where nothing may allow it. */
const schemas: readonly (readonly [string, readonly Element[], readonly string[]])[] = [
  ["required", [required({ name: "c", type: "INT32" })], ["nullability: r -> o"]],
  [
    "INT96",
    [{ name: "c", type: "INT96" }],
    ["physical type: INT96 -> INT64", "logical type:  -> TIMESTAMP(MICROS,local)"],
  ],
  ["legacy timestamp", [{ name: "c", type: "INT64", converted_type: "TIMESTAMP_MICROS" }], []],
  ["legacy time", [{ name: "c", type: "INT64", converted_type: "TIME_MICROS" }], []],
  [
    "timestamp MICROS",
    [clock("TIMESTAMP", "MICROS", true), { ...clock("TIMESTAMP", "MICROS", false), name: "d" }],
    [],
  ],
  ["timestamp NANOS", [clock("TIMESTAMP", "NANOS", false)], []],
  [
    "timestamp NANOS utc",
    [clock("TIMESTAMP", "NANOS", true)],
    ["logical type: TIMESTAMP(NANOS,utc) -> TIMESTAMP(MICROS,utc)"],
  ],
  [
    "timestamp MILLIS",
    [clock("TIMESTAMP", "MILLIS", false)],
    ["logical type: TIMESTAMP(MILLIS,local) -> TIMESTAMP(MICROS,local)"],
  ],
  [
    "time MILLIS",
    [clock("TIME", "MILLIS", true)],
    ["physical type: INT32 -> INT64", "logical type: TIME(MILLIS,utc) -> TIME(MICROS,utc)"],
  ],
  [
    "time MICROS and NANOS",
    [clock("TIME", "MICROS", true), { ...clock("TIME", "NANOS", false), name: "d" }],
    ["logical type: TIME(NANOS,local) -> TIME(MICROS,local)"],
  ],
  ["decimal 9", [decimal("INT64", 9)], ["physical type: INT64 -> INT32"]],
  ["decimal 10", [decimal("INT64", 10)], []],
  ["decimal 18", [decimal("BYTE_ARRAY", 18)], ["physical type: BYTE_ARRAY -> INT64"]],
  [
    "decimal 19",
    [decimal("FIXED_LEN_BYTE_ARRAY", 19, 9)],
    ["physical type: FIXED_LEN_BYTE_ARRAY(9) -> FIXED_LEN_BYTE_ARRAY(16)"],
  ],
  [
    "decimal 39",
    [decimal("FIXED_LEN_BYTE_ARRAY", 39, 17)],
    ["! physical type: FIXED_LEN_BYTE_ARRAY(17) -> DOUBLE", "! logical type: DECIMAL(39,2) -> "],
  ],
  ["ENUM", [{ name: "c", type: "BYTE_ARRAY", converted_type: "ENUM" }], ["logical type: ENUM -> STRING"]],
  [
    "JSON, UUID, INTERVAL, DATE",
    [
      { name: "a", type: "BYTE_ARRAY", converted_type: "JSON" },
      { ...fixed(16), logical_type: { type: "UUID" } },
      { ...fixed(12), name: "i", converted_type: "INTERVAL" },
      { name: "d", type: "INT32", converted_type: "DATE" },
    ],
    [],
  ],
  [
    "integers",
    (["INT_8", "INT_16", "UINT_8", "UINT_16", "UINT_32"] as const).map((converted_type) => ({
      name: converted_type,
      type: "INT32",
      converted_type,
    })),
    [],
  ],
  [
    "UINT_64, INT_64",
    [
      { name: "a", type: "INT64", converted_type: "UINT_64" },
      { name: "b", type: "INT64", converted_type: "INT_64" },
    ],
    [],
  ],
  ["plain bytes", [{ name: "c", type: "BYTE_ARRAY" }], []],
  ["fixed bytes", [fixed(5)], ["physical type: FIXED_LEN_BYTE_ARRAY(5) -> BYTE_ARRAY"]],
  [
    "FLOAT16",
    [{ ...fixed(2), logical_type: { type: "FLOAT16" } }],
    ["! physical type: FIXED_LEN_BYTE_ARRAY(2) -> FLOAT", "! logical type: FLOAT16 -> "],
  ],
  ["GEOMETRY", [{ name: "c", type: "BYTE_ARRAY", logical_type: { type: "GEOMETRY" } }], []],
  [
    "GEOMETRY with crs",
    [{ name: "c", type: "BYTE_ARRAY", logical_type: { type: "GEOMETRY", crs: "EPSG:3857" } }],
    ["! logical type: GEOMETRY(EPSG:3857) -> GEOMETRY"],
  ],
  [
    "GEOGRAPHY",
    [{ name: "c", type: "BYTE_ARRAY", logical_type: { type: "GEOGRAPHY" } }],
    ["! logical type: GEOGRAPHY(,SPHERICAL) -> GEOMETRY"],
  ],
  ["list", [listOf(), repeated({ name: "list", num_children: 1 }), int32], []],
  [
    "required list",
    [required(listOf()), repeated({ name: "list", num_children: 1 }), required(int32)],
    ["nullability: r*r -> o*o"],
  ],
  [
    "bag list",
    [listOf(), repeated({ name: "bag", num_children: 1 }), { ...int32, name: "array_element" }],
    ["! nesting: l.bag.array_element -> l.list.element"],
  ],
  [
    "2-level list",
    [listOf(), repeated({ ...int32, name: "array" })],
    ["! nesting: l.array -> l.list.element"],
  ],
  [
    "list of structs",
    [
      listOf(),
      repeated({ name: "list", num_children: 1 }),
      { name: "element", num_children: 2 },
      text("a"),
      text("A"),
    ],
    ["! nesting: l.list.element.A -> l.list.element.A_1"],
  ],
  ["repeated leaf", [repeated({ name: "c", type: "INT32" })], ["! nesting: c -> c.list.element"]],
  [
    "repeated group",
    [repeated({ name: "g", num_children: 2 }), text("a"), text("b")],
    ["! nesting: g.a -> g.list.element.a", "! nesting: g.b -> g.list.element.b"],
  ],
  [
    "map",
    [mapOf, repeated({ name: "key_value", num_children: 2 }), required(text("key")), text("value")],
    [],
  ],
  [
    "legacy map",
    [
      mapOf,
      repeated({ name: "map", converted_type: "MAP_KEY_VALUE", num_children: 2 }),
      required(text("key")),
      text("value"),
    ],
    ["! nesting: m.map.key -> m.key_value.key", "! nesting: m.map.value -> m.key_value.value"],
  ],
  [
    "optional key",
    [mapOf, repeated({ name: "key_value", num_children: 2 }), text("key"), text("value")],
    ["! nullability: o*o -> o*r"],
  ],
  [
    "required struct",
    [required({ name: "s", num_children: 1 }), required(text("a"))],
    ["nullability: rr -> oo"],
  ],
  [
    "names that differ in case",
    [text("a"), text("A"), text("a_1")],
    ["! nesting: A -> A_1", "! nesting: a_1 -> a_1_1"],
  ],
  [
    "dots in a name",
    [{ ...listOf(), name: "x.y" }, repeated({ name: "list", num_children: 1 }), int32, text("p.q")],
    [],
  ],
  [
    "field ids",
    [
      { ...text("a b"), field_id: 1 },
      { name: "s", num_children: 2, field_id: 2 },
      { ...text("x"), field_id: 3 },
      text("y"),
      listOf(4),
      repeated({ name: "list", num_children: 1 }),
      { ...int32, field_id: 0 },
    ],
    [],
  ],
  [
    "field ids of a map",
    [
      { ...mapOf, field_id: 1 },
      repeated({ name: "key_value", num_children: 2 }),
      required({ ...text("key"), field_id: 2 }),
      { ...text("value"), field_id: -3 },
    ],
    [],
  ],
  [
    "field id of a repeated level",
    [listOf(4), repeated({ name: "list", num_children: 1, field_id: 5 }), { ...int32, field_id: 6 }],
    ["field ids: 4,5,6 -> 4,-,6"],
  ],
  [
    "one field id twice",
    [
      { ...text("a"), field_id: 1 },
      { ...text("b"), field_id: 1 },
    ],
    ["field ids: 1 -> -", "field ids: 1 -> -"],
  ],
];

describe("predicts what DuckDB changes", () => {
  test.each(schemas)("%s", async (name, elements, expected) => {
    const folder = await newFolder(`schema ${name.replaceAll(/\W/g, "_")}`);
    await writeFile(join(folder, "in.parquet"), emptyFile(elements));
    const { columns } = await rewrite({ folder, inputs: [{ path: "in.parquet", rows: 0 }] });
    const changes = compareColumns(columns, await columnsIn(folder, "out-0.parquet"));
    expect(predictDuckdbChanges(columns)).toEqual(changes);
    const told = changes.map(
      (item) => `${item.allowName === null ? "! " : ""}${item.attribute}: ${item.from} -> ${item.to}`,
    );
    expect(told).toEqual(expected);
  });
});

/** Files that change more than their columns tell; validation refuses what DuckDB makes of them. */
const unpredictable: Readonly<Record<string, string>> = {
  "strings.parquet": "a STRING without the legacy annotation is read as bytes",
};

const corpus = process.env.TAMP_CORPUS ?? "";
const samples =
  corpus === "" ? [] : readdirSync(join(corpus, "valid")).filter((name) => name.endsWith(".parquet"));
if (samples.length === 0) process.stderr.write("TAMP_CORPUS names no corpus: its 63 files are not tested.\n");

test.skipIf(samples.length === 0)("predicts the changes of the corpus", async () => {
  const folder = await newFolder("corpus");
  let unreadable = 0;
  for (const name of samples.filter((sample) => !(sample in unpredictable))) {
    await copyFile(join(corpus, "valid", name), join(folder, name));
    const rows = Number((await footer(folder, name)).num_rows);
    const task = await taskOf({ folder, inputs: [{ path: name, rows }] });
    const { columns } = task;
    const predicted = predictDuckdbChanges(columns);
    try {
      await running.rewrite(task, () => {});
    } catch (error) {
      expect(error).toMatchObject({ code: "EngineFailed" });
      unreadable += 1;
      continue;
    }
    const before = await running.digest({ folder, files: task.inputs, columns });
    expect(await running.digest({ folder, files: task.outputs, columns }), name).toEqual(before);
    if (columns.some(({ groupTypes }) => groupTypes.includes("VARIANT"))) {
      expect(refusedChanges(predicted, []).some(({ allowName }) => allowName === null)).toBe(true);
    } else expect(compareColumns(columns, await columnsIn(folder, "out-0.parquet")), name).toEqual(predicted);
  }
  // Two with encodings or codecs that DuckDB lacks, one whose footer states fewer rows than its pages hold.
  expect(unreadable).toBe(3);
});
