import { type AutomationLimits, decideExecution, type ExecutionDecision } from "@tamp/core";
import type { WireAutomation } from "./protocol.ts";

export type ExecutionOutcome =
  | { readonly kind: "done" }
  | { readonly kind: "failed"; readonly reason: string }
  /** What was decided held no more when it was to begin. */
  | { readonly kind: "not_begun" };

export interface AutomationOptions {
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** Makes the plan of this moment and runs it. */
  readonly run: () => Promise<ExecutionOutcome>;
  /** What policy and earlier runs say now. */
  readonly limits: () => AutomationLimits;
  /** The state has changed. */
  readonly onState: () => void;
  /** What it waited for has come: judge again. */
  readonly onDue: () => void;
}

/** A failed run is tried again after this long, then after twice as long, and so on. */
const FIRST_RETRY_MS = 60_000;
const LAST_RETRY_MS = 6 * 3_600_000;
/** Timers take no more than 2^31 milliseconds, and a clock may be set meanwhile. */
const MOST_WAIT_MS = 3_600_000;

type State =
  | { readonly kind: "idle" | "running" }
  | { readonly kind: "waiting"; readonly reason: string; readonly untilMs: number };

/** Runs by itself what a policy wants executed: outside quiet hours, within its budget, not again and again in vain. */
export class Automation {
  private readonly options: AutomationOptions;
  private state: State = { kind: "idle" };
  private retryMs = 0;
  private failure: { readonly reason: string; readonly untilMs: number } | null = null;
  private timer: NodeJS.Timeout | null = null;
  private lastRun: Promise<ExecutionOutcome> | null = null;
  private disposed = false;

  constructor(options: AutomationOptions) {
    this.options = options;
  }

  /** `inputBytes` are there to be rewritten. */
  async consider(inputBytes: number): Promise<void> {
    if (this.disposed || this.state.kind === "running") return;
    if (inputBytes === 0) return this.rest();
    const { failure } = this;
    if (failure !== null && this.options.now() < failure.untilMs)
      return this.wait(failure.reason, failure.untilMs);
    const decision = this.decide(inputBytes);
    if (decision.kind === "wait") return this.wait(decision.reason, decision.untilMs);
    this.stopTimer();
    this.become({ kind: "running" });
    this.lastRun = this.options.run().catch(failureOf);
    this.ended(await this.lastRun);
  }

  /** Bytes that may be rewritten now. */
  allowedBytes(): number {
    const decision = this.disposed ? null : this.decide(0);
    return decision?.kind === "run" ? (decision.maxBytes ?? Number.POSITIVE_INFINITY) : 0;
  }

  /** Nothing is executed by itself; what runs goes on to its end. */
  rest(): void {
    if (this.state.kind === "running") return;
    this.stopTimer();
    this.become({ kind: "idle" });
  }

  /** Something else is asked for: what failed may not fail again. */
  forgive(): void {
    this.failure = null;
    this.retryMs = 0;
  }

  present(onThreshold: WireAutomation["onThreshold"]): WireAutomation {
    const { state } = this;
    if (state.kind !== "waiting") return { onThreshold, state: state.kind };
    return { onThreshold, state: "waiting", reason: state.reason, untilMs: state.untilMs };
  }

  /** Resolves once what runs has come to its end. */
  async dispose(): Promise<void> {
    this.disposed = true;
    this.stopTimer();
    await this.lastRun;
  }

  private decide(inputBytes: number): ExecutionDecision {
    const { limits, now } = this.options;
    return decideExecution({ ...limits(), nowMs: now(), inputBytes });
  }

  private ended(outcome: ExecutionOutcome): void {
    if (outcome.kind !== "failed") this.forgive();
    else {
      this.retryMs = Math.min(LAST_RETRY_MS, Math.max(FIRST_RETRY_MS, this.retryMs * 2));
      this.failure = { reason: outcome.reason, untilMs: this.options.now() + this.retryMs };
    }
    if (this.disposed) return;
    if (this.failure !== null) this.wait(this.failure.reason, this.failure.untilMs);
    else {
      this.become({ kind: "idle" });
      // What was judged meanwhile was passed over.
      this.options.onDue();
    }
  }

  private wait(reason: string, untilMs: number): void {
    this.stopTimer();
    const waitMs = Math.min(MOST_WAIT_MS, Math.max(1_000, untilMs - this.options.now()));
    this.timer = setTimeout(() => this.options.onDue(), waitMs).unref();
    this.become({ kind: "waiting", reason, untilMs });
  }

  private stopTimer(): void {
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
  }

  private become(state: State): void {
    const isNew = JSON.stringify(state) !== JSON.stringify(this.state);
    this.state = state;
    if (isNew) this.options.onState();
  }
}

function failureOf(error: unknown): ExecutionOutcome {
  return { kind: "failed", reason: error instanceof Error ? error.message : String(error) };
}
