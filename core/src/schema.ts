/** One leaf column of a Parquet schema as its footer states it. */
export interface ColumnSchema {
  /** Path from the root with `.`, list and map levels included: `tags.list.element`. */
  readonly path: string;
  /** BOOLEAN, INT32, INT64, INT96, FLOAT, DOUBLE, BYTE_ARRAY or FIXED_LEN_BYTE_ARRAY. */
  readonly physicalType: string;
  /** Bytes of a FIXED_LEN_BYTE_ARRAY; 0 otherwise. */
  readonly typeLength: number;
  /**
   * Canonical text of the logical type; legacy annotations that mean the same are folded into it:
   * `TIMESTAMP(MICROS,utc)`, `TIME(MILLIS,local)`, `DECIMAL(9,2)`, `INT(16,signed)`, `STRING`, `ENUM`, `UUID`,
   * `JSON`, `BSON`, `DATE`, `INTERVAL`, `FLOAT16`, `VARIANT`, `GEOMETRY`, `GEOGRAPHY`, or `""` for none.
   */
  readonly logicalType: string;
  /**
   * Repetition of every level of `path`, one letter each: `r`equired, `o`ptional, repeated is `*`;
   * `o*o` for an optional list of optional elements.
   */
  readonly repetition: string;
  /** Annotations of the group levels above the leaf, `/`-joined, `""` where none: `LIST`, `MAP`. */
  readonly groupTypes: string;
  /** Field ids of every level, `,`-joined, `-` where there is none. */
  readonly fieldIds: string;
}

/** One difference between a column before and after a rewrite. `allowName` is null where nothing may allow it. */
export interface ColumnChange {
  readonly column: string;
  readonly attribute:
    | "missing"
    | "added"
    | "position"
    | "physical type"
    | "logical type"
    | "nullability"
    | "field ids"
    | "nesting";
  readonly from: string;
  readonly to: string;
  readonly allowName: string | null;
}

/** Same leaf paths, physical and logical types, nullability and field ids, in the same order: one class. */
export function schemaText(columns: readonly ColumnSchema[]): string {
  return columns.map(columnText).join("\n");
}

function columnText(column: ColumnSchema): string {
  const { path, physicalType, typeLength, logicalType, repetition, groupTypes, fieldIds } = column;
  return [JSON.stringify(path), physicalType, typeLength, logicalType, repetition, groupTypes, fieldIds].join(
    "|",
  );
}

/** Every difference between the columns of a source and of its rewrite, in column order. */
export function compareColumns(
  before: readonly ColumnSchema[],
  after: readonly ColumnSchema[],
): readonly ColumnChange[] {
  const changes: ColumnChange[] = [];
  const count = Math.max(before.length, after.length);
  for (let index = 0; index < count; index += 1) {
    const from = before[index];
    const to = after[index];
    if (from !== undefined && to !== undefined) changes.push(...compareColumn(from, to));
    else if (from !== undefined) changes.push(change(from.path, "missing", from.path, "", null));
    else if (to !== undefined) changes.push(change(to.path, "added", "", to.path, null));
  }
  return changes;
}

function compareColumn(from: ColumnSchema, to: ColumnSchema): readonly ColumnChange[] {
  if (from.path !== to.path) return [change(from.path, "nesting", from.path, to.path, null)];
  const changes: ColumnChange[] = [];
  const physical = physicalText(from) !== physicalText(to);
  const logical = from.logicalType !== to.logicalType;
  const name = physical || logical ? typeChangeName(from, to) : null;
  if (physical) changes.push(change(from.path, "physical type", physicalText(from), physicalText(to), name));
  if (logical) changes.push(change(from.path, "logical type", from.logicalType, to.logicalType, name));
  if (from.groupTypes !== to.groupTypes) {
    changes.push(change(from.path, "nesting", from.groupTypes, to.groupTypes, null));
  }
  if (from.repetition !== to.repetition) changes.push(repetitionChange(from, to));
  if (from.fieldIds !== to.fieldIds) {
    changes.push(change(from.path, "field ids", from.fieldIds, to.fieldIds, "field-ids"));
  }
  return changes;
}

/** Required to optional keeps every row; any other change of repetition changes what the rows are. */
function repetitionChange(from: ColumnSchema, to: ColumnSchema): ColumnChange {
  const widened = [...from.repetition].every((level, index) => {
    const now = to.repetition[index];
    return level === now || (level === "r" && now === "o");
  });
  const same = from.repetition.length === to.repetition.length;
  const allowName = widened && same ? "nullability" : null;
  return change(from.path, "nullability", from.repetition, to.repetition, allowName);
}

function physicalText(column: ColumnSchema): string {
  return column.typeLength > 0 ? `${column.physicalType}(${column.typeLength})` : column.physicalType;
}

/** The name under which a policy may allow this change of type, or null where nothing may. */
function typeChangeName(from: ColumnSchema, to: ColumnSchema): string | null {
  const decimal = /^DECIMAL\(/;
  if (from.physicalType === "INT96") return "int96";
  if (from.logicalType === "ENUM" && to.logicalType === "STRING") return "enum";
  if (decimal.test(from.logicalType) && from.logicalType === to.logicalType) return "decimal-width";
  if (
    from.physicalType === "FIXED_LEN_BYTE_ARRAY" &&
    from.logicalType === "" &&
    to.physicalType === "BYTE_ARRAY"
  ) {
    return "fixed-binary";
  }
  return sameClock(from.logicalType, to.logicalType) ? "time-unit" : null;
}

/** Both times, or both timestamps of the same kind, that differ in nothing but the unit. */
function sameClock(from: string, to: string): boolean {
  const unit = /^(TIMESTAMP|TIME)\((MILLIS|MICROS|NANOS),(utc|local)\)$/;
  const a = unit.exec(from);
  const b = unit.exec(to);
  return a !== null && b !== null && a[1] === b[1] && a[3] === b[3];
}

function change(
  column: string,
  attribute: ColumnChange["attribute"],
  from: string,
  to: string,
  allowName: string | null,
): ColumnChange {
  return { column, attribute, from, to, allowName };
}

/** The changes that the policy does not allow by name. */
export function refusedChanges(
  changes: readonly ColumnChange[],
  allow: readonly string[],
): readonly ColumnChange[] {
  return changes.filter((item) => item.allowName === null || !allow.includes(item.allowName));
}

/** `amount: nullability r -> o (--allow nullability)` */
export function describeChange(item: ColumnChange): string {
  const remedy = item.allowName === null ? "" : ` (--allow ${item.allowName})`;
  return `${item.column}: ${item.attribute} ${item.from || "none"} -> ${item.to || "none"}${remedy}`;
}
