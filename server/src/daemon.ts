import { resolve } from "node:path";
import { runDataset } from "./dataset-run.ts";
import { TampError } from "./errors.ts";
import type { InventoryChange } from "./inventory.ts";
import { type DatasetDeps, type DatasetRequest, type MadePlan, OpenDataset } from "./open-dataset.ts";
import type { RunResult } from "./protocol.ts";
import type { CrossingAction } from "./thresholds.ts";
import type { Checker } from "./validate.ts";

/** What happens in the daemon that a client may want to hear of. */
export type DaemonEvent =
  | { readonly kind: "changed"; readonly dataset: OpenDataset; readonly change: InventoryChange }
  | {
      readonly kind: "crossed";
      readonly dataset: OpenDataset;
      readonly made: MadePlan;
      readonly action: CrossingAction;
    }
  | { readonly kind: "finished"; readonly dataset: OpenDataset; readonly result: RunResult };

export interface DaemonDeps extends DatasetDeps {
  readonly createChecker: (deadlineMs: number) => Checker;
  readonly defaults: { readonly memoryBytes: number; readonly threads: number; readonly deadlineMs: number };
  readonly version: string;
}

export interface OpenRequest extends DatasetRequest {
  readonly root: string;
  readonly watch: boolean;
  readonly mustExist: boolean;
  /** Finish or undo what an interrupted run left. */
  readonly recover: boolean;
}

const MOST_PLANS = 64;

/** The open datasets, the plans that were made, and the runs under way. */
export class Daemon {
  readonly deps: DaemonDeps;
  private readonly datasets = new Map<string, OpenDataset>();
  /** A dataset that is opened again goes on after its last generation: no number stands for two states. */
  private readonly lastGenerations = new Map<string, number>();
  private readonly plans = new Map<string, { readonly dataset: OpenDataset; readonly made: MadePlan }>();
  private readonly work = new Set<{ readonly abort: AbortController; readonly done: Promise<unknown> }>();
  private readonly listeners = new Set<(event: DaemonEvent) => void>();

  constructor(deps: DaemonDeps) {
    this.deps = deps;
  }

  onEvent(listener: (event: DaemonEvent) => void): void {
    this.listeners.add(listener);
  }

  async open(request: OpenRequest): Promise<OpenDataset> {
    const root = resolve(request.root);
    const known = this.datasets.get(root);
    known?.ask(request);
    const dataset = known ?? this.create(root, request);
    this.datasets.set(root, dataset);
    try {
      await dataset.start(request.watch);
      if (request.recover) await dataset.recover();
      if (request.mustExist) refuseEmpty(dataset);
      // Files of a known one may have come of age since it was judged.
      if (known === undefined) await dataset.judgeIfStale();
      else await dataset.judge();
    } catch (error) {
      if (known === undefined) await this.close(root);
      throw error;
    }
    return dataset;
  }

  private create(root: string, request: DatasetRequest): OpenDataset {
    const firstGeneration = this.lastGenerations.get(root) ?? 0;
    return new OpenDataset({ root, firstGeneration }, request, this.deps, {
      onChanged: (dataset, change) => this.tell({ kind: "changed", dataset, change }),
      onCrossed: (dataset, made, action) => {
        this.keepPlan(dataset, made);
        this.tell({ kind: "crossed", dataset, made, action });
      },
      onExecute: async (dataset, { plan, planId }) => {
        const { signal } = new AbortController();
        const result = await runDataset(this, dataset, { plan, planId, signal });
        return result.kind === "published" || result.kind === "nothing_to_do"
          ? null
          : (result.reason ?? firstReason(result) ?? `the run was ${result.kind.replaceAll("_", " ")}`);
      },
    });
  }

  tell(event: DaemonEvent): void {
    for (const listener of this.listeners) listener(event);
  }

  list(): readonly OpenDataset[] {
    return [...this.datasets.values()];
  }

  dataset(root: string): OpenDataset {
    const dataset = this.datasets.get(resolve(root));
    if (dataset !== undefined) return dataset;
    throw new TampError("DatasetNotOpen", `${root} is not open`, { hint: "send tamp/dataset/open first" });
  }

  async close(root: string): Promise<void> {
    const dataset = this.dataset(root);
    this.datasets.delete(dataset.root);
    this.lastGenerations.set(dataset.root, dataset.generation + 1);
    for (const [planId, entry] of this.plans) if (entry.dataset === dataset) this.plans.delete(planId);
    await dataset.dispose();
  }

  /** Plans stay until 64 newer ones were made. */
  keepPlan(dataset: OpenDataset, made: MadePlan): void {
    this.plans.delete(made.planId);
    this.plans.set(made.planId, { dataset, made });
    const oldest = this.plans.keys().next();
    if (this.plans.size > MOST_PLANS && oldest.value !== undefined) this.plans.delete(oldest.value);
  }

  plan(planId: string): { readonly dataset: OpenDataset; readonly made: MadePlan } {
    const found = this.plans.get(planId);
    if (found !== undefined) return found;
    throw new TampError("PlanNotFound", `there is no plan ${planId}`, {
      hint: "make a new plan with tamp/plan",
    });
  }

  /** Work that a shutdown waits for; `signal` of the client and shutdown both abort it. */
  async track<T>(clientSignal: AbortSignal, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const abort = new AbortController();
    const done = work(AbortSignal.any([clientSignal, abort.signal]));
    const entry = { abort, done };
    this.work.add(entry);
    try {
      return await done;
    } finally {
      this.work.delete(entry);
    }
  }

  /** Cancels runs, waits until each has finished or undone its publication, and lets everything go. */
  async dispose(): Promise<void> {
    for (const { abort } of this.work) abort.abort();
    await Promise.allSettled([...this.work].map(({ done }) => done));
    await Promise.allSettled([...this.datasets.values()].map((dataset) => dataset.dispose()));
    this.datasets.clear();
    this.deps.policyWatch.dispose();
    await this.deps.watcher.dispose();
  }
}

function refuseEmpty(dataset: OpenDataset): void {
  const hint = "give the directory that holds the Parquet files";
  if (dataset.rootMissing)
    throw new TampError("DatasetNotFound", `${dataset.root} is not a directory`, { hint });
  if (dataset.view().fileCount === 0)
    throw new TampError("NoMatchingFiles", `${dataset.root} holds no data files`, { hint });
}

function firstReason({ groups }: RunResult): string | undefined {
  return groups.find((group) => group.reason !== undefined)?.reason;
}
