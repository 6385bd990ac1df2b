import type { ColumnSchema } from "@tamp/core";
import type { DuckNode } from "./duckdb-schema.ts";

/** The SQL type of a value by what its Parquet columns say; null where DuckDB cannot read it. */
export function sqlType(node: DuckNode): string | null {
  switch (node.kind) {
    case "opaque":
      return null;
    case "leaf":
      return leafType(node.column);
    case "list":
      return combined([node.element], ([element]) => `${element}[]`);
    case "map":
      return combined([node.key, node.value], ([key, value]) => `MAP(${key}, ${value})`);
    case "struct": {
      const nodes = node.fields.map((field) => field.node);
      const named = (types: readonly string[]) =>
        node.fields.map(({ name }, index) => `${quoteName(name)} ${types[index]}`).join(", ");
      return combined(nodes, (types) => `STRUCT(${named(types)})`);
    }
  }
}

export function quoteName(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

function combined(nodes: readonly DuckNode[], text: (types: readonly string[]) => string): string | null {
  const types = nodes.map(sqlType);
  return types.includes(null) ? null : text(types.filter((type) => type !== null));
}

const PHYSICAL: Readonly<Record<string, string>> = {
  BOOLEAN: "BOOLEAN",
  INT32: "INTEGER",
  INT64: "BIGINT",
  INT96: "TIMESTAMP",
  FLOAT: "FLOAT",
  DOUBLE: "DOUBLE",
};

const LOGICAL: Readonly<Record<string, string>> = {
  STRING: "VARCHAR",
  ENUM: "VARCHAR",
  JSON: "JSON",
  UUID: "UUID",
  INTERVAL: "INTERVAL",
  DATE: "DATE",
  FLOAT16: "FLOAT",
  NULL: "INTEGER",
};

const INTEGERS: Readonly<Record<string, string>> = {
  8: "TINYINT",
  16: "SMALLINT",
  32: "INTEGER",
  64: "BIGINT",
};

function leafType({ logicalType, physicalType }: ColumnSchema): string {
  const clock = /^(TIME|TIMESTAMP)\((\w+),(\w+)\)$/.exec(logicalType);
  if (clock) return `${clock[1]}${clock[3] === "utc" ? "TZ" : clock[2] === "NANOS" ? "_NS" : ""}`;
  const integer = /^INT\((\d+),(\w+)\)$/.exec(logicalType);
  if (integer) return `${integer[2] === "unsigned" ? "U" : ""}${INTEGERS[integer[1] ?? ""] ?? "BIGINT"}`;
  const decimal = /^DECIMAL\((\d+),/.exec(logicalType);
  if (decimal) return Number(decimal[1]) > 38 ? "DOUBLE" : logicalType;
  if (logicalType.startsWith("GEO")) return "GEOMETRY";
  return LOGICAL[logicalType] ?? PHYSICAL[physicalType] ?? "BLOB";
}
