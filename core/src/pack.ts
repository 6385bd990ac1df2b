/** What packing needs to know of a file. */
export interface Weighed {
  readonly sizeBytes: number;
  readonly rows: number;
}

export interface PackBounds {
  readonly targetBytes: number;
  /** A bin never exceeds this unless one file alone does. */
  readonly mostBytes: number;
  /** A bin never exceeds this unless one file alone does; null where there is no bound. */
  readonly mostRows: number | null;
}

/**
 * Packs neighbours into bins near the target, keeping their order: files that arrive in time order carry
 * clustering for free. A bin is closed when one more file would take it farther from the target (DuckLake's
 * rule); a tiny last bin is merged into its neighbour or the two are balanced. Bins of one file are tried again
 * among themselves until none can be paired, so that packing what a plan left over changes nothing.
 */
export function pack<T extends Weighed>(files: readonly T[], bounds: PackBounds): readonly (readonly T[])[] {
  const packed: (readonly T[])[] = [];
  let rest = files;
  for (;;) {
    const bins = mendTail(packOnce(rest, bounds), bounds);
    const paired = bins.filter((bin) => bin.length > 1);
    const singles = bins.filter((bin) => bin.length === 1);
    packed.push(...paired);
    if (paired.length === 0 || singles.length < 2) return [...packed, ...singles];
    rest = singles.flat();
  }
}

function packOnce<T extends Weighed>(files: readonly T[], bounds: PackBounds): T[][] {
  const bins: T[][] = [];
  let bin: T[] = [];
  let bytes = 0;
  let rows = 0;
  for (const file of files) {
    const nearer =
      Math.abs(bytes + file.sizeBytes - bounds.targetBytes) <= Math.abs(bytes - bounds.targetBytes);
    if (bin.length > 0 && !(nearer && fits(bytes + file.sizeBytes, rows + file.rows, bounds))) {
      bins.push(bin);
      bin = [];
      bytes = 0;
      rows = 0;
    }
    bin.push(file);
    bytes += file.sizeBytes;
    rows += file.rows;
  }
  if (bin.length > 0) bins.push(bin);
  return bins;
}

/** A last bin under three quarters of the target joins the one before it, or the two share evenly. */
function mendTail<T extends Weighed>(bins: T[][], bounds: PackBounds): T[][] {
  const last = bins.at(-1);
  const previous = bins.at(-2);
  const tiny = bounds.targetBytes * 0.75;
  if (last === undefined || previous === undefined || total(last).bytes >= tiny) return bins;
  const both = [...previous, ...last];
  const { bytes, rows } = total(both);
  const head = bins.slice(0, -2);
  if (bytes < 2 * tiny && fits(bytes, rows, bounds)) return [...head, both];
  const at = halfway(both, bytes);
  const halves = [both.slice(0, at), both.slice(at)];
  const better = halves.every((half) => {
    const sum = total(half);
    return half.length > 0 && sum.bytes >= tiny && fits(sum.bytes, sum.rows, bounds);
  });
  return better ? [...head, ...halves] : bins;
}

function halfway<T extends Weighed>(files: readonly T[], bytes: number): number {
  let sum = 0;
  const at = files.findIndex((file) => {
    sum += file.sizeBytes;
    return sum >= bytes / 2;
  });
  return Math.max(1, at + 1);
}

function total(files: readonly Weighed[]): { readonly bytes: number; readonly rows: number } {
  let bytes = 0;
  let rows = 0;
  for (const file of files) {
    bytes += file.sizeBytes;
    rows += file.rows;
  }
  return { bytes, rows };
}

function fits(bytes: number, rows: number, bounds: PackBounds): boolean {
  return bytes <= bounds.mostBytes && (bounds.mostRows === null || rows <= bounds.mostRows);
}
