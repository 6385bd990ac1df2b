import type { ColumnChange, ColumnSchema, ReaderAids } from "@tamp/core";
import { compareColumns } from "@tamp/core";
import type { DuckField, DuckNode } from "./duckdb-schema.ts";
import { duckFields } from "./duckdb-schema.ts";

/** The version that every rule in this file was measured with; the child refuses to run with another. */
export const DUCKDB_VERSION = "1.5.5";

export const DUCKDB_CODECS: readonly string[] = [
  "uncompressed",
  "snappy",
  "gzip",
  "zstd",
  "brotli",
  "lz4_raw",
];

/** What DuckDB's COPY would change. Files whose annotations lack the legacy form may change more than this. */
export function predictDuckdbChanges(columns: readonly ColumnSchema[]): readonly ColumnChange[] {
  return compareColumns(columns, predictDuckdbColumns(columns));
}

/** DuckDB adds bloom filters of its own, but to columns with a dictionary only. */
export function describeDuckdbLosses(aids: readonly ReaderAids[]): readonly string[] {
  const losses: string[] = [];
  if (aids.some((aid) => aid.pageIndex)) losses.push("page indexes: DuckDB does not write them");
  if (aids.some((aid) => aid.bloomFilter)) {
    losses.push(
      "bloom filters of columns with many distinct values: DuckDB writes them beside dictionaries only",
    );
  }
  if (aids.some((aid) => aid.sortingColumns))
    losses.push("the note that rows are sorted: DuckDB does not write it");
  return losses;
}

/** The columns of a file that DuckDB's COPY writes from these. */
function predictDuckdbColumns(columns: readonly ColumnSchema[]): readonly ColumnSchema[] {
  const fields = duckFields(columns);
  const root: Written = { names: [], repetition: "", groups: [], ids: [] };
  const keepIds = fieldIdsExpressible(fields);
  return fields.flatMap(({ name, node }) => written(node, step(root, name, "o"), keepIds));
}

/** DuckDB takes each field id once per file; other formats number the fields of every struct anew. */
export function fieldIdsExpressible(fields: readonly DuckField[]): boolean {
  const ids = fields.flatMap(({ node }) => idsOf(node)).filter((id) => id !== "-");
  return new Set(ids).size === ids.length;
}

function idsOf(node: DuckNode): readonly string[] {
  switch (node.kind) {
    case "leaf":
    case "opaque":
      return [node.fieldId];
    case "struct":
      return [node.fieldId, ...node.fields.flatMap((field) => idsOf(field.node))];
    case "list":
      return [node.fieldId, ...idsOf(node.element)];
    case "map":
      return [node.fieldId, ...idsOf(node.key), ...idsOf(node.value)];
  }
}

/** Where a node is written: names and repetition with its own level, groups and ids of those above it. */
interface Written {
  readonly names: readonly string[];
  readonly repetition: string;
  readonly groups: readonly string[];
  readonly ids: readonly string[];
}

function step(at: Written, name: string, repetition: string): Written {
  return { ...at, names: [...at.names, name], repetition: at.repetition + repetition };
}

function group(at: Written, groupType: string, id: string): Written {
  return { ...at, groups: [...at.groups, groupType], ids: [...at.ids, id] };
}

function written(node: DuckNode, at: Written, keepIds: boolean): readonly ColumnSchema[] {
  const id = keepIds ? node.fieldId : "-";
  const inner = (child: DuckNode, from: Written, name: string, repetition: string) =>
    written(child, step(from, name, repetition), keepIds);
  switch (node.kind) {
    case "leaf":
      return [{ ...node.column, ...writtenType(node.column), ...levels(at, id) }];
    case "opaque":
      return node.columns.map((column) => ({ ...column, path: `${column.path} (${node.why})` }));
    case "struct": {
      const from = group(at, "", id);
      return node.fields.flatMap((field) => inner(field.node, from, field.name, "o"));
    }
    case "list": {
      const from = group(step(group(at, "LIST", id), "list", "*"), "", "-");
      return inner(node.element, from, "element", "o");
    }
    case "map": {
      const from = group(step(group(at, "MAP", id), "key_value", "*"), "", "-");
      return [...inner(node.key, from, "key", "r"), ...inner(node.value, from, "value", "o")];
    }
  }
}

function levels(
  at: Written,
  id: string,
): Pick<ColumnSchema, "path" | "repetition" | "groupTypes" | "fieldIds"> {
  return {
    path: at.names.join("."),
    repetition: at.repetition,
    groupTypes: at.groups.join("/"),
    fieldIds: [...at.ids, id].join(","),
  };
}

type LeafType = Pick<ColumnSchema, "physicalType" | "typeLength" | "logicalType">;

function writtenType(column: ColumnSchema): LeafType {
  const { logicalType, physicalType } = column;
  const clock = /^(TIME|TIMESTAMP)\((\w+),(utc|local)\)$/.exec(logicalType);
  if (clock) return clockType(clock[1] ?? "", clock[2] ?? "", clock[3] ?? "");
  const decimal = /^DECIMAL\((\d+),/.exec(logicalType);
  if (decimal) return decimalType(Number(decimal[1]), logicalType);
  const integer = /^INT\((\d+),/.exec(logicalType);
  if (integer) return leafType(integer[1] === "64" ? "INT64" : "INT32", logicalType);
  if (physicalType === "INT96") return leafType("INT64", "TIMESTAMP(MICROS,local)");
  if (/^GEO(METRY|GRAPHY)/.test(logicalType)) return leafType("BYTE_ARRAY", "GEOMETRY");
  if (logicalType === "FLOAT16") return leafType("FLOAT", "");
  if (logicalType === "NULL") return leafType("INT32", "");
  if (logicalType === "ENUM") return leafType("BYTE_ARRAY", "STRING");
  const fixed = logicalType === "UUID" || logicalType === "INTERVAL";
  if (physicalType === "FIXED_LEN_BYTE_ARRAY" && !fixed) return leafType("BYTE_ARRAY", logicalType);
  return column;
}

/** Times of the clock and instants are microseconds to DuckDB, but for timestamps in nanoseconds without a zone. */
function clockType(type: string, unit: string, zone: string): LeafType {
  const keepsNanos = type === "TIMESTAMP" && unit === "NANOS" && zone === "local";
  return leafType("INT64", `${type}(${keepsNanos ? "NANOS" : "MICROS"},${zone})`);
}

function decimalType(precision: number, logicalType: string): LeafType {
  if (precision <= 9) return leafType("INT32", logicalType);
  if (precision <= 18) return leafType("INT64", logicalType);
  if (precision <= 38) return { physicalType: "FIXED_LEN_BYTE_ARRAY", typeLength: 16, logicalType };
  return leafType("DOUBLE", "");
}

function leafType(physicalType: string, logicalType: string): LeafType {
  return { physicalType, typeLength: 0, logicalType };
}
