import { setTimeout as sleep } from "node:timers/promises";
import { type ReaderInfo, startReader } from "./readers.ts";
import { nextRunId, publish, type Scene, undo } from "./swaps.ts";
import { type Read, type Swap, type Tally, tallyReads } from "./verdict.ts";

export interface HammerRequest {
  readonly reader: ReaderInfo;
  /** All of them swap at once, each at its own pace. */
  readonly scenes: readonly Scene[];
  readonly overlapMs: number;
  /** Publications and undos that the reader must have overlapped in time. */
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
  const { scenes, reader } = request;
  const [first] = scenes;
  if (first === undefined) throw new Error("there is no directory to swap");
  const reads: Read[] = [];
  const swaps: Swap[] = [];
  const dirs = scenes.map(({ workspace }) => workspace.root);
  const running = await startReader(reader, { dirs, layout: first.layout, timing: null }, (answer) => {
    if (answer.kind === "read") reads.push(answer);
  });
  const stopping = new AbortController();
  const workers = scenes.map((scene) => swapToAndFro({ ...request, scene, swaps, signal: stopping.signal }));
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

interface Worker extends Pick<HammerRequest, "overlapMs" | "restMs"> {
  readonly scene: Scene;
  readonly swaps: Swap[];
  readonly signal: AbortSignal;
}

async function swapToAndFro({ scene, swaps, signal, overlapMs, restMs }: Worker): Promise<void> {
  while (!signal.aborted) {
    const done = await publish(scene, nextRunId(), overlapMs);
    swaps.push(done.swap);
    await sleep(restMs);
    swaps.push((await undo(scene, done)).swap);
    await sleep(restMs);
  }
}

async function enough(request: HammerRequest, swaps: readonly Swap[], reads: readonly Read[]): Promise<void> {
  const begin = performance.now();
  while (performance.now() - begin < request.limitMs) {
    await sleep(200);
    if (tallyReads(swaps, reads).all.swaps >= request.swaps) return;
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
