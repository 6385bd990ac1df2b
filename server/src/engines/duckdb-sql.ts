import type { ColumnSchema } from "@tamp/core";
import type { KeyValue } from "../engine.ts";
import { fieldIdsExpressible } from "./duckdb-capabilities.ts";
import type { DuckField, DuckNode } from "./duckdb-schema.ts";
import { childFields, duckFields, holdsUtcTime } from "./duckdb-schema.ts";
import { quoteName, sqlType } from "./duckdb-types.ts";

/** A file as statements read it: its absolute path and how many rows its footer states. */
export interface SourceFile {
  readonly path: string;
  readonly rows: number;
}

export interface CopyOptions {
  readonly files: readonly SourceFile[];
  /** Rows to write, by position over all files. */
  readonly firstRow: number;
  readonly rows: number;
  readonly output: string;
  readonly codec: string;
  readonly rowsPerGroup: number;
  readonly keyValues: readonly KeyValue[];
  readonly columns: readonly ColumnSchema[];
  /** A dictionary stores values that compare equal once, so it merges 0.0 with -0.0 and NaNs with each other. */
  readonly dictionary: boolean;
}

export function quoteText(text: string): string {
  return text
    .split("\0")
    .map((part) => `'${part.replaceAll("'", "''")}'`)
    .join(" || chr(0) || ");
}

/** File lists hold patterns; a class of one character stands for that character. */
export function literalPattern(path: string): string {
  return path.replaceAll(/[[*?]/g, (character) => `[${character}]`);
}

/** Writes one row range of the concatenated files, in order. */
export function copyStatement(options: CopyOptions): string {
  const fields = duckFields(options.columns);
  const { files, firstRow } = overlapping(options.files, options.firstRow, options.rows);
  const values = fields.map(({ name, node }, index) => `${keptZone(node, index)} AS ${quoteName(name)}`);
  const range = rangePredicate(files, firstRow, options.rows);
  const select = `SELECT ${values.join(", ")} FROM ${source(files, fields)}${range}`;
  return `COPY (${select}) TO ${quoteText(options.output)} (${copyOptions(options, fields).join(", ")})`;
}

function copyOptions(options: CopyOptions, fields: readonly DuckField[]): readonly string[] {
  const parts = [
    "FORMAT parquet",
    `COMPRESSION ${quoteText(options.codec)}`,
    `ROW_GROUP_SIZE ${options.rowsPerGroup}`,
    "GEOPARQUET_VERSION 'NONE'",
  ];
  if (!options.dictionary) parts.push("DICTIONARY_SIZE_LIMIT 0");
  if (options.keyValues.length > 0) {
    const pairs = options.keyValues.map(({ key, value }) => `${quoteName(key)}: ${quoteText(value)}`);
    parts.push(`KV_METADATA {${pairs.join(", ")}}`);
  }
  const ids = fieldIdsExpressible(fields) ? fieldIds(fields) : "";
  if (ids !== "") parts.push(`FIELD_IDS {${ids}}`);
  return parts;
}

/** `name: 7, list: {__duckdb_field_id: 8, element: 9}`; empty where nothing has an id. */
function fieldIds(fields: readonly DuckField[]): string {
  return fields
    .map(({ name, node }) => ({ name, text: fieldIdValue(node) }))
    .filter(({ text }) => text !== "")
    .map(({ name, text }) => `${quoteName(name)}: ${text}`)
    .join(", ");
}

function fieldIdValue(node: DuckNode): string {
  const own = node.fieldId === "-" ? "" : node.fieldId;
  const inner = fieldIds(childFields(node));
  if (inner === "") return own;
  return own === "" ? `{${inner}}` : `{__duckdb_field_id: ${own}, ${inner}}`;
}

/** Legacy time annotations mean UTC, but DuckDB reads them as local; the cast changes the type, not the value. */
function keptZone(node: DuckNode, index: number): string {
  const type = holdsUtcTime(node) ? sqlType(node) : null;
  return type === null ? alias(index) : `${alias(index)}::${type}`;
}

/** Columns under names of our own: theirs may equal `file_row_number`, and no statement has to quote them. */
function source(files: readonly SourceFile[], fields: readonly DuckField[]): string {
  const list = files.map(({ path }) => quoteText(literalPattern(path))).join(", ");
  const options = "hive_partitioning = false, union_by_name = false, binary_as_string = false";
  return `read_parquet([${list}], ${options}) AS source(${fields.map((_, index) => alias(index)).join(", ")})`;
}

function alias(index: number): string {
  return `c${index}`;
}

/** The files that hold some of the rows, and where the range begins within them. */
function overlapping(files: readonly SourceFile[], firstRow: number, rows: number) {
  let start = 0;
  let skipped = 0;
  const kept: SourceFile[] = [];
  for (const file of files) {
    const end = start + file.rows;
    if (end > firstRow && start < firstRow + rows) kept.push(file);
    else if (end <= firstRow) skipped += file.rows;
    start = end;
  }
  // A range without rows still needs a file that says what the columns are.
  return kept.length > 0
    ? { files: kept, firstRow: firstRow - skipped }
    : { files: files.slice(0, 1), firstRow: 0 };
}

function rangePredicate(files: readonly SourceFile[], firstRow: number, rows: number): string {
  const total = files.reduce((sum, file) => sum + file.rows, 0);
  if (firstRow === 0 && rows === total) return "";
  return ` WHERE ${position(files)} BETWEEN ${firstRow} AND ${firstRow + rows - 1}`;
}

/** The row's position over all files. With one file, plain, so that row groups beyond a range are not read. */
function position(files: readonly SourceFile[]): string {
  if (files.length < 2) return "file_row_number";
  let start = 0;
  const starts = files.map(({ rows }) => {
    const mine = start;
    start += rows;
    return mine;
  });
  return `([${starts.join(", ")}]::BIGINT[])[(file_index + 1)::BIGINT] + file_row_number`;
}

export function hasNestedFloat(columns: readonly ColumnSchema[]): boolean {
  return duckFields(columns).some(({ node }) => !isFloat(node) && holdsFloat(node));
}

function nanBits(value: string): string {
  return `CASE WHEN isnan(${value}) THEN ${value}::BIT::VARCHAR END`;
}

function isFloat(node: DuckNode): boolean {
  if (node.kind !== "leaf") return false;
  const { logicalType, physicalType } = node.column;
  return physicalType === "FLOAT" || physicalType === "DOUBLE" || logicalType === "FLOAT16";
}

function holdsFloat(node: DuckNode): boolean {
  return isFloat(node) || childFields(node).some((child) => holdsFloat(child.node));
}

/** Count and order-sensitive digest. The sum of a 64-bit hash is a HUGEINT, hence exact. */
export function digestStatement(files: readonly SourceFile[], columns: readonly ColumnSchema[]): string {
  const fields = duckFields(columns);
  return `SELECT ${digestValues(files, fields)} FROM ${source(files, fields)}`;
}

/**
 * The digest, and in the same pass two booleans: whether a column holds both zeros, and whether one holds NaNs of
 * several bit patterns. Null where no top-level column is a float.
 */
export function surveyStatement(
  files: readonly SourceFile[],
  columns: readonly ColumnSchema[],
): string | null {
  const fields = duckFields(columns);
  const names = fields.flatMap(({ node }, index) => (isFloat(node) ? [alias(index)] : []));
  if (names.length === 0) return null;
  const zeros = names.map((c) => {
    const zero = (sign: string) => `coalesce(bool_or(${c} = 0 AND ${sign}signbit(${c})), false)`;
    return `(${zero("")} AND ${zero("NOT ")})`;
  });
  const payloads = names.map((c) => `coalesce(min(${nanBits(c)}) <> max(${nanBits(c)}), false)`);
  const checks = `${zeros.join(" OR ")}, ${payloads.join(" OR ")}`;
  return `SELECT ${digestValues(files, fields)}, ${checks} FROM ${source(files, fields)}`;
}

function digestValues(files: readonly SourceFile[], fields: ReturnType<typeof duckFields>): string {
  const values = fields.flatMap(({ node }, index) => hashedValues(node, alias(index)));
  const hash = `hash(${[position(files), ...values].join(", ")})`;
  return `count(*)::VARCHAR, coalesce(sum(${hash}), 0)::VARCHAR`;
}

/**
 * Values whose hashes together tell apart what `hash` alone takes for equal: 0.0 and -0.0, NaNs, intervals of a
 * month and of 30 days, and absent, empty and null-filled nested values. Allowed changes of type leave them equal.
 */
function hashedValues(node: DuckNode, column: string): readonly string[] {
  if (isFloat(node)) return [column, `signbit(${column})`, nanBits(column)];
  const type = sqlType(node);
  const value = type === null ? column : `${column}::${type}`;
  if (type === "INTERVAL") return [`${value}::VARCHAR`];
  if (node.kind === "leaf") return [isClock(node.column) ? value : column];
  const exact = holdsFloat(node) ? spelledFloats(node, `(${value})`, 0) : value;
  return [value, `to_json(${exact})::VARCHAR`];
}

/** Of these a rewrite may change unit and zone where the policy allows it. */
function isClock({ logicalType, physicalType }: ColumnSchema): boolean {
  return /^TIME(STAMP)?\(/.test(logicalType) || physicalType === "INT96";
}

/** The same nested value with its floats as text that keeps signs and NaN payloads. */
function spelledFloats(node: DuckNode, value: string, depth: number): string {
  if (!holdsFloat(node)) return value;
  const item = `x${depth}`;
  switch (node.kind) {
    case "leaf":
    case "opaque":
      return `CASE WHEN isnan(${value}) THEN ${value}::BIT::VARCHAR ELSE ${value}::VARCHAR END`;
    case "struct": {
      const fields = node.fields.map(({ name, node: field }) => {
        return `${quoteName(name)}: ${spelledFloats(field, `struct_extract(${value}, ${quoteText(name)})`, depth)}`;
      });
      return `CASE WHEN ${value} IS NOT NULL THEN {${fields.join(", ")}} END`;
    }
    case "list":
      return `list_transform(${value}, lambda ${item}: ${spelledFloats(node.element, item, depth + 1)})`;
    case "map": {
      const key = spelledFloats(node.key, `${item}.key`, depth + 1);
      const entry = `{k: ${key}, v: ${spelledFloats(node.value, `${item}.value`, depth + 1)}}`;
      return `list_transform(map_entries(${value}), lambda ${item}: ${entry})`;
    }
  }
}
