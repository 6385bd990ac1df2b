import { STRETCH, sortSteps } from "./steps.ts";

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

/** A last bin under this share of the target is a tail that the bin before it takes in or shares with. */
const TAIL_SHARE = 0.75;

/**
 * Packs neighbours into bins near the target, keeping their order: files that arrive in time order carry
 * clustering for free. A bin is closed when one more file would take it farther from the target (DuckLake's
 * rule) or over a bound; a tiny last bin is merged into a neighbour of two files or more, or the two are balanced.
 * Every file is in exactly one bin.
 */
export function* packNeighbours<T extends Weighed>(
  files: readonly T[],
  bounds: PackBounds,
): Generator<void, readonly (readonly T[])[]> {
  return mendTail(yield* nextFit(files, bounds), bounds);
}

/**
 * Packs the lightest files together wherever they stand, for files that no neighbour goes with; within a bin
 * they keep their order. Lightest is by rows where rows are bounded, by bytes otherwise.
 */
export function* packLightest<T extends Weighed>(
  files: readonly T[],
  bounds: PackBounds,
): Generator<void, readonly (readonly T[])[]> {
  const weigh = (file: T): number => (bounds.mostRows === null ? file.sizeBytes : file.rows);
  const placed: Placed<T>[] = [];
  for (const [place, file] of files.entries()) {
    placed.push({ file, place, sizeBytes: file.sizeBytes, rows: file.rows });
    if (place % STRETCH === STRETCH - 1) yield;
  }
  const bins = yield* nextFit(yield* sortSteps(placed, (a, b) => weigh(a.file) - weigh(b.file)), bounds);
  const ordered: (readonly T[])[] = [];
  for (const [index, bin] of bins.entries()) {
    const inPlace = yield* sortSteps(bin, (a, b) => a.place - b.place);
    ordered.push(inPlace.map(({ file }) => file));
    if (index % STRETCH === STRETCH - 1) yield;
  }
  return ordered;
}

interface Placed<T> extends Weighed {
  readonly file: T;
  readonly place: number;
}

function* nextFit<T extends Weighed>(files: readonly T[], bounds: PackBounds): Generator<void, T[][]> {
  const bins: T[][] = [];
  let bin: T[] = [];
  let bytes = 0;
  let rows = 0;
  for (const [index, file] of files.entries()) {
    if (index % STRETCH === STRETCH - 1) yield;
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

function mendTail<T extends Weighed>(bins: T[][], bounds: PackBounds): T[][] {
  const last = bins.at(-1);
  const previous = bins.at(-2);
  const tiny = bounds.targetBytes * TAIL_SHARE;
  if (last === undefined || previous === undefined || total(last).bytes >= tiny) return bins;
  // Two single files that nextFit kept apart are better apart; pairing them here would go on pair by pair.
  if (previous.length === 1) return bins;
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

/** How many files from the start come nearest to half of the bytes from above; at least one. */
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
