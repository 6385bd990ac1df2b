/** What the directories of the bench hold: `sources` small files, rewritten as `outputs` larger ones with the same rows. */
export interface Layout {
  readonly sources: number;
  readonly rowsPerSource: number;
  readonly outputs: number;
  /** Files that no swap touches: they make a listing slow. */
  readonly bystanders: number;
}

export interface RowRange {
  readonly from: number;
  readonly rows: number;
}

/** Every row has an id of its own: 0 up to here. */
export function rowsIn({ sources, rowsPerSource }: Layout): number {
  return sources * rowsPerSource;
}

export function sourceName(index: number): string {
  return `part-${String(index + 1).padStart(4, "0")}.parquet`;
}

export function bystanderName(index: number): string {
  return `other-${String(index + 1).padStart(6, "0")}.parquet`;
}

export function sourceRows(layout: Layout, index: number): RowRange {
  return { from: index * layout.rowsPerSource, rows: layout.rowsPerSource };
}

export function outputRows(layout: Layout, index: number): RowRange {
  const rows = rowsIn(layout) / layout.outputs;
  return { from: index * rows, rows };
}

/** The ids that a file's name stands for, for readers that list and open nothing; null for a bystander. */
export function rowsOfName(layout: Layout, name: string): RowRange | null {
  const match = /^(part|compacted)-(?:.*-)?(\d+)\.parquet$/.exec(name);
  if (match === null) return null;
  const index = Number(match[2]) - 1;
  return match[1] === "part" ? sourceRows(layout, index) : outputRows(layout, index);
}
