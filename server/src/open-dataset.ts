import {
  addFile,
  createTotals,
  type DataFile,
  dueRuns,
  type Health,
  judgeHealth,
  type PartitionFilter,
  type Plan,
  type Policy,
  type PolicyInput,
  parsePartitionFilter,
  resolvePolicy,
} from "@tamp/core";
import type { Engine } from "./engine.ts";
import { TampError } from "./errors.ts";
import type { Inventory, InventoryChange } from "./inventory.ts";
import { JudgeTimer } from "./judge-timer.ts";
import { maintain, type Ports } from "./maintain.ts";
import { makePlan, planIdOf } from "./planning.ts";
import { filterFiles, presentHistogram, presentPartitions, presentRecovered } from "./present.ts";
import type { DatasetStats, DatasetSummary, WireWatchState } from "./protocol.ts";
import { type RecoveredGroup, touchedBy } from "./recover.ts";
import { createRunQueue, type RunQueue } from "./run-queue.ts";
import { learnedRatio, listRuns, type RunFacts } from "./runs.ts";
import type { Watch, WatchEvents, Watcher } from "./watcher.ts";
import { locateWorkspace } from "./workspace.ts";

export interface DatasetDeps {
  readonly ports: Ports;
  readonly engine: Engine;
  readonly watcher: Watcher;
  readonly createInventory: (root: string, smallFileBytes: number) => Inventory;
  readonly onChanged: (dataset: OpenDataset, change: InventoryChange) => void;
  readonly onCrossed: (dataset: OpenDataset, made: MadePlan) => void;
}

export interface MadePlan {
  readonly plan: Plan;
  readonly planId: string;
  readonly generation: number;
  readonly health: Health;
}

export interface DatasetOptions {
  readonly root: string;
  readonly workspace: string | null;
  readonly policyInput: PolicyInput;
}

/** Told when nothing but the judgement has changed. */
const NO_CHANGE = { added: 0, changed: 0, removed: 0 };
/** A crossed threshold is told again once this much worse. */
const WORSE_FACTOR = 1.5;
/** The whole dataset is compared with the disk at least this often while it is watched. */
const RECONCILE_MS = 5 * 60_000;

/** One dataset that the daemon serves: its inventory, its policy, and what is known of its health. */
export class OpenDataset {
  readonly root: string;
  workspace: string | null;
  private policyInput: PolicyInput;
  private policy: Policy;
  private readonly inventory: Inventory;
  private readonly deps: DatasetDeps;
  private readonly queue: RunQueue;
  private readonly judgeTimer: JudgeTimer;
  private watch: Promise<Watch> | null = null;
  private disposed = false;
  /** A hint that came while a run was under way, and was not followed then. */
  private missedHint = false;
  private watchState: WireWatchState = { kind: "off" };
  private runs: readonly RunFacts[] = [];
  private recovered: readonly RecoveredGroup[] = [];
  private latest: MadePlan | null = null;
  private reconcileTimer: NodeJS.Timeout | null = null;
  /** Files to rewrite when the threshold was told last; 0 while it is not crossed. */
  private told = 0;

  constructor(options: DatasetOptions, deps: DatasetDeps) {
    this.root = options.root;
    this.workspace = options.workspace;
    this.policyInput = options.policyInput;
    this.policy = policyOf(options.policyInput);
    this.deps = deps;
    this.inventory = deps.createInventory(this.root, this.policy.smallFileBytes);
    const { clock } = deps.ports;
    this.queue = createRunQueue({
      root: this.root,
      clock,
      onDone: () => this.learn(),
      onNext: () => {
        if (this.missedHint) this.refreshSoon(null);
      },
    });
    const forget = (): void => {
      this.latest = null;
    };
    this.judgeTimer = new JudgeTimer({
      clock,
      onChanged: () => void this.judge().catch(forget),
      onSettled: () => void this.judgeOnce().catch(forget),
    });
  }

  /** Reads the disk; after this the dataset answers. */
  async start(watch: boolean): Promise<void> {
    await this.refresh();
    await this.learn();
    if (!watch || this.watch !== null || this.disposed) return;
    this.watch = this.startWatching();
    await this.watch;
    await this.refresh();
    this.judgeWhenSettled();
  }

  /** Another policy is another judgement: what was told by the old one is told anew. */
  setPolicy(input: PolicyInput): void {
    const policy = policyOf(input);
    if (JSON.stringify(policy) === JSON.stringify(this.policy)) return;
    this.policy = policy;
    this.policyInput = input;
    this.latest = null;
    this.told = 0;
    this.inventory.recount(policy.smallFileBytes);
  }

  /** Compares with the disk, wholly or in some directories; `ownPaths` are files that our own run touched. */
  async refresh(
    directories: readonly string[] | null = null,
    ownPaths: readonly string[] = [],
  ): Promise<void> {
    const change = await this.inventory.reconcile(directories, new Set(ownPaths));
    if (change.added + change.changed + change.removed === 0 || this.disposed) return;
    // Nobody shall be told of a health that was never judged.
    if (this.latest === null) await this.judge();
    this.deps.onChanged(this, change);
    this.scheduleJudging();
  }

  /** What earlier runs tell: how files shrink, what is kept for undo, what was interrupted. */
  private async learn(): Promise<void> {
    try {
      const { ports } = this.deps;
      this.runs = await listRuns(ports, await locateWorkspace(ports.fs, this.root, this.workspace));
    } catch (error) {
      if (!(error instanceof TampError)) throw error;
    }
  }

  private get interruptedGroups(): number {
    return this.runs.reduce((sum, run) => sum + run.interruptedGroups, 0);
  }

  /** Deals with what an interrupted run left, where nobody else is at work on the dataset: that one will. */
  async recover(): Promise<void> {
    if (this.interruptedGroups === 0) return;
    const { ports } = this.deps;
    const { root, workspace } = this;
    try {
      this.recovered = await this.exclusively(() =>
        maintain({ ports, root, workspace }, async (held) => held.recovered),
      );
    } catch (error) {
      if (!(error instanceof TampError)) throw error;
      return;
    }
    await this.learn();
    await this.refresh(null, touchedBy(this.recovered));
  }

  /** Originals of earlier runs that a run of this policy deletes before it begins. */
  dueBytes({ retentionMs, maxRetainedBytes }: Policy, incomingBytes: number): number {
    const retained = this.runs
      .filter((run) => run.retainedBytes > 0)
      .map(({ runId, retainedBytes, stateSince }) => ({
        runId,
        retainedBytes,
        sinceMs: Date.parse(stateSince),
      }))
      .reverse();
    const retention = { retentionMs, maxRetainedBytes };
    const due = dueRuns({
      runs: retained,
      retention,
      nowMs: this.deps.ports.now(),
      incomingBytes,
      keepNewest: true,
    });
    return due.reduce((sum, run) => sum + run.retainedBytes, 0);
  }

  async makePlan(filterTexts: readonly string[], policyInput: PolicyInput = {}): Promise<MadePlan> {
    const filters = filterTexts.map(parseFilter);
    const policy =
      Object.keys(policyInput).length === 0 ? this.policy : policyOf({ ...this.policyInput, ...policyInput });
    if (filters.length > 0) this.filtered(filters);
    const { inventory, deps } = this;
    const plan = makePlan({
      files: inventory.files(),
      classes: inventory.schemaClasses,
      policy,
      filters,
      engine: deps.engine,
      nowMs: deps.ports.now(),
      learnedRatio: learnedRatio(this.runs),
      refusal: this.refusal(),
    });
    return { plan, planId: planIdOf(plan), generation: inventory.generation, health: judgeHealth(plan) };
  }

  stats(filterTexts: readonly string[], made: MadePlan): DatasetStats {
    const filters = filterTexts.map(parseFilter);
    const files = this.filtered(filters);
    const totals = createTotals(this.policy.smallFileBytes);
    for (const file of files) addFile(totals, file);
    return {
      dataset: this.root,
      generation: this.inventory.generation,
      fileCount: totals.fileCount,
      totalBytes: totals.totalBytes,
      totalRows: totals.totalRows,
      partitionCount: totals.partitions.size,
      rowGroupCount: totals.rowGroupCount,
      smallFileCount: totals.smallFileCount,
      smallFileBytes: totals.smallFileBytes,
      schemaClassCount: totals.schemaClasses.size,
      uncompressedBytes: totals.uncompressedBytes,
      quarantinedCount: totals.unreadableCount,
      unsettledCount: unsettledCount(made.plan),
      codecs: Object.fromEntries([...totals.codecs].sort()),
      sizeHistogram: presentHistogram(totals),
      partitions: presentPartitions(files, this.policy.smallFileBytes),
      health: made.health,
      watch: this.watchState,
      warnings: this.warnings(),
    };
  }

  summary(): DatasetSummary {
    const { totals, generation } = this.inventory;
    const state = this.inventory.rootMissing ? "missing" : totals.fileCount === 0 ? "empty" : "ready";
    return {
      dataset: this.root,
      state,
      generation,
      fileCount: totals.fileCount,
      totalBytes: totals.totalBytes,
      smallFileCount: totals.smallFileCount,
      health: this.latest?.health ?? { score: 100, reasons: [] },
      watch: this.watchState,
      running: this.running,
      interruptedGroups: this.interruptedGroups,
      recovered: this.recovered.map(presentRecovered),
      warnings: this.warnings(),
    };
  }

  /** Without a watch nothing judges by itself. */
  async judgeIfStale(): Promise<void> {
    if (this.latest?.generation !== this.inventory.generation) await this.judge();
  }

  /** The health behind `summary`, up to date with the inventory. */
  async judge(): Promise<void> {
    await this.judgeOnce();
    this.judgeWhenSettled();
  }

  private async judgeOnce(): Promise<void> {
    if (this.inventory.rootMissing || this.disposed) return;
    const made = await this.makePlan([]);
    const before = this.latest?.health.score;
    this.latest = made;
    if (before !== undefined && before !== made.health.score)
      this.deps.onChanged(this, { ...NO_CHANGE, generation: made.generation });
    const files = made.plan.kind === "planned" ? made.plan.stats.compactedFileCount : 0;
    if (files === 0) this.told = 0;
    if (files === 0 || this.running || (this.told > 0 && files < this.told * WORSE_FACTOR)) return;
    this.told = files;
    this.deps.onCrossed(this, made);
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

  files(): readonly DataFile[] {
    return this.inventory.files();
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
    this.judgeTimer.dispose();
    if (this.reconcileTimer !== null) clearInterval(this.reconcileTimer);
    await (await this.watch?.catch(() => null))?.dispose();
    await this.inventory.dispose();
  }

  private filtered(filters: readonly PartitionFilter[]): readonly DataFile[] {
    const all = this.inventory.files();
    const files = filterFiles(all, filters);
    if (filters.length === 0 || files.length > 0) return files;
    const have = [...this.inventory.totals.partitions.keys()].sort().slice(0, 10);
    throw new TampError(
      "NoMatchingFiles",
      `no data file of ${this.root} matches ${filters.map((filter) => filter.text).join(" or ")}`,
      {
        hint:
          have.length > 0
            ? `partitions there are: ${have.map((key) => key || "(root)").join(", ")}`
            : "the dataset is empty",
      },
    );
  }

  private warnings(): readonly string[] {
    const foreign = this.inventory.foreign.map(refusalText);
    const groups = this.interruptedGroups;
    const waiting =
      groups === 1 ? "1 group of an interrupted run waits" : `${groups} groups of interrupted runs wait`;
    const interrupted = groups === 0 ? [] : [`${waiting} for \`tamp recover ${this.root}\``];
    return [...foreign, ...interrupted, ...this.inventory.warnings];
  }

  private async startWatching(): Promise<Watch> {
    const events: WatchEvents = {
      onHint: (directories) => this.refreshSoon(directories),
      onOverflow: () => this.refreshSoon(null),
      onState: (state) => {
        this.watchState = state;
      },
    };
    this.watchState = { kind: "watching" };
    // Also judges again: files grow old enough without an event.
    this.reconcileTimer = setInterval(() => {
      this.refreshSoon(null);
      this.scheduleJudging();
    }, RECONCILE_MS);
    this.reconcileTimer.unref();
    return this.deps.watcher.watch(this.root, events);
  }

  /** A failed comparison is a warning of the next summary, never the end of the daemon. */
  private refreshSoon(directories: readonly string[] | null): void {
    // What is seen half-way through a swap would be told; the end of the run looks at everything.
    this.missedHint = this.running;
    if (this.running || this.disposed) return;
    this.refresh(directories).catch((error: unknown) => {
      this.watchState = { kind: "degraded", reason: String(error), remedy: "the next scan tries again" };
    });
  }

  private scheduleJudging(): void {
    if (this.watch === null || this.disposed) return;
    this.judgeTimer.afterChange(this.policy.settleMs);
  }

  /** Files come of age without an event. One look is enough: what is still too young has changed, or is dated ahead. */
  private judgeWhenSettled(): void {
    if (this.watch === null || this.disposed || this.latest === null) return;
    if (unsettledCount(this.latest.plan) > 0) this.judgeTimer.afterSettling(this.policy.settleMs);
  }
}

function unsettledCount(plan: Plan): number {
  return plan.skipped.filter((file) => file.reason === "unsettled").length;
}

export function policyOf(input: PolicyInput): Policy {
  const result = resolvePolicy(input);
  if (result.kind === "ok") return result.policy;
  throw new TampError("InvalidPolicy", result.problems.map((problem) => problem.message).join("; "), {
    hint: "correct the threshold and try again",
    notDone: "nothing was read or changed",
  });
}

function parseFilter(text: string): PartitionFilter {
  const filter = parsePartitionFilter(text);
  if (filter !== null) return filter;
  throw new TampError("InvalidFilter", `${JSON.stringify(text)} is not a partition filter`, {
    hint: "write whole components from the root, e.g. year=2024/month=1",
  });
}

function refusalText({ directory, format }: { readonly directory: string; readonly format: string }): string {
  return `${directory === "" ? "the dataset" : directory} belongs to ${format}: rewriting its files would corrupt it`;
}
