export interface PollOptions {
  readonly baseMs: number;
  /** Monotonic milliseconds. */
  readonly clock: () => number;
  /** A full look; settles when it is done, and never rejects. */
  readonly look: () => Promise<void>;
  /** The time between looks has changed. */
  readonly onInterval: (intervalMs: number) => void;
}

/** However long a look takes, the next one begins no later than this after it. */
const MOST_INTERVAL_MS = 5 * 60_000;
/** Rest after a look, as a multiple of the time it took: at most a tenth of the time is spent looking. */
export const REST = 9;

/** Time between looks: the base doubled as often as a look of `tookMs` needs, so that it does not change each time. */
export function pollIntervalMs(baseMs: number, tookMs: number): number {
  let intervalMs = baseMs;
  while (intervalMs < tookMs * REST && intervalMs < MOST_INTERVAL_MS) intervalMs *= 2;
  return Math.max(baseMs, Math.min(intervalMs, MOST_INTERVAL_MS));
}

/** Says how long a change may go unseen. */
export function pollReason(reason: string, intervalMs: number): string {
  return `${reason} All files are compared every ${Math.ceil(intervalMs / 1000)} s.`;
}

/** Looks again and again where events cannot be had, one look at a time. */
export class Poll {
  intervalMs: number;
  readonly #options: PollOptions;
  #timer: NodeJS.Timeout | null = null;
  #disposed = false;

  constructor(options: PollOptions) {
    this.#options = options;
    this.intervalMs = options.baseMs;
    this.#arm();
  }

  dispose(): void {
    this.#disposed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  #arm(): void {
    this.#timer = setTimeout(() => void this.#look(), this.intervalMs).unref();
  }

  async #look(): Promise<void> {
    const { clock, look, baseMs, onInterval } = this.#options;
    const beganMs = clock();
    await look();
    if (this.#disposed) return;
    const nextMs = pollIntervalMs(baseMs, clock() - beganMs);
    if (nextMs !== this.intervalMs) {
      this.intervalMs = nextMs;
      onInterval(nextMs);
    }
    if (!this.#disposed) this.#arm();
  }
}
