import { resolve } from "node:path";
import { runDataset } from "./dataset-run.ts";
import { TampError } from "./errors.ts";
import type { DatasetRequest } from "./held-policy.ts";
import type { InventoryChange } from "./inventory.ts";
import { type DatasetDeps, type MadePlan, OpenDataset } from "./open-dataset.ts";
import type { RunResult } from "./protocol.ts";
import { unseenDirectory } from "./scan.ts";
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
/** Files of all plans that are kept: a plan lists every file of its dataset. */
const MOST_PLANNED_FILES = 300_000;

/** The open datasets, the plans that were made, and the runs under way. */
export class Daemon {
  readonly deps: DaemonDeps;
  private readonly datasets = new Map<string, OpenDataset>();
  /** A dataset that is opened again goes on after its last generation: no number stands for two states. */
  private readonly lastGenerations = new Map<string, number>();
  /** How many requests are opening a dataset. */
  private readonly opening = new Map<OpenDataset, number>();
  private readonly closing = new Map<string, Promise<void>>();
  private readonly plans = new Map<string, { readonly dataset: OpenDataset; readonly made: MadePlan }>();
  private disposed = false;
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
    // Two inventories of one root would count generations side by side, and write one snapshot.
    while (this.closing.has(root)) await this.closing.get(root);
    this.refuseWhenEnding();
    const dataset = this.datasets.get(root) ?? this.create(root, request);
    this.datasets.set(root, dataset);
    const others = this.opening.get(dataset) ?? 0;
    this.opening.set(dataset, others + 1);
    try {
      await this.start(dataset, request);
      return dataset;
    } catch (error) {
      if (!this.isOpen(dataset)) throw notOpen(root);
      // Others may be opening it still, or have opened it.
      if (!dataset.isReady && this.opening.get(dataset) === 1) await this.close(root);
      throw error;
    } finally {
      const left = (this.opening.get(dataset) ?? 1) - 1;
      if (left > 0) this.opening.set(dataset, left);
      else this.opening.delete(dataset);
    }
  }

  private async start(dataset: OpenDataset, request: OpenRequest): Promise<void> {
    await dataset.start(request, request.watch);
    if (request.recover) await dataset.recover();
    if (request.mustExist) refuseEmpty(dataset);
    // Files of a known one may have come of age since it was judged.
    if (dataset.isReady) await dataset.judge();
    else await dataset.judgeIfStale();
    if (!this.isOpen(dataset)) throw notOpen(dataset.root);
    dataset.ready();
  }

  private isOpen(dataset: OpenDataset): boolean {
    return this.datasets.get(dataset.root) === dataset;
  }

  private create(root: string, request: DatasetRequest): OpenDataset {
    const firstGeneration = this.lastGenerations.get(root) ?? 0;
    return new OpenDataset({ root, firstGeneration }, request, this.deps, {
      onChanged: (dataset, change) => this.tell({ kind: "changed", dataset, change }),
      onCrossed: (dataset, made, action) => {
        this.keepPlan(dataset, made);
        this.tell({ kind: "crossed", dataset, made, action });
      },
      onExecute: async (dataset, { plan, planId }, signal) => {
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
    throw notOpen(root);
  }

  async close(root: string): Promise<void> {
    const dataset = this.dataset(root);
    this.datasets.delete(dataset.root);
    for (const [planId, entry] of this.plans) if (entry.dataset === dataset) this.plans.delete(planId);
    const closed = dataset.dispose().finally(() => {
      // What was compared to the end meanwhile was counted too.
      this.lastGenerations.set(dataset.root, dataset.generation + 1);
      this.closing.delete(dataset.root);
    });
    this.closing.set(
      dataset.root,
      closed.catch(() => {}),
    );
    await closed;
  }

  /** Plans stay until 64 newer ones were made, or fewer of datasets with many files. */
  keepPlan(dataset: OpenDataset, made: MadePlan): void {
    if (!this.isOpen(dataset)) return;
    this.plans.delete(made.planId);
    this.plans.set(made.planId, { dataset, made });
    const files = ({ plan }: MadePlan): number => plan.stats.compactedFileCount + plan.skipped.length;
    let held = [...this.plans.values()].reduce((sum, entry) => sum + files(entry.made), 0);
    for (const [planId, entry] of this.plans) {
      if (planId === made.planId || (this.plans.size <= MOST_PLANS && held <= MOST_PLANNED_FILES)) return;
      this.plans.delete(planId);
      held -= files(entry.made);
    }
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
    this.refuseWhenEnding();
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

  private refuseWhenEnding(): void {
    if (!this.disposed) return;
    throw new TampError("Cancelled", "the daemon is ending", { hint: "start it again, then try again" });
  }

  /** Cancels runs, waits until each has finished or undone its publication, and lets everything go. */
  async dispose(): Promise<void> {
    this.disposed = true;
    for (const { abort } of this.work) abort.abort();
    await Promise.allSettled([...this.work].map(({ done }) => done));
    await Promise.allSettled([...this.datasets.values()].map((dataset) => dataset.dispose()));
    this.datasets.clear();
    await Promise.allSettled([...this.closing.values()]);
    this.deps.policyWatch.dispose();
    await this.deps.watcher.dispose();
  }
}

function notOpen(root: string): TampError {
  return new TampError("DatasetNotOpen", `${root} is not open`, { hint: "send tamp/dataset/open first" });
}

function refuseEmpty(dataset: OpenDataset): void {
  const hint = "give the directory that holds the Parquet files";
  if (dataset.rootMissing)
    throw new TampError("DatasetNotFound", `${dataset.root} is not a directory`, { hint });
  if (dataset.view().fileCount > 0) return;
  const unseen = dataset.summary().warnings.find((warning) => unseenDirectory(warning) !== null);
  const message = `${dataset.root} holds no data files`;
  if (unseen === undefined) throw new TampError("NoMatchingFiles", message, { hint });
  throw new TampError("NoMatchingFiles", `${message} that can be seen: ${unseen}`, {
    hint: "let this user read the directory",
  });
}

function firstReason({ groups }: RunResult): string | undefined {
  return groups.find((group) => group.reason !== undefined)?.reason;
}
