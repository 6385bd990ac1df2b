import { type AutomationLimits, decideCrossing, NOTHING_TOLD, type QuietHours, type Told } from "@tamp/core";
import { Automation, type ExecutionOutcome } from "./automation.ts";
import type { Judgement } from "./judge.ts";
import type { WireAutomation } from "./protocol.ts";
import type { RunFacts } from "./runs.ts";

/** What a policy says of a crossed threshold. */
export interface ThresholdPolicy {
  readonly onThreshold: WireAutomation["onThreshold"];
  readonly quietHours: readonly QuietHours[];
  readonly dailyBudgetBytes: number | null;
}

export type CrossingAction = "notify" | "execute";

export interface ThresholdOptions {
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  readonly policy: () => ThresholdPolicy;
  /** Newest first. */
  readonly runs: () => readonly RunFacts[];
  /** A run is under way, or the dataset is being opened: its end is judged. */
  readonly isBusy: () => boolean;
  readonly onCrossed: (action: CrossingAction) => void;
  /** Plans no more input bytes than are allowed and runs the plan, where so many are allowed still once it is made. */
  readonly execute: (allowedBytes: () => number) => Promise<ExecutionOutcome>;
  readonly onState: () => void;
  /** What execution waited for has come: judge again. */
  readonly onDue: () => void;
}

/** Between two runs that nobody asked for, … */
const REST_MS = 60_000;
/** … and after one that was undone. */
const REST_AFTER_UNDO_MS = 24 * 3_600_000;

/** What is done about judgements: crossings are told once, and executed where the policy wants that. */
export class Thresholds {
  private readonly options: ThresholdOptions;
  private readonly automation: Automation;
  private told: Told = NOTHING_TOLD;
  private toldAs: CrossingAction = "notify";

  constructor(options: ThresholdOptions) {
    this.options = options;
    const { now, execute, onState, onDue } = options;
    const run = (): Promise<ExecutionOutcome> => execute(() => this.allowedBytes());
    this.automation = new Automation({ now, limits: () => this.limits(), run, onState, onDue });
  }

  /** The end of a run is judged again: what is true in the middle of one is not told. */
  judged(judgement: Judgement): void {
    const { policy, isBusy } = this.options;
    if (isBusy()) return;
    const { onThreshold } = policy();
    if (onThreshold === "off") this.told = NOTHING_TOLD;
    else this.tell(judgement, onThreshold);
    if (onThreshold === "execute") void this.automation.consider(judgement.bytesToRewrite);
    else this.automation.rest();
  }

  /** What was told by another policy is told anew. */
  forget(): void {
    this.told = NOTHING_TOLD;
    this.forgive();
  }

  /** By another policy what failed may be done at once. */
  forgive(): void {
    this.automation.forgive();
  }

  present(): WireAutomation {
    return this.automation.present(this.options.policy().onThreshold);
  }

  dispose(): Promise<void> {
    return this.automation.dispose();
  }

  private tell(judgement: Judgement, action: CrossingAction): void {
    // Who heard that it is executed was asked for nothing.
    if (action === "notify" && this.toldAs === "execute") this.told = NOTHING_TOLD;
    const decision = decideCrossing(this.told, judgement);
    this.told = decision.told;
    if (decision.kind === "silent") return;
    this.toldAs = action;
    this.options.onCrossed(action);
  }

  private allowedBytes(): number {
    const { policy, isBusy } = this.options;
    return isBusy() || policy().onThreshold !== "execute" ? 0 : this.automation.allowedBytes();
  }

  private limits(): AutomationLimits {
    const { now, policy, runs } = this.options;
    const { quietHours, dailyBudgetBytes } = policy();
    const today = new Date(now());
    const midnightMs = new Date(now()).setHours(0, 0, 0, 0);
    const done = runs().filter(({ state }) => COUNTED.includes(state));
    return {
      utcOffsetMinutes: -today.getTimezoneOffset(),
      quietHours,
      dailyBudgetBytes,
      spentBytesToday: done
        .filter(({ startedAt }) => Date.parse(startedAt) >= midnightMs)
        .reduce((sum, { inputBytes }) => sum + inputBytes, 0),
      ...restAfter(done),
    };
  }
}

/** What somebody has taken back must not be done again as soon as they look away. */
function restAfter(runs: readonly RunFacts[]): Pick<AutomationLimits, "cooldownMs" | "lastRunEndMs"> {
  const rests = runs.map((run) => ({
    cooldownMs: run.state === "undone" ? REST_AFTER_UNDO_MS : REST_MS,
    lastRunEndMs: Date.parse(run.stateSince),
  }));
  const until = ({ cooldownMs, lastRunEndMs }: (typeof rests)[number]): number => lastRunEndMs + cooldownMs;
  const [longest] = rests.sort((a, b) => until(b) - until(a));
  return longest ?? { cooldownMs: REST_MS, lastRunEndMs: null };
}

/** Runs that have rewritten something, whoever began them. */
const COUNTED: readonly RunFacts["state"][] = ["published", "partly_published", "undone", "purged"];
