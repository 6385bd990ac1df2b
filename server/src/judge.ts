import { type Burst, burstOverMs, type Crossing, type Health, NO_BURST, noteChanges } from "@tamp/core";

/** What a plan for the whole dataset says of it, without the plan's long lists. */
export interface Judgement {
  readonly generation: number;
  readonly health: Health;
  readonly crossings: readonly Crossing[];
  readonly bytesToRewrite: number;
  readonly unsettledCount: number;
  /** When time alone may change the judgement; milliseconds since the epoch. */
  readonly nextDueMs: number | null;
}

export interface JudgeOptions {
  /** Monotonic milliseconds. */
  readonly clock: () => number;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  readonly settleMs: () => number;
  readonly plan: () => Promise<Judgement>;
  readonly onJudged: (latest: Judgement, before: Judgement | null) => void;
}

/** Milliseconds of quiet before a changed dataset is judged again. */
const QUIET_MS = 500;
/** A steady stream of changes that never pauses is judged at least this often. */
const MOST_WAIT_MS = 15_000;
/** A file is settled once it is older than its time to settle, not as old. */
const PAST_DUE_MS = 5;
/** Timers take no more than 2^31 milliseconds, and a clock may be set meanwhile. */
const LONGEST_TIMER_MS = 3_600_000;
/** Time that goes backwards, or times of files in the future, must not lead to one judgement after the other. */
const SHORTEST_DUE_MS = 20;
/** Files of a large dataset may come of age one by one: after a judgement it rests for so many times as long as it took. */
const REST_FACTOR = 9;
const LONGEST_REST_MS = 60_000;

/**
 * Keeps the judgement of a dataset up to date: some quiet after a change, when files come of age, never amid a
 * burst. One judgement is made at a time; who asks while one is made gets the next.
 */
export class Judge {
  latest: Judgement | null = null;
  /** Of the last judgement, also once that was forgotten. */
  health: Health | null = null;
  private readonly options: JudgeOptions;
  private burst: Burst = NO_BURST;
  private timer: NodeJS.Timeout | null = null;
  /** When the oldest change came that was not judged yet; monotonic. */
  private dirtySinceMs: number | null = null;
  /** By itself it makes no judgement before this; monotonic. */
  private restUntilMs = Number.NEGATIVE_INFINITY;
  private timesForgotten = 0;
  private making: Promise<void> | null = null;
  private following: Promise<void> | null = null;
  private watching = false;
  private disposed = false;

  constructor(options: JudgeOptions) {
    this.options = options;
  }

  /** From now on it judges by itself. */
  watch(): void {
    this.watching = true;
    this.armForTime();
  }

  /** So many files have changed. */
  note(files: number): void {
    const nowMs = this.options.clock();
    this.burst = noteChanges(this.burst, files, nowMs);
    this.dirtySinceMs ??= nowMs;
    this.armForChange();
  }

  /** Resolves once a judgement that began after this call is there. */
  judge(): Promise<void> {
    if (this.making === null) {
      this.making = this.make().finally(() => {
        this.making = null;
        if (this.dirtySinceMs !== null) this.armForChange();
      });
      return this.making;
    }
    this.following ??= this.making
      .catch(() => {})
      .then(() => {
        this.following = null;
        return this.judge();
      });
    return this.following;
  }

  /** By another policy what was judged, or is being judged, says nothing. */
  forget(): void {
    this.timesForgotten += 1;
    this.latest = null;
  }

  dispose(): void {
    this.disposed = true;
    this.stopTimer();
  }

  private async make(): Promise<void> {
    this.dirtySinceMs = null;
    const { clock, plan } = this.options;
    const { timesForgotten } = this;
    const begunMs = clock();
    const made = await plan();
    const endMs = clock();
    this.restUntilMs = endMs + Math.min(LONGEST_REST_MS, (endMs - begunMs) * REST_FACTOR);
    if (this.disposed || timesForgotten !== this.timesForgotten) return;
    const before = this.latest;
    this.latest = made;
    this.health = made.health;
    this.options.onJudged(made, before);
    if (this.dirtySinceMs === null) this.armForTime();
  }

  private armForChange(): void {
    const nowMs = this.options.clock();
    const judgeByMs = (this.dirtySinceMs ?? nowMs) + MOST_WAIT_MS;
    const quietMs = Math.max(QUIET_MS, this.options.settleMs() + PAST_DUE_MS);
    const dueMs = Math.max(Math.min(nowMs + quietMs, judgeByMs), burstOverMs(this.burst, nowMs) ?? 0);
    this.arm(dueMs - nowMs);
  }

  private armForTime(): void {
    const dueMs = this.latest?.nextDueMs ?? null;
    if (dueMs === null) return;
    const waitMs = dueMs + PAST_DUE_MS - this.options.now();
    this.arm(Math.min(LONGEST_TIMER_MS, Math.max(SHORTEST_DUE_MS, waitMs)));
  }

  private arm(waitMs: number): void {
    if (!this.watching || this.disposed) return;
    this.stopTimer();
    const restMs = this.restUntilMs - this.options.clock();
    this.timer = setTimeout(() => this.onTime(), Math.max(0, waitMs, restMs)).unref();
  }

  private onTime(): void {
    this.timer = null;
    const nowMs = this.options.clock();
    const overMs = burstOverMs(this.burst, nowMs);
    if (overMs !== null && overMs > nowMs) {
      this.arm(overMs - nowMs);
      return;
    }
    // What has changed since it began is judged when it has ended.
    if (this.making !== null) return;
    // A dataset that cannot be judged now is judged after its next change, or when it is asked for.
    this.judge().catch(() => this.forget());
  }

  private stopTimer(): void {
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
  }
}
