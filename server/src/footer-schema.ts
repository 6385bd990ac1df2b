import type { ColumnSchema } from "@tamp/core";
import type { FileMetaData } from "./footer.ts";

type SchemaElement = FileMetaData["schema"][number];

interface Level {
  readonly element: SchemaElement;
  readonly parent: SchemaElement | null;
}

/**
 * The leaf columns of a footer in file order.
 *
 * The footer must have been parsed with `geoparquet: false`: otherwise the parser invents geometry types from
 * key-value metadata.
 */
export function columnsOf(metadata: FileMetaData): readonly ColumnSchema[] {
  const elements = metadata.schema;
  const columns: ColumnSchema[] = [];
  const open: { level: Level; left: number }[] = [
    { level: levelOf(elements[0], null), left: childCount(elements[0]) },
  ];
  for (const element of elements.slice(1)) {
    while (open.length > 0 && open.at(-1)?.left === 0) open.pop();
    const top = open.at(-1);
    if (top === undefined) throw new Error("The Parquet schema lists more elements than its groups hold.");
    top.left -= 1;
    const level = levelOf(element, open.length === 1 ? null : top.level.element);
    if (element.type === undefined) open.push({ level, left: childCount(element) });
    else columns.push(leafOf([...open.slice(1).map((item) => item.level), level]));
  }
  if (open.some((item) => item.left > 0)) throw new Error("The Parquet schema ends inside a group.");
  return columns;
}

function levelOf(element: SchemaElement | undefined, parent: SchemaElement | null): Level {
  if (element === undefined) throw new Error("The Parquet schema is empty.");
  return { element, parent };
}

function childCount(element: SchemaElement | undefined): number {
  return element?.num_children ?? 0;
}

function leafOf(levels: readonly Level[]): ColumnSchema {
  const leaf = levels.at(-1)?.element;
  if (leaf?.type === undefined) throw new Error("The Parquet schema has a group where a column must be.");
  return {
    path: levels.map(({ element }) => element.name).join("."),
    physicalType: leaf.type,
    typeLength: leaf.type === "FIXED_LEN_BYTE_ARRAY" ? (leaf.type_length ?? 0) : 0,
    logicalType: logicalText(leaf),
    repetition: levels.map(({ element }) => repetitionLetter(element)).join(""),
    groupTypes: levels.slice(0, -1).map(groupText).join("/"),
    fieldIds: levels.map(({ element }) => element.field_id ?? "-").join(","),
  };
}

function repetitionLetter(element: SchemaElement): string {
  if (element.repetition_type === "REPEATED") return "*";
  return element.repetition_type === "OPTIONAL" ? "o" : "r";
}

/** MAP_KEY_VALUE means MAP on the outer group of a map and nothing on the inner one. */
function groupText({ element, parent }: Level): string {
  const logical = element.logical_type?.type;
  if (logical !== undefined) return logical;
  if (element.converted_type !== "MAP_KEY_VALUE") return element.converted_type ?? "";
  return parent !== null && isMap(parent) ? "" : "MAP";
}

function isMap(element: SchemaElement): boolean {
  return element.logical_type?.type === "MAP" || element.converted_type?.startsWith("MAP") === true;
}

function logicalText(element: SchemaElement): string {
  const logical = element.logical_type;
  if (logical === undefined) return convertedText(element);
  switch (logical.type) {
    case "DECIMAL":
      return `DECIMAL(${logical.precision},${logical.scale ?? 0})`;
    case "TIME":
    case "TIMESTAMP":
      return `${logical.type}(${logical.unit},${logical.isAdjustedToUTC ? "utc" : "local"})`;
    case "INTEGER":
      return integerText(element, logical.bitWidth, logical.isSigned);
    case "GEOMETRY":
      return logical.crs === undefined ? "GEOMETRY" : `GEOMETRY(${logical.crs})`;
    case "GEOGRAPHY":
      return `GEOGRAPHY(${logical.crs ?? ""},${logical.algorithm ?? "SPHERICAL"})`;
    default:
      return logical.type;
  }
}

/** Signed integers as wide as their physical type say nothing that the physical type does not say. */
function integerText(element: SchemaElement, bits: number, signed: boolean): string {
  if (signed && bits === (element.type === "INT64" ? 64 : 32)) return "";
  return `INT(${bits},${signed ? "signed" : "unsigned"})`;
}

function convertedText(element: SchemaElement): string {
  const type = element.converted_type;
  const integer = /^(U?)INT_(\d+)$/.exec(type ?? "");
  if (integer) return integerText(element, Number(integer[2]), integer[1] === "");
  const clock = /^(TIME|TIMESTAMP)_(MILLIS|MICROS)$/.exec(type ?? "");
  if (clock) return `${clock[1]}(${clock[2]},utc)`;
  if (type === "UTF8") return "STRING";
  if (type === "DECIMAL") return `DECIMAL(${element.precision ?? 0},${element.scale ?? 0})`;
  return type ?? "";
}
