export interface JudgeTimerOptions {
  /** Monotonic milliseconds. */
  readonly clock: () => number;
  /** Changes have paused, or went on for too long. */
  readonly onChanged: () => void;
  /** What was too young at the last judgement is old enough. */
  readonly onSettled: () => void;
}

/** Milliseconds of quiet before a changed dataset is judged again. */
const QUIET_MS = 500;
/** A stream of changes that never pauses is judged at least this often. */
const MOST_WAIT_MS = 15_000;

/** When a watched dataset is judged by itself. */
export class JudgeTimer {
  private readonly options: JudgeTimerOptions;
  private timer: NodeJS.Timeout | null = null;
  private judgeBy: number | null = null;

  constructor(options: JudgeTimerOptions) {
    this.options = options;
  }

  afterChange(settleMs: number): void {
    const now = this.options.clock();
    this.judgeBy ??= now + MOST_WAIT_MS;
    const waitMs = Math.max(0, Math.min(quietMs(settleMs), this.judgeBy - now));
    this.arm(waitMs, this.options.onChanged);
  }

  /** A judgement that is due anyway comes first. */
  afterSettling(settleMs: number): void {
    if (this.timer === null) this.arm(quietMs(settleMs), this.options.onSettled);
  }

  dispose(): void {
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
  }

  private arm(waitMs: number, onTime: () => void): void {
    this.dispose();
    this.timer = setTimeout(() => {
      this.timer = null;
      this.judgeBy = null;
      onTime();
    }, waitMs);
    this.timer.unref();
  }
}

function quietMs(settleMs: number): number {
  return Math.max(QUIET_MS, settleMs + 100);
}
