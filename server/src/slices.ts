import { setImmediate as afterEvents } from "node:timers/promises";

/** Cuts long work on the event loop: `if (slices.due()) await slices.pause()` in every loop that may be long. */
export interface Slices {
  /** Whether this slice has used up its time. */
  due(): boolean;
  /** Lets everything else that waits run, then begins the next slice. */
  pause(): Promise<void>;
}

const SLICE_MS = 8;

export function createSlices(sliceMs: number = SLICE_MS): Slices {
  let startedMs = performance.now();
  return {
    due: () => performance.now() - startedMs >= sliceMs,
    async pause() {
      await afterEvents();
      startedMs = performance.now();
    },
  };
}
