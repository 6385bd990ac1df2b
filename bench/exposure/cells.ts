import { type Spread, spreadOf } from "./figures.ts";
import { hammer } from "./hammer.ts";
import type { ReaderInfo } from "./readers.ts";
import type { Scene } from "./swaps.ts";
import type { Tally } from "./verdict.ts";

export interface Cell {
  readonly reader: ReaderInfo;
  readonly overlapMs: number;
  /** Publications and undos that the reader must overlap. */
  readonly swaps: number;
  readonly limitMs: number;
}

export interface CellResult {
  readonly reader: string;
  readonly version: string;
  readonly files: number;
  readonly overlapMs: number;
  readonly performed: number;
  readonly tally: Tally;
  readonly readMs: Spread;
  readonly errors: Readonly<Record<string, number>>;
}

/** Small directories, the more of them the longer a swap waits, so that thousands of swaps take a minute. */
export function runSmallCell(cell: Cell, scenes: readonly Scene[]): Promise<CellResult> {
  return runCell(cell, scenes.slice(0, 4 + Math.round(cell.overlapMs / 12.5)), 0);
}

/** Crowded directories take long to list: a rest after each swap, so that a read meets one of them and not many. */
export function runCrowdedCell(cell: Cell, scenes: readonly Scene[], restMs: number): Promise<CellResult> {
  return runCell(cell, scenes, restMs);
}

async function runCell(cell: Cell, scenes: readonly Scene[], restMs: number): Promise<CellResult> {
  const { reader, overlapMs } = cell;
  const { version, tally, performed, readMs, errors } = await hammer({ ...cell, scenes, restMs });
  const { exact, reads } = tally.quiet;
  if (exact < reads)
    throw new Error(
      `${reader.name}: ${reads - exact} reads that met no swap were not exact: ${JSON.stringify(errors)}`,
    );
  const files = filesIn(scenes);
  return {
    reader: reader.name,
    version,
    files,
    overlapMs,
    performed,
    tally,
    readMs: spreadOf(readMs),
    errors,
  };
}

function filesIn([scene]: readonly Scene[]): number {
  return scene === undefined ? 0 : scene.layout.sources + scene.layout.bystanders;
}
