/** One Hive key of a path; `value` is null for the Hive default partition. */
export interface HiveKey {
  readonly key: string;
  readonly value: string | null;
}

/** A prefix of whole path components from the dataset root. */
export interface PartitionFilter {
  readonly text: string;
  readonly components: readonly string[];
}

const HIVE_NULL = "__HIVE_DEFAULT_PARTITION__";

/** The directory of a data file relative to the root: the grouping unit. `""` is the root itself. */
export function partitionOf(path: string): string {
  const slash = path.lastIndexOf("/");
  return slash < 0 ? "" : path.slice(0, slash);
}

/** Hive keys of a directory in path order; components that are no `key=value` are left out. */
export function hiveKeys(partition: string): readonly HiveKey[] {
  if (partition === "") return [];
  return partition.split("/").flatMap((component) => hiveKey(component) ?? []);
}

/** `k=v=w` has the key `k`; `k=` has the value ""; values are percent-decoded as Hive escapes them. */
function hiveKey(component: string): HiveKey | null {
  const at = component.indexOf("=");
  if (at <= 0) return null;
  const raw = component.slice(at + 1);
  return { key: unescapeHive(component.slice(0, at)), value: raw === HIVE_NULL ? null : unescapeHive(raw) };
}

/** Hive escapes byte by byte; an escape that is malformed, or no UTF-8, stays as it is written. */
function unescapeHive(text: string): string {
  if (!text.includes("%")) return text;
  return text.replace(/(?:%[0-9a-f]{2})+/gi, (escapes) => {
    try {
      return decodeURIComponent(escapes);
    } catch {
      return escapes;
    }
  });
}

/** Parses `year=2024/month=1`; one `/` may end it. An empty text or an empty component is no filter: null. */
export function parsePartitionFilter(text: string): PartitionFilter | null {
  const components = text.replace(/\/$/, "").split("/");
  if (components.some((component) => component === "" || component === "." || component === ".."))
    return null;
  return { text, components };
}

/** Whether a partition lies under any of the filters; no filters match everything. */
export function matchesFilters(partition: string, filters: readonly PartitionFilter[]): boolean {
  if (filters.length === 0) return true;
  const components = partition === "" ? [] : partition.split("/");
  return filters.some((filter) => matchesFilter(components, filter));
}

/** Whole components only, so that `month=1` never takes `month=10`; a value may be written escaped or plain. */
function matchesFilter(components: readonly string[], filter: PartitionFilter): boolean {
  return filter.components.every((wanted, index) => {
    const have = components[index];
    return have !== undefined && (have === wanted || isSameKey(hiveKey(have), hiveKey(wanted)));
  });
}

/** Key and value apart: `a%3Db=c` is the key `a=b`, not the key `a`. */
function isSameKey(a: HiveKey | null, b: HiveKey | null): boolean {
  return a !== null && b !== null && a.key === b.key && a.value === b.value;
}
