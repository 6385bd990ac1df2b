import {
  type Health,
  judgeHealth,
  type Plan,
  type Policy,
  type PolicyInput,
  resolvePolicy,
} from "@tamp/core";
import { arrivedBytes } from "./arrivals.ts";
import { ChangeTeller } from "./change-teller.ts";
import type { DatasetHistory } from "./dataset-history.ts";
import { type DatasetPolicy, loadDatasetPolicy } from "./dataset-policy.ts";
import { parseFilters, presentStats, refuseUnmatched } from "./dataset-stats.ts";
import { DatasetWatch } from "./dataset-watch.ts";
import type { Engine } from "./engine.ts";
import { TampError } from "./errors.ts";
import type { Changes, Inventory, InventoryChange, InventoryView } from "./inventory.ts";
import { Judge, type Judgement } from "./judge.ts";
import type { Ports } from "./maintain.ts";
import { PastRuns } from "./past-runs.ts";
import { hashPlan, makePlan } from "./planning.ts";
import type { PolicyWatch } from "./policy-watch.ts";
import { presentRecovered } from "./present.ts";
import type { DatasetStats, DatasetSummary } from "./protocol.ts";
import { touchedBy } from "./recover.ts";
import { createRunQueue, type RunQueue } from "./run-queue.ts";
import { type CrossingAction, Thresholds } from "./thresholds.ts";
import type { Watcher } from "./watcher.ts";

export interface DatasetDeps {
  readonly ports: Ports;
  readonly engine: Engine;
  readonly watcher: Watcher;
  readonly policyWatch: PolicyWatch;
  readonly createInventory: (options: {
    readonly root: string;
    readonly smallFileBytes: number;
    /** Generations begin here. */
    readonly firstGeneration: number;
  }) => Inventory;
  readonly createHistory: (root: string) => DatasetHistory;
}

/** What a dataset tells, and what it asks for. */
export interface DatasetEvents {
  readonly onChanged: (dataset: OpenDataset, change: InventoryChange) => void;
  readonly onCrossed: (dataset: OpenDataset, made: MadePlan, action: CrossingAction) => void;
  /** Runs a plan that nobody asked for; gives why it was not published whole, or null. */
  readonly onExecute: (dataset: OpenDataset, made: MadePlan) => Promise<string | null>;
}

export interface MadePlan {
  readonly plan: Plan;
  readonly planId: string;
  readonly generation: number;
  readonly health: Health;
}

/** What a client asks for. */
export interface DatasetRequest {
  readonly workspace: string | null;
  readonly policy: PolicyInput;
  /** Execute what the policy wants executed. */
  readonly automate: boolean;
}

export interface PlanOptions {
  /** Beside the dataset's own. */
  readonly policyInput?: PolicyInput;
  /** False: the plan only counts what it skips. */
  readonly listSkipped?: boolean;
}

/** One dataset that the daemon serves: its inventory, its policy, and what is known of its health. */
export class OpenDataset {
  readonly root: string;
  readonly history: DatasetHistory;
  private readonly deps: DatasetDeps;
  private readonly events: DatasetEvents;
  private readonly inventory: Inventory;
  private readonly queue: RunQueue;
  private readonly pastRuns: PastRuns;
  private readonly judging: Judge;
  private readonly thresholds: Thresholds;
  private readonly teller: ChangeTeller;
  private readonly watch: DatasetWatch;
  private request: DatasetRequest;
  /** What is asked for and what policy files say, as one; null until these were read. */
  private loaded: DatasetPolicy | null = null;
  private policy: Policy;
  /** Why what policy files say now cannot be followed. */
  private policyProblem: string | null = null;
  private policyWatch: Promise<() => void> | null = null;
  private disposed = false;
  /** A hint that came while a run was under way, and was not followed then. */
  private missedHint = false;

  constructor(
    place: { readonly root: string; readonly firstGeneration: number },
    request: DatasetRequest,
    deps: DatasetDeps,
    events: DatasetEvents,
  ) {
    const { root } = place;
    const { clock, now } = deps.ports;
    this.root = root;
    this.deps = deps;
    this.events = events;
    this.request = request;
    this.policy = policyOf(request.policy);
    this.inventory = deps.createInventory({ ...place, smallFileBytes: this.policy.smallFileBytes });
    this.history = deps.createHistory(root);
    this.pastRuns = new PastRuns(deps.ports);
    this.queue = createRunQueue({
      root,
      clock,
      onDone: () => this.pastRuns.learn(this),
      onNext: () => {
        if (this.missedHint) this.refreshSoon(null);
        else this.judgeSoon();
      },
    });
    this.teller = new ChangeTeller({
      clock,
      tell: (tally) => events.onChanged(this, { ...tally, generation: this.inventory.generation }),
    });
    this.watch = new DatasetWatch({
      root,
      watcher: deps.watcher,
      clock,
      compare: (directories) => this.refreshSoon(directories),
      onState: () => this.teller.add(),
    });
    this.judging = new Judge({
      clock,
      now,
      settleMs: () => this.policy.settleMs,
      plan: () => this.makeJudgement(),
      onJudged: (latest, before) => this.onJudged(latest, before),
    });
    this.thresholds = new Thresholds({
      now,
      policy: () => this.thresholdPolicy(),
      runs: () => this.pastRuns.list(),
      isRunning: () => this.running,
      onCrossed: (action) => void this.tellCrossing(action),
      execute: (maxBytes) => this.execute(maxBytes),
      onState: () => this.teller.add(),
      onDue: () => this.judgeSoon(),
    });
  }

  /** Reads policy files and the disk; after this the dataset answers. */
  async start(watch: boolean): Promise<void> {
    this.policyWatch ??= this.deps.policyWatch.watch(this.root, () => this.onPolicyFiles());
    await this.policyWatch;
    await this.loadPolicy();
    // What changes once it is watched is hinted at; what changed before, the comparison finds.
    if (watch) await this.watch.start();
    await this.refresh();
    await this.pastRuns.learn(this);
    if (this.watch.isOn) this.judging.watch();
  }

  /** Another request takes the place of the one that the dataset was opened with. */
  ask(request: DatasetRequest): void {
    policyOf(request.policy);
    this.request = request;
  }

  /** Where runs stage and keep; null for the folder beside the root. */
  get workspace(): string | null {
    return this.request.workspace ?? this.loaded?.workspace ?? null;
  }

  /** What policy files and the client say; null until they were read. */
  get datasetPolicy(): DatasetPolicy | null {
    return this.loaded;
  }

  get clientPolicy(): PolicyInput {
    return this.request.policy;
  }

  /** Into the history, with what the dataset has become. */
  async recordRun(run: Parameters<DatasetHistory["recordRun"]>[0]): Promise<void> {
    await this.history.recordRun(run);
    await this.judge().catch(() => this.judging.forget());
  }

  /** Compares with the disk, wholly or in some directories; `ownPaths` are files that our own run touched. */
  async refresh(
    directories: readonly string[] | null = null,
    ownPaths: readonly string[] = [],
  ): Promise<void> {
    const before = this.inventory.view();
    const change = await this.compare(directories, ownPaths);
    const files = change.added + change.changed + change.removed;
    if (files === 0 || this.disposed) return;
    this.history.arrived(arrivedBytes(this.inventory, before, ownPaths));
    // Nobody shall be told of a health that was never judged.
    if (this.judging.latest === null) await this.judge();
    this.teller.add(change);
    if (this.judging.latest?.generation !== this.inventory.generation) this.judging.note(files);
  }

  /** Deals with what an interrupted run left, where nobody else is at work on the dataset: that one will. */
  async recover(): Promise<void> {
    if (this.pastRuns.interruptedGroups === 0) return;
    const recovered = await this.exclusively(() => this.pastRuns.recover(this));
    if (!recovered) return;
    await this.pastRuns.learn(this);
    await this.refresh(null, touchedBy(this.pastRuns.recovered));
  }

  /** Originals of earlier runs that a run of this policy deletes before it begins. */
  dueBytes(policy: Policy, incomingBytes: number): number {
    return this.pastRuns.dueBytes(policy, incomingBytes);
  }

  async makePlan(filterTexts: readonly string[], options: PlanOptions = {}): Promise<MadePlan> {
    const filters = parseFilters(filterTexts);
    const { inventory, deps, loaded } = this;
    const own = loaded?.input ?? this.request.policy;
    refuseUnmatched(this.root, inventory, filters);
    const view = inventory.view();
    const plan = await makePlan({
      partitions: { [Symbol.iterator]: () => view.partitions()[Symbol.iterator]() },
      classes: inventory.schemaClasses,
      policy: policyOf({ ...own, ...options.policyInput }),
      filters,
      isExcluded: loaded?.isExcluded ?? (() => false),
      engine: deps.engine,
      nowMs: deps.ports.now(),
      learnedRatio: this.pastRuns.learnedRatio,
      refusal: this.refusal(),
      listSkipped: options.listSkipped ?? true,
    });
    const planId = await hashPlan(plan);
    return { plan, planId, generation: view.generation, health: judgeHealth(plan) };
  }

  stats(filterTexts: readonly string[], { plan, health }: MadePlan): DatasetStats {
    const filters = parseFilters(filterTexts);
    refuseUnmatched(this.root, this.inventory, filters);
    const unsettledCount = plan.skippedByReason.unsettled ?? 0;
    return {
      dataset: this.root,
      ...presentStats(this.inventory.view(), filters),
      unsettledCount,
      health,
      watch: this.watch.present(),
      warnings: this.warnings(),
    };
  }

  summary(): DatasetSummary {
    const { totals, generation, rootMissing } = this.inventory;
    const { settleMs } = this.policy;
    return {
      dataset: this.root,
      state: rootMissing ? "missing" : totals.fileCount === 0 ? "empty" : "ready",
      generation,
      fileCount: totals.fileCount,
      totalBytes: totals.totalBytes,
      totalRows: totals.totalRows,
      smallFileCount: totals.smallFileCount,
      unsettledCount: this.inventory.view().countChangedSince(this.deps.ports.now() - settleMs),
      quarantinedCount: totals.unreadableCount,
      health: this.judging.latest?.health ?? { score: 100, reasons: [] },
      watch: this.watch.present(),
      automation: this.thresholds.present(),
      running: this.running,
      interruptedGroups: this.pastRuns.interruptedGroups,
      recovered: this.pastRuns.recovered.map(presentRecovered),
      warnings: this.warnings(),
    };
  }

  /** Without a watch nothing judges by itself; with one, whoever asks must not bring a judgement into a burst. */
  async judgeIfStale(): Promise<void> {
    if (this.watch.isOn && this.judging.latest !== null) return;
    if (this.judging.latest?.generation !== this.inventory.generation) await this.judge();
  }

  /** The health behind `summary`, up to date with the inventory. */
  async judge(): Promise<void> {
    if (!this.inventory.rootMissing && !this.disposed) await this.judging.judge();
  }

  /** Why no plan may be made or executed here, or null. */
  refusal(): string | null {
    const first = this.inventory.foreign[0];
    return first === undefined ? null : refusalText(first);
  }

  /** What a rewrite loses although no meaning changes. */
  notes(): readonly string[] {
    return this.deps.engine.describeLosses(
      [...this.inventory.schemaClasses.values()].map((known) => known.aids),
    );
  }

  /** Runs work alone: one at a time, one more may wait. */
  exclusively<T>(work: () => Promise<T>): Promise<T> {
    return this.queue.exclusively(work);
  }

  get running(): boolean {
    return this.queue.running;
  }

  get generation(): number {
    return this.inventory.generation;
  }

  /** The files as they are known now. */
  view(): InventoryView {
    return this.inventory.view();
  }

  /** What a copy of that generation lacks; `fresh`: all of it must be copied anew. */
  changesSince(generation: number): Changes {
    return this.inventory.changesSince(generation);
  }

  schemaClasses(): Inventory["schemaClasses"] {
    return this.inventory.schemaClasses;
  }

  currentPolicy(): Policy {
    return this.policy;
  }

  get rootMissing(): boolean {
    return this.inventory.rootMissing;
  }

  async dispose(): Promise<void> {
    this.disposed = true;
    this.judging.dispose();
    this.thresholds.dispose();
    this.teller.dispose();
    (await this.policyWatch)?.();
    await this.watch.dispose();
    await this.history.flush();
    await this.inventory.dispose();
  }

  /** Another policy is another judgement: what was told by the old one is told anew. */
  private async loadPolicy(): Promise<void> {
    const { fs, user } = this.deps.ports;
    const { root, loaded: previous } = this;
    const loaded = await loadDatasetPolicy({ fs, user, root, client: this.request.policy, previous });
    const policy = policyOf(loaded.input);
    this.loaded = loaded;
    this.policyProblem = null;
    if (JSON.stringify(policy) === JSON.stringify(this.policy)) return;
    this.policy = policy;
    this.judging.forget();
    this.thresholds.forget();
    this.inventory.recount(policy.smallFileBytes);
  }

  private async onPolicyFiles(): Promise<void> {
    try {
      await this.loadPolicy();
    } catch (error) {
      // Sound in itself, but not together with what the client asked for.
      this.policyProblem = `the policy was not reloaded, and nothing is executed: ${textOf(error)}`;
    }
    await this.judge().catch(() => this.judging.forget());
    this.teller.add();
  }

  private async makeJudgement(): Promise<Judgement> {
    const { plan, generation, health } = await this.makePlan([], { listSkipped: false });
    const { crossings, stats, skippedByReason, nextDueMs } = plan;
    const refused = plan.kind === "refused";
    return {
      generation,
      health,
      crossings: refused ? [] : crossings,
      bytesToRewrite: refused ? 0 : stats.rewrittenBytes,
      unsettledCount: skippedByReason.unsettled ?? 0,
      nextDueMs,
    };
  }

  private onJudged(latest: Judgement, before: Judgement | null): void {
    const { totals } = this.inventory;
    const changed =
      before !== null &&
      (before.health.score !== latest.health.score || before.unsettledCount !== latest.unsettledCount);
    if (changed) this.teller.add();
    if (this.isWorthRecording) {
      void this.history.record({
        files: totals.fileCount,
        bytes: totals.totalBytes,
        rows: totals.totalRows,
        smallFiles: totals.smallFileCount,
        score: latest.health.score,
      });
    }
    this.thresholds.judged(latest);
  }

  /** A root that is away for a while is no empty dataset, and thresholds of one command are not the dataset's. */
  private get isWorthRecording(): boolean {
    const isUsual = this.watch.isOn || Object.keys(this.request.policy).length === 0;
    return isUsual && !this.inventory.rootMissing;
  }

  private judgeSoon(): void {
    // A dataset that cannot be judged now is judged after its next change, or when it is asked for.
    this.judge().catch(() => this.judging.forget());
  }

  private thresholdPolicy(): Pick<DatasetPolicy, "onThreshold" | "quietHours" | "dailyBudgetBytes"> {
    const { onThreshold = "notify", quietHours = [], dailyBudgetBytes = null } = this.loaded ?? {};
    const isHeldBack = onThreshold === "execute" && (!this.request.automate || this.policyProblem !== null);
    return { onThreshold: isHeldBack ? "notify" : onThreshold, quietHours, dailyBudgetBytes };
  }

  private async tellCrossing(action: CrossingAction): Promise<void> {
    const made = await this.makePlan([]).catch(() => null);
    if (made?.plan.kind === "planned" && !this.disposed) this.events.onCrossed(this, made, action);
  }

  private async execute(maxBytes: number | null): Promise<string | null> {
    const { maxRunBytes } = this.policy;
    const most = Math.min(maxBytes ?? Number.POSITIVE_INFINITY, maxRunBytes ?? Number.POSITIVE_INFINITY);
    const policyInput = Number.isFinite(most) ? { maxRunBytes: most } : {};
    const made = await this.makePlan([], { policyInput });
    if (made.plan.kind === "planned") return this.events.onExecute(this, made);
    return made.plan.crossings.length > 0 ? "no group fits what may be rewritten today or in one run" : null;
  }

  private warnings(): readonly string[] {
    const foreign = this.inventory.foreign.map(refusalText);
    const groups = this.pastRuns.interruptedGroups;
    const waiting =
      groups === 1 ? "1 group of an interrupted run waits" : `${groups} groups of interrupted runs wait`;
    const interrupted = groups === 0 ? [] : [`${waiting} for \`tamp recover ${this.root}\``];
    const history = this.history.warning === null ? [] : [this.history.warning];
    const policy = this.policyProblem === null ? (this.loaded?.warnings ?? []) : [this.policyProblem];
    return [...foreign, ...interrupted, ...policy, ...history, ...this.inventory.warnings];
  }

  /** A failed comparison is a state of the next summary, never the end of the daemon. */
  private async refreshSoon(directories: readonly string[] | null): Promise<void> {
    // What is seen half-way through a swap would be told; the end of the run looks at everything.
    this.missedHint = this.running;
    if (this.running || this.disposed) return;
    await this.refresh(directories).catch(() => {});
  }

  private async compare(
    directories: readonly string[] | null,
    ownPaths: readonly string[],
  ): Promise<InventoryChange> {
    try {
      const change = await this.inventory.reconcile(directories, new Set(ownPaths));
      // What was missed in a part, the whole makes up for.
      if (directories === null) this.watch.compared();
      return change;
    } catch (error) {
      this.watch.failed(error);
      throw error;
    }
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

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function refusalText({ directory, format }: { readonly directory: string; readonly format: string }): string {
  return `${directory === "" ? "the dataset" : directory} belongs to ${format}: rewriting its files would corrupt it`;
}
