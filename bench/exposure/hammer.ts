import { setTimeout as sleep } from "node:timers/promises";
import { type ReaderInfo, startReader } from "./readers.ts";
import { nextRunId, publish, type Scene, undo } from "./swaps.ts";
import { type Read, type Swap, type Tally, tallyReads } from "./verdict.ts";

export interface HammerRequest {
  readonly reader: ReaderInfo;
  readonly scenes: readonly Scene[];
  readonly overlapMs: number;
  /** Directories that are in a swap at one time. */
  readonly sideBySide: number;
  /** Publications, and as many undos, that the reader must have overlapped in time. */
  readonly swaps: number;
  readonly limitMs: number;
  /** Pause after each swap, so that a slow read meets one of them and not many. */
  readonly restMs: number;
}

export interface HammerResult {
  readonly version: string;
  readonly tally: Tally;
  /** Swaps in all, overlapped or not. */
  readonly performed: number;
  readonly readMs: readonly number[];
  /** Texts of errors without paths and numbers, and how often each came. */
  readonly errors: Readonly<Record<string, number>>;
}

/** One reader in a tight loop over directories that are swapped to and fro until it has met enough swaps. */
export async function hammer(request: HammerRequest): Promise<HammerResult> {
  const { scenes, reader, sideBySide, overlapMs, restMs } = request;
  const reads: Read[] = [];
  const swaps: Swap[] = [];
  const running = await startReader(
    reader,
    {
      dirs: scenes.map(({ workspace }) => workspace.root),
      layout: scenes[0]?.layout ?? { sources: 0, rowsPerSource: 0, outputs: 0, bystanders: 0 },
      timing: null,
    },
    (answer) => {
      if (answer.kind === "read") reads.push(answer);
    },
  );
  const stopping = new AbortController();
  const workers = Array.from({ length: sideBySide }, (_, worker) => {
    const own = scenes.filter((scene) => scene.dir % sideBySide === worker);
    return swapToAndFro({ own, overlapMs, restMs, swaps, signal: stopping.signal });
  });
  try {
    await Promise.race([enough(request, swaps, reads), running.ended, ...workers]);
  } finally {
    stopping.abort();
    await Promise.all(workers);
  }
  await running.stop();
  return {
    version: running.version,
    tally: tallyReads(swaps, reads),
    performed: swaps.length,
    readMs: reads.map(({ startUs, endUs }) => (endUs - startUs) / 1000),
    errors: countErrors(reads),
  };
}

interface Worker {
  readonly own: readonly Scene[];
  readonly overlapMs: number;
  readonly restMs: number;
  readonly swaps: Swap[];
  readonly signal: AbortSignal;
}

/** Publishes all of its directories and then undoes them, so that a directory rests between two of its swaps. */
async function swapToAndFro({ own, overlapMs, restMs, swaps, signal }: Worker): Promise<void> {
  while (!signal.aborted) {
    const published = [];
    for (const scene of own) {
      if (signal.aborted) break;
      const done = await publish(scene, nextRunId(), overlapMs);
      swaps.push(done.swap);
      published.push({ scene, done });
      await sleep(restMs);
    }
    for (const { scene, done } of published) {
      swaps.push((await undo(scene, done)).swap);
      await sleep(restMs);
    }
  }
}

async function enough(request: HammerRequest, swaps: readonly Swap[], reads: readonly Read[]): Promise<void> {
  const begin = performance.now();
  while (performance.now() - begin < request.limitMs) {
    await sleep(200);
    const { publish, undo } = tallyReads(swaps, reads);
    if (Math.min(publish.swaps, undo.swaps) >= request.swaps) return;
  }
}

function countErrors(reads: readonly Read[]): Readonly<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const { error } of reads) {
    if (error === null) continue;
    const text =
      error
        .replaceAll(/\S*\.parquet\S*/g, "FILE")
        .split("\n")[0]
        ?.slice(0, 120) ?? "";
    counts[text] = (counts[text] ?? 0) + 1;
  }
  return counts;
}
