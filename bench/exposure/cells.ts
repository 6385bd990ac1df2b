import { type Spread, spreadOf } from "./figures.ts";
import { hammer } from "./hammer.ts";
import type { ReaderInfo } from "./readers.ts";
import type { Scene } from "./swaps.ts";
import type { Tally } from "./verdict.ts";

export interface Cell {
  readonly reader: ReaderInfo;
  readonly overlapMs: number;
  /** Publications that the reader must overlap; undos come along. */
  readonly swaps: number;
  readonly limitMs: number;
}

export interface CellResult {
  readonly reader: ReaderInfo;
  readonly version: string;
  readonly files: number;
  readonly overlapMs: number;
  readonly performed: number;
  readonly tally: Tally;
  readonly readMs: Spread;
  readonly errors: Readonly<Record<string, number>>;
}

/** Small directories: many of them, and more side by side the longer a swap waits, so that thousands take a minute. */
export function runSmallCell(cell: Cell, scenes: readonly Scene[]): Promise<CellResult> {
  const sideBySide = Math.min(4 + Math.round(cell.overlapMs / 12.5), scenes.length / 2);
  return runCell(cell, { scenes: scenes.slice(0, 2 * sideBySide), sideBySide, restMs: 0 });
}

/** Crowded directories, which take long to list: a rest after each swap, so that a read meets one of them. */
export function runCrowdedCell(cell: Cell, scenes: readonly Scene[], restMs: number): Promise<CellResult> {
  return runCell(cell, { scenes, sideBySide: scenes.length, restMs });
}

interface Ground {
  readonly scenes: readonly Scene[];
  readonly sideBySide: number;
  readonly restMs: number;
}

async function runCell(cell: Cell, ground: Ground): Promise<CellResult> {
  const { reader, overlapMs } = cell;
  const { version, tally, performed, readMs, errors } = await hammer({ ...cell, ...ground });
  const { exact, reads } = tally.quiet;
  if (exact < reads)
    throw new Error(
      `${reader.name}: ${reads - exact} reads that met no swap were not exact: ${JSON.stringify(errors)}`,
    );
  const layout = ground.scenes[0]?.layout;
  const files = (layout?.sources ?? 0) + (layout?.bystanders ?? 0);
  return { reader, version, files, overlapMs, performed, tally, readMs: spreadOf(readMs), errors };
}
