import { readArrowSchema, withArrowPandas } from "./arrow-schema.ts";

/** One entry of a file's key-value metadata. */
export interface FileKeyValue {
  readonly key: string;
  readonly value: string;
}

const PANDAS = "pandas";
const ARROW_SCHEMA = "ARROW:schema";

/**
 * The entries as they are compared: what a rewrite recomputes is taken out, so that files whose metadata says the
 * same compare equal. pandas writes each file's own row count into its RangeIndex, and Arrow writers repeat that in
 * `ARROW:schema`. Sorted by key; keys that may be dropped are left out.
 */
export function comparableKeyValues(
  entries: readonly FileKeyValue[],
  allow: readonly string[],
): readonly FileKeyValue[] {
  return keptKeyValues(entries, allow).map(({ key, value }) => {
    const arrow = key === ARROW_SCHEMA ? readArrowSchema(value) : null;
    if (arrow === null) return { key, value: key === PANDAS ? withRangeIndex(value, 0, allow) : value };
    const pandas = arrow.pandas === null ? "" : withRangeIndex(arrow.pandas, 0, allow);
    return { key, value: `${arrow.meaning}${pandas}` };
  });
}

/** The entries that outputs carry: all but those that may be dropped, sorted by key. */
export function keptKeyValues(
  entries: readonly FileKeyValue[],
  allow: readonly string[],
): readonly FileKeyValue[] {
  return entries
    .filter(({ key }) => !allow.includes(`metadata:${key}`))
    .sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0));
}

/** What an output of `rows` rows carries, given the kept entries of one of its sources. */
export function outputKeyValues(
  kept: readonly FileKeyValue[],
  rows: number,
  allow: readonly string[],
): readonly FileKeyValue[] {
  return kept.map(({ key, value }) => {
    if (key === PANDAS) return { key, value: withRangeIndex(value, rows, allow) };
    const pandas = key === ARROW_SCHEMA ? readArrowSchema(value)?.pandas : null;
    if (pandas === null || pandas === undefined) return { key, value };
    return { key, value: withArrowPandas(value, withRangeIndex(pandas, rows, allow)) };
  });
}

/**
 * A default pandas RangeIndex (start 0, step 1, as `DataFrame.to_parquet` writes it) set to `stop` rows; an index
 * that stands in columns is left as it is, and so is any other range unless `metadata:pandas` is allowed. Format: pandas developer docs, "Storing pandas DataFrame
 * objects in Apache Parquet format".
 */
function withRangeIndex(value: string, stop: number, allow: readonly string[]): string {
  try {
    const parsed: unknown = JSON.parse(value);
    if (!isRecord(parsed) || !Array.isArray(parsed.index_columns)) return value;
    const columns: readonly unknown[] = parsed.index_columns;
    // Untouched text keeps its bytes: parsing and printing again would lose spaces and large numbers.
    const isOurs = (column: unknown): column is Record<string, unknown> =>
      isRange(column) && (isDefaultRange(column) || allow.includes(`metadata:${PANDAS}`));
    if (!columns.some(isOurs)) return value;
    const index = columns.map((column) => (isOurs(column) ? { ...column, start: 0, stop, step: 1 } : column));
    return JSON.stringify({ ...parsed, index_columns: index });
  } catch {
    return value;
  }
}

function isRange(column: unknown): column is Record<string, unknown> {
  return isRecord(column) && column.kind === "range";
}

function isDefaultRange(range: Record<string, unknown>): boolean {
  return range.start === 0 && range.step === 1;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
