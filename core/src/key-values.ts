/** One entry of a file's key-value metadata. */
export interface FileKeyValue {
  readonly key: string;
  readonly value: string;
}

const PANDAS = "pandas";

/**
 * The entries with what a rewrite recomputes taken out, so that files whose metadata says the same compare
 * equal: pandas writes each file's own row count into its RangeIndex. Sorted by key; dropped keys are left out.
 */
export function comparableKeyValues(
  entries: readonly FileKeyValue[],
  allow: readonly string[],
): readonly FileKeyValue[] {
  return entries
    .filter(({ key }) => !allow.includes(`metadata:${key}`))
    .map(({ key, value }) => ({ key, value: key === PANDAS ? withRangeIndex(value, 0) : value }))
    .sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0));
}

/** What an output of `rows` rows carries, given the comparable entries that all its sources share. */
export function outputKeyValues(shared: readonly FileKeyValue[], rows: number): readonly FileKeyValue[] {
  return shared.map(({ key, value }) => ({
    key,
    value: key === PANDAS ? withRangeIndex(value, rows) : value,
  }));
}

/**
 * A default pandas RangeIndex (start 0, step 1, as `DataFrame.to_parquet` writes it) set to `stop` rows; any
 * other index stands in columns and is left as it is. Format: pandas developer docs, "Storing pandas DataFrame
 * objects in Apache Parquet format".
 */
function withRangeIndex(value: string, stop: number): string {
  try {
    const parsed: unknown = JSON.parse(value);
    if (!isRecord(parsed) || !Array.isArray(parsed.index_columns)) return value;
    const columns: readonly unknown[] = parsed.index_columns;
    // Untouched text keeps its bytes: parsing and printing again would lose spaces and large numbers.
    if (!columns.some(isDefaultRange)) return value;
    const index = columns.map((column) => (isDefaultRange(column) ? { ...column, stop } : column));
    return JSON.stringify({ ...parsed, index_columns: index });
  } catch {
    return value;
  }
}

function isDefaultRange(column: unknown): column is Record<string, unknown> {
  return isRecord(column) && column.kind === "range" && column.start === 0 && column.step === 1;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
