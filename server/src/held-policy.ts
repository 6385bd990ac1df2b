import { type PlanRefusal, type Policy, type PolicyInput, resolvePolicy } from "@tamp/core";
import { type DatasetPolicy, loadDatasetPolicy } from "./dataset-policy.ts";
import { TampError } from "./errors.ts";
import type { Ports } from "./maintain.ts";
import type { ThresholdPolicy } from "./thresholds.ts";

/** What a client asks for. */
export interface DatasetRequest {
  readonly workspace: string | null;
  readonly policy: PolicyInput;
  /** Execute what the policy wants executed. */
  readonly automate: boolean;
}

export interface HeldPolicyOptions {
  readonly root: string;
  readonly ports: Pick<Ports, "fs" | "user">;
  readonly request: DatasetRequest;
  /** By another planner policy what was judged says nothing; what failed may succeed by any other. */
  readonly onOther: (what: "planner" | "rest") => void;
}

/** What is asked for and what policy files say, as one. */
export class HeldPolicy {
  request: DatasetRequest;
  /** Null until policy files were read. */
  loaded: DatasetPolicy | null = null;
  policy: Policy;
  /** Why what policy files say now cannot be followed. */
  problem: string | null = null;
  private readonly options: HeldPolicyOptions;
  private last: Promise<unknown> = Promise.resolve();

  constructor(options: HeldPolicyOptions) {
    this.options = options;
    this.request = options.request;
    this.policy = policyOf(options.request.policy);
  }

  /** Another request takes the place of the one before; what cannot be followed changes nothing. */
  ask(request: DatasetRequest): Promise<void> {
    return this.inTurn(() => this.load(request));
  }

  /** Reads the policy files anew. Never rejects. */
  reload(): Promise<void> {
    return this.inTurn(() => this.load(this.request)).catch((error: unknown) => {
      // Sound in itself, but not together with what the client asked for.
      const text = error instanceof Error ? error.message : String(error);
      this.problem = `the policy was not reloaded, and nothing is executed: ${text}`;
    });
  }

  /** Nothing is executed for a client that does not want it, nor by a policy that cannot be followed. */
  thresholds(): ThresholdPolicy {
    const { onThreshold = "notify", quietHours = [], dailyBudgetBytes = null } = this.loaded ?? {};
    const isHeldBack = onThreshold === "execute" && (!this.request.automate || this.problem !== null);
    return { onThreshold: isHeldBack ? "notify" : onThreshold, quietHours, dailyBudgetBytes };
  }

  /** Without what was never read nothing may be planned: it may say which files are left out. */
  refusal(): PlanRefusal | null {
    if (this.loaded?.lost !== true) return null;
    const [first = "the policy cannot be read"] = this.loaded.warnings;
    return { because: "policy", reason: first };
  }

  warnings(): readonly string[] {
    return this.problem === null ? (this.loaded?.warnings ?? []) : [this.problem];
  }

  /** Of two that overlap the one that began first might end last. */
  private inTurn(work: () => Promise<void>): Promise<void> {
    const done = this.last.then(work);
    this.last = done.catch(() => {});
    return done;
  }

  private async load(request: DatasetRequest): Promise<void> {
    const { root, ports, onOther } = this.options;
    const { fs, user } = ports;
    const loaded = await loadDatasetPolicy({ fs, user, root, client: request.policy, previous: this.loaded });
    const policy = policyOf(loaded.input);
    const before = this.text();
    const isOther = JSON.stringify(policy) !== JSON.stringify(this.policy);
    this.request = request;
    this.loaded = loaded;
    this.problem = null;
    if (isOther) this.policy = policy;
    if (isOther) onOther("planner");
    else if (before !== this.text()) onOther("rest");
  }

  private text(): string {
    return JSON.stringify([this.thresholds(), this.loaded?.exclude]);
  }
}

export function policyOf(input: PolicyInput): Policy {
  const result = resolvePolicy(input);
  if (result.kind === "ok") return result.policy;
  throw new TampError("InvalidPolicy", result.problems.map((problem) => problem.message).join("; "), {
    hint: "correct the threshold and try again",
    notDone: "nothing was read or changed",
  });
}
