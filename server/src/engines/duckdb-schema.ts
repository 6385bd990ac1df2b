import type { ColumnSchema } from "@tamp/core";

/** A value as DuckDB sees it after reading; `fieldId` is `-` where there is none. */
export type DuckNode = LeafNode | StructNode | ListNode | MapNode | OpaqueNode;

export interface LeafNode {
  readonly kind: "leaf";
  readonly fieldId: string;
  readonly column: ColumnSchema;
}

export interface StructNode {
  readonly kind: "struct";
  readonly fieldId: string;
  readonly fields: readonly DuckField[];
}

export interface ListNode {
  readonly kind: "list";
  readonly fieldId: string;
  readonly element: DuckNode;
}

export interface MapNode {
  readonly kind: "map";
  readonly fieldId: string;
  readonly key: DuckNode;
  readonly value: DuckNode;
}

/** What DuckDB cannot read, or reads and writes in a shape that depends on the values. */
export interface OpaqueNode {
  readonly kind: "opaque";
  readonly fieldId: string;
  readonly why: string;
  readonly columns: readonly ColumnSchema[];
}

export interface DuckField {
  /** DuckDB makes names differ in more than case; this is the name that it gives. */
  readonly name: string;
  readonly node: DuckNode;
}

/** Whether an instant or a time of day in UTC is anywhere within. */
export function holdsUtcTime(node: DuckNode): boolean {
  if (node.kind === "leaf") return node.column.logicalType.endsWith(",utc)");
  return childFields(node).some((child) => holdsUtcTime(child.node));
}

export function childFields(node: DuckNode): readonly DuckField[] {
  switch (node.kind) {
    case "leaf":
    case "opaque":
      return [];
    case "struct":
      return node.fields;
    case "list":
      return [{ name: "element", node: node.element }];
    case "map":
      return [
        { name: "key", node: node.key },
        { name: "value", node: node.value },
      ];
  }
}

interface Level {
  readonly name: string;
  readonly repeated: boolean;
  readonly groupType: string;
  readonly fieldId: string;
  readonly column: ColumnSchema | null;
  readonly children: Level[];
}

/** The top-level columns, one for each that DuckDB shows, by the rules of its Parquet reader. */
export function duckFields(columns: readonly ColumnSchema[]): readonly DuckField[] {
  return fieldsOf(levelsOf(columns));
}

function fieldsOf(levels: readonly Level[]): readonly DuckField[] {
  const names = distinctNames(levels.map(({ name }) => name));
  return levels.map((level, index) => ({ name: names[index] ?? level.name, node: nodeOf(level, null) }));
}

/**
 * A repeated level is a list of what it holds; a LIST, MAP or repeated group with one child is that child;
 * anything else is a struct.
 */
function nodeOf(level: Level, parent: Level | null): DuckNode {
  const { children, fieldId, groupType, repeated } = level;
  if (groupType === "VARIANT") return opaque(level, "shredded anew");
  if (parent?.groupType === "MAP" && parent.children.length === 1) return entriesOf(level);
  const wrapper = groupType === "LIST" || groupType === "MAP" || repeated;
  const [only] = children;
  const inner = repeated ? "-" : fieldId;
  let content: DuckNode;
  if (level.column !== null) content = leafOf(level, level.column, inner);
  else if (only !== undefined && children.length === 1 && wrapper) content = pulledUp(level, only);
  else content = { kind: "struct", fieldId: inner, fields: fieldsOf(children) };
  return repeated ? { kind: "list", fieldId, element: content } : content;
}

/** The wrapper's field id names the list; the id of a repeated level's only child names the element. */
function pulledUp(level: Level, child: Level): DuckNode {
  const node = nodeOf(child, level);
  return level.repeated ? node : { ...node, fieldId: level.fieldId };
}

function leafOf(level: Level, column: ColumnSchema, fieldId: string): DuckNode {
  return column.logicalType === "BSON" ? opaque(level, "unreadable") : { kind: "leaf", fieldId, column };
}

function entriesOf(level: Level): DuckNode {
  const [key, value, ...rest] = level.children;
  if (!level.repeated || key === undefined || value === undefined || rest.length > 0) {
    return opaque(level, "unreadable");
  }
  return { kind: "map", fieldId: "-", key: nodeOf(key, level), value: nodeOf(value, level) };
}

function opaque(level: Level, why: string): OpaqueNode {
  return { kind: "opaque", fieldId: level.fieldId, why, columns: columnsUnder(level) };
}

function columnsUnder(level: Level): readonly ColumnSchema[] {
  return level.column === null ? level.children.flatMap(columnsUnder) : [level.column];
}

function levelsOf(columns: readonly ColumnSchema[]): readonly Level[] {
  const roots: Level[] = [];
  for (const column of columns) insert(roots, column);
  return roots;
}

function insert(roots: Level[], column: ColumnSchema): void {
  const names = levelNames(column);
  const groups = column.groupTypes.split("/");
  const ids = column.fieldIds.split(",");
  let siblings = roots;
  names.forEach((name, depth) => {
    const leaf = depth === names.length - 1;
    const last = siblings.at(-1);
    if (!leaf && last !== undefined && last.column === null && last.name === name) {
      siblings = last.children;
      return;
    }
    const repeated = column.repetition[depth] === "*";
    const groupType = leaf ? "" : (groups[depth] ?? "");
    const level = {
      name,
      repeated,
      groupType,
      fieldId: ids[depth] ?? "-",
      column: leaf ? column : null,
      children: [],
    };
    siblings.push(level);
    siblings = level.children;
  });
}

/** Where names hold dots the split is ambiguous; the dots are then taken to be in the column's own name. */
function levelNames(column: ColumnSchema): readonly string[] {
  const parts = column.path.split(".");
  const extra = parts.length - column.repetition.length;
  return [parts.slice(0, extra + 1).join("."), ...parts.slice(extra + 1)];
}

/** As DuckDB does it: the second `a` or `A` becomes `A_1`; a column without a name becomes `C` and its index. */
function distinctNames(names: readonly string[]): readonly string[] {
  const counts = new Map<string, number>();
  return names.map((given, index) => {
    let name = given === "" ? `C${index}` : given;
    for (let key = name.toLowerCase(); counts.has(key); key = name.toLowerCase()) {
      const count = counts.get(key) ?? 0;
      counts.set(key, count + 1);
      name = `${name}_${count}`;
    }
    counts.set(name.toLowerCase(), 1);
    return name;
  });
}
