import {
  type Health,
  judgeHealth,
  type Plan,
  type PlanRefusal,
  type Policy,
  type PolicyInput,
} from "@tamp/core";
import { arrivedBytes } from "./arrivals.ts";
import type { ExecutionOutcome } from "./automation.ts";
import { ChangeTeller } from "./change-teller.ts";
import type { DatasetHistory } from "./dataset-history.ts";
import type { DatasetPolicy } from "./dataset-policy.ts";
import { parseFilters, presentStats, refuseUnmatched, settledMsOf } from "./dataset-stats.ts";
import { presentSummary, refusalText } from "./dataset-summary.ts";
import { DatasetWatch } from "./dataset-watch.ts";
import type { Engine } from "./engine.ts";
import { type DatasetRequest, HeldPolicy, policyOf } from "./held-policy.ts";
import type { Changes, Inventory, InventoryChange, InventoryView } from "./inventory.ts";
import { Judge, type Judgement } from "./judge.ts";
import type { Ports } from "./maintain.ts";
import { PastRuns } from "./past-runs.ts";
import { hashPlan, makePlan } from "./planning.ts";
import type { PolicyWatch } from "./policy-watch.ts";
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
  /** Runs a plan that nobody asked for, until `signal`; gives why it was not published whole, or null. */
  readonly onExecute: (dataset: OpenDataset, made: MadePlan, signal: AbortSignal) => Promise<string | null>;
}

export interface MadePlan {
  readonly plan: Plan;
  readonly planId: string;
  readonly generation: number;
  readonly health: Health;
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
  private readonly held: HeldPolicy;
  private policyWatch: Promise<() => void> | null = null;
  /** The files whose arrival the history was told of. */
  private counted: InventoryView;
  /** Until then nothing is told of thresholds, and nothing executed. */
  private opened = false;
  private readonly closing = new AbortController();
  /** A hint that came while a run was under way, and was not followed then. */
  private missedHint = false;
  /** Directories that the run under way changes; null: any. */
  private touched: ReadonlySet<string> | null = null;
  /** What was told last of what time alone may change. */
  private toldState: string | null = null;

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
    const { ports } = deps;
    this.held = new HeldPolicy({ root, ports, request, onOther: (what) => this.onOtherPolicy(what) });
    this.inventory = deps.createInventory({ ...place, smallFileBytes: this.held.policy.smallFileBytes });
    this.counted = this.inventory.view();
    this.history = deps.createHistory(root);
    this.pastRuns = new PastRuns(deps.ports);
    this.queue = createRunQueue({
      root,
      clock,
      onDone: () => this.pastRuns.learn(this),
      onNext: () => void this.afterRun(),
    });
    this.teller = new ChangeTeller({
      clock,
      tell: (tally) => {
        this.toldState = this.stateText();
        events.onChanged(this, { ...tally, generation: this.inventory.generation });
      },
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
      settleMs: () => this.held.policy.settleMs,
      plan: () => this.makeJudgement(),
      onJudged: (latest) => this.onJudged(latest),
    });
    this.thresholds = new Thresholds({
      now,
      policy: () => this.held.thresholds(),
      runs: () => this.pastRuns.list(),
      isBusy: () => this.running || !this.opened || this.disposed,
      onCrossed: (action) => void this.tellCrossing(action),
      execute: (allowedBytes) => this.execute(allowedBytes),
      onState: () => this.teller.add(),
      onDue: () => this.judgeSoon(),
    });
  }

  /** Reads policy files and the disk; after this the dataset answers. This request takes the place of earlier ones. */
  async start(request: DatasetRequest, watch: boolean): Promise<void> {
    this.policyWatch ??= this.deps.policyWatch.watch(this.root, () => this.onPolicyFiles());
    await this.policyWatch;
    await this.held.ask(request);
    // What changes once it is watched is hinted at; what changed before, the comparison finds.
    if (watch) await this.watch.start();
    await this.pastRuns.learn(this);
    await this.refresh();
    if (this.watch.isOn) this.judging.watch();
  }

  /** It was opened to the end: from now on crossed thresholds lead to something. */
  ready(): void {
    if (this.opened) return;
    this.opened = true;
    if (this.judging.latest !== null) this.thresholds.judged(this.judging.latest);
  }

  get isReady(): boolean {
    return this.opened;
  }

  /** Where runs stage and keep; null for the folder beside the root. */
  get workspace(): string | null {
    return this.held.request.workspace ?? this.held.loaded?.workspace ?? null;
  }

  /** What policy files and the client say; null until they were read. */
  get datasetPolicy(): DatasetPolicy | null {
    return this.held.loaded;
  }

  get clientPolicy(): PolicyInput {
    return this.held.request.policy;
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
    const change = await this.compare(directories, ownPaths);
    // Others may have compared since this one was asked for, and have counted what they found.
    const before = this.counted;
    this.counted = this.inventory.view();
    const files = change.added + change.changed + change.removed;
    if (this.disposed || (files === 0 && this.counted.generation === before.generation)) return;
    const arriving = arrivedBytes(this.inventory, before, ownPaths).then((bytes) =>
      this.history.arrived(bytes),
    );
    if (this.judging.latest === null) {
      // What is there before the first judgement did not arrive. Nobody shall be told of a health that was never judged.
      await arriving;
      await this.judge();
    }
    this.teller.add(change);
    if (this.judging.latest?.generation !== this.inventory.generation) this.judging.note(files);
    await arriving;
  }

  /** Deals with what an interrupted run left, where nobody else is at work on the dataset: that one will. */
  async recover(): Promise<void> {
    if (this.pastRuns.interruptedGroups === 0) return;
    await this.exclusively(async () => {
      const recovered = await this.pastRuns.recover(this);
      if (recovered) await this.refresh(null, touchedBy(this.pastRuns.recovered));
    });
  }

  /** Originals of earlier runs that a run of this policy deletes before it begins. */
  dueBytes(policy: Policy, incomingBytes: number): number {
    return this.pastRuns.dueBytes(policy, incomingBytes);
  }

  async makePlan(filterTexts: readonly string[], options: PlanOptions = {}): Promise<MadePlan> {
    const filters = parseFilters(filterTexts);
    const { inventory, deps } = this;
    const { loaded, request } = this.held;
    const own = loaded?.input ?? request.policy;
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
      refusal: this.planRefusal(),
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
      ...presentStats(this.inventory.view(), filters, settledMsOf(plan.policy, this.deps.ports.now())),
      unsettledCount,
      health,
      watch: this.watch.present(),
      warnings: this.summary().warnings,
    };
  }

  summary(): DatasetSummary {
    const { root, inventory, pastRuns, running, held, history } = this;
    return presentSummary({
      root,
      inventory,
      pastRuns,
      running,
      health: this.judging.health,
      settledMs: settledMsOf(held.policy, this.deps.ports.now()),
      watch: this.watch.present(),
      automation: this.thresholds.present(),
      warnings: [...held.warnings(), ...(history.warning === null ? [] : [history.warning])],
    });
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

  /** Why no plan may be executed here, whoever made it, or null. */
  refusal(): string | null {
    const first = this.inventory.foreign[0];
    return first === undefined ? null : refusalText(first);
  }

  private planRefusal(): PlanRefusal | null {
    const reason = this.refusal();
    return reason === null ? this.held.refusal() : { because: "foreign_format", reason };
  }

  /** What a rewrite loses although no meaning changes. */
  notes(): readonly string[] {
    return this.deps.engine.describeLosses(
      [...this.inventory.schemaClasses.values()].map((known) => known.aids),
    );
  }

  /** Runs work alone: one at a time, one more may wait. `touched`: all directories that it changes; null: any. */
  exclusively<T>(work: () => Promise<T>, touched: ReadonlySet<string> | null = null): Promise<T> {
    return this.queue.exclusively(async () => {
      this.touched = touched;
      return work();
    });
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
    return this.held.policy;
  }

  get rootMissing(): boolean {
    return this.inventory.rootMissing;
  }

  /** A run that nobody asked for nobody else could cancel. */
  async dispose(): Promise<void> {
    this.closing.abort();
    this.judging.dispose();
    this.teller.dispose();
    await this.thresholds.dispose();
    (await this.policyWatch)?.();
    await this.watch.dispose();
    await this.history.flush();
    await this.inventory.dispose();
  }

  private get disposed(): boolean {
    return this.closing.signal.aborted;
  }

  /** Another policy is another judgement: what was told by the old one is told anew. */
  private onOtherPolicy(what: "planner" | "rest"): void {
    if (what === "rest") {
      this.thresholds.forgive();
      return;
    }
    this.judging.forget();
    this.thresholds.forget();
    const { smallFileBytes } = this.held.policy;
    if (smallFileBytes !== this.inventory.totals.smallFileBound) this.inventory.recount(smallFileBytes);
  }

  private async onPolicyFiles(): Promise<void> {
    await this.held.reload();
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

  private onJudged(latest: Judgement): void {
    const { totals } = this.inventory;
    if (this.toldState !== null && this.toldState !== this.stateText()) this.teller.add();
    if (this.isWorthRecording(latest)) {
      void this.history.record({
        files: totals.fileCount,
        bytes: totals.totalBytes,
        rows: totals.totalRows,
        smallFiles: totals.smallFileCount,
        score: latest.health.score,
      });
    }
    // Nothing is resolved by a root that is away.
    if (!this.inventory.rootMissing) this.thresholds.judged(latest);
  }

  /** What a summary says and no comparison with the disk changes. */
  private stateText(): string {
    const { unsettledCount, health } = this.summary();
    return `${unsettledCount} ${health.score}`;
  }

  /**
   * A root that is away for a while is no empty dataset, thresholds of one command are not the dataset's, and most
   * files must be old enough to be judged.
   */
  private isWorthRecording({ unsettledCount }: Judgement): boolean {
    const { rootMissing, totals } = this.inventory;
    const isUsual = this.watch.isOn || Object.keys(this.clientPolicy).length === 0;
    return isUsual && !rootMissing && unsettledCount * 10 <= totals.fileCount;
  }

  private judgeSoon(): void {
    // A dataset that cannot be judged now is judged after its next change, or when it is asked for.
    this.judge().catch(() => this.judging.forget());
  }

  /** What was judged in the middle of a run was not told. */
  private async afterRun(): Promise<void> {
    if (this.missedHint) {
      await this.refreshSoon(null);
      // What changed is judged after some quiet.
      if (this.judging.latest?.generation !== this.generation) return;
    }
    this.judgeSoon();
  }

  private async tellCrossing(action: CrossingAction): Promise<void> {
    const made = await this.makePlan([]).catch(() => null);
    if (made?.plan.kind === "planned" && !this.disposed) this.events.onCrossed(this, made, action);
  }

  private async execute(allowedBytes: () => number): Promise<ExecutionOutcome> {
    // Runs of other processes count too.
    await this.pastRuns.learn(this);
    const { loaded, policy } = this.held;
    const most = Math.min(allowedBytes(), policy.maxRunBytes ?? Number.POSITIVE_INFINITY);
    if (most <= 0) return { kind: "not_begun" };
    const policyInput = Number.isFinite(most) ? { maxRunBytes: most } : {};
    const made = await this.makePlan([], { policyInput });
    const { kind, crossings, stats } = made.plan;
    if (kind !== "planned") return crossings.length > 0 ? NOTHING_FITS : { kind: "done" };
    // Planning takes a while. From here on nothing is awaited before the run has begun.
    if (loaded !== this.held.loaded || stats.rewrittenBytes > allowedBytes()) return { kind: "not_begun" };
    const reason = await this.events.onExecute(this, made, this.closing.signal);
    return reason === null ? { kind: "done" } : { kind: "failed", reason };
  }

  /** A failed comparison is a state of the next summary, never the end of the daemon. */
  private async refreshSoon(directories: readonly string[] | null): Promise<void> {
    if (this.disposed) return;
    const followed = this.running ? this.beside(directories) : directories;
    this.missedHint = this.running && (this.missedHint || followed?.length !== directories?.length);
    if (followed === null || followed.length > 0) await this.refresh(followed).catch(() => {});
  }

  /** What is seen half-way through a swap would be told: where the run is at work only its end looks. */
  private beside(directories: readonly string[] | null): readonly string[] {
    const { touched } = this;
    return touched === null ? [] : (directories ?? []).filter((path) => !touched.has(path));
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

const NOTHING_FITS: ExecutionOutcome = {
  kind: "failed",
  reason: "no group fits what may be rewritten today or in one run",
};
