import { type Spread, spreadOf } from "./figures.ts";
import { nextRunId, publish, type Scene, type Swapped, undo } from "./swaps.ts";

export interface WindowResult {
  readonly overlapMs: number;
  readonly kind: "publish" | "undo";
  /** What the journal and the run's result report. */
  readonly duplicateWindowMs: Spread;
  /** From the first new name to the last old name that left, as the file system saw it. */
  readonly seenMs: Spread;
}

/** One directory after the other, with no reader about. */
export async function measureWindows(
  scenes: readonly Scene[],
  overlapMs: number,
  rounds: number,
): Promise<readonly WindowResult[]> {
  const swapped: Swapped[] = [];
  for (let round = 0; round < rounds; round += 1) {
    const scene = scenes[round % scenes.length];
    if (scene === undefined) break;
    const done = await publish(scene, nextRunId(), overlapMs);
    swapped.push(done, await undo(scene, done));
  }
  return (["publish", "undo"] as const).map((kind) => {
    const own = swapped.filter(({ swap }) => swap.kind === kind);
    return {
      overlapMs,
      kind,
      duplicateWindowMs: spreadOf(own.map(({ record }) => record.duplicateWindowMs)),
      seenMs: spreadOf(own.map(({ swap }) => (swap.endUs - swap.startUs) / 1000)),
    };
  });
}
