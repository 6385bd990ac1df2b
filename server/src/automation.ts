import { type AutomationLimits, decideExecution } from "@tamp/core";
import type { WireAutomation } from "./protocol.ts";

export interface AutomationOptions {
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** Makes the plan of this moment, of at most so many input bytes, and runs it; gives why it failed, or null. */
  readonly run: (maxBytes: number | null) => Promise<string | null>;
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
  private disposed = false;

  constructor(options: AutomationOptions) {
    this.options = options;
  }

  /** `inputBytes` are there to be rewritten. */
  async consider(inputBytes: number): Promise<void> {
    if (this.disposed || this.state.kind === "running") return;
    if (inputBytes === 0) return this.rest();
    const { now, limits, run } = this.options;
    const nowMs = now();
    const { failure } = this;
    if (failure !== null && nowMs < failure.untilMs) return this.wait(failure.reason, failure.untilMs);
    const decision = decideExecution({ ...limits(), nowMs, inputBytes });
    if (decision.kind === "wait") return this.wait(decision.reason, decision.untilMs);
    this.become({ kind: "running" });
    const reason = await run(decision.maxBytes).catch((error: unknown) =>
      error instanceof Error ? error.message : String(error),
    );
    this.retryMs = reason === null ? 0 : Math.min(LAST_RETRY_MS, Math.max(FIRST_RETRY_MS, this.retryMs * 2));
    this.failure = reason === null ? null : { reason, untilMs: now() + this.retryMs };
    if (this.disposed) return;
    if (this.failure === null) this.rest();
    else this.wait(this.failure.reason, this.failure.untilMs);
  }

  /** Nothing is executed by itself. */
  rest(): void {
    this.stopTimer();
    this.become({ kind: "idle" });
  }

  present(onThreshold: WireAutomation["onThreshold"]): WireAutomation {
    const { state } = this;
    if (state.kind !== "waiting") return { onThreshold, state: state.kind };
    return { onThreshold, state: "waiting", reason: state.reason, untilMs: state.untilMs };
  }

  dispose(): void {
    this.disposed = true;
    this.stopTimer();
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
