import type { PlanSummary } from "@tamp/server/protocol";
import {
  type CancellationToken,
  type Disposable,
  EventEmitter,
  type TextDocumentContentProvider,
  Uri,
  window,
  workspace,
} from "vscode";
import type { Daemon } from "./client.ts";
import type { Datasets } from "./datasets.ts";
import { readFailure } from "./failure.ts";
import { nameOf } from "./format.ts";
import { renderPlan } from "./plan-text.ts";
import { renderStats } from "./stats-text.ts";

export const PLAN_SCHEME = "tamp-plan";
export const STATS_SCHEME = "tamp-stats";

/** Groups and skipped files that a document lists; the rest is counted. */
const LISTED = 200;
const REFRESH_DELAY_MS = 500;

/**
 * Read-only documents: the dry run of a dataset, and its statistics. The dataset stands in the query of their
 * address, so a window that is opened again fills them anew. They follow the dataset while they are open.
 */
export class Previews implements TextDocumentContentProvider, Disposable {
  readonly #daemon: Daemon;
  readonly #datasets: Datasets;
  readonly #changed = new EventEmitter<Uri>();
  readonly #shownPlans = new Map<string, PlanSummary>();
  readonly #timers = new Map<string, NodeJS.Timeout>();
  readonly #subscriptions: readonly Disposable[];

  readonly onDidChange = this.#changed.event;

  constructor(daemon: Daemon, datasets: Datasets) {
    this.#daemon = daemon;
    this.#datasets = datasets;
    this.#subscriptions = [
      workspace.registerTextDocumentContentProvider(PLAN_SCHEME, this),
      workspace.registerTextDocumentContentProvider(STATS_SCHEME, this),
      daemon.onChanged(({ dataset }) => this.refresh(dataset)),
    ];
  }

  /** Shows exactly this plan, not the one that would be made now. */
  async showPlan(plan: PlanSummary): Promise<void> {
    this.#shownPlans.set(plan.dataset, plan);
    await this.#show(planUri(plan.dataset));
  }

  async showStats(dataset: string): Promise<void> {
    await this.#show(statsUri(dataset));
  }

  /** Fills the open documents of this dataset anew; a burst of changes does it once. */
  refresh(dataset: string): void {
    clearTimeout(this.#timers.get(dataset));
    this.#timers.set(
      dataset,
      setTimeout(() => this.#refreshNow(dataset), REFRESH_DELAY_MS),
    );
  }

  async provideTextDocumentContent(uri: Uri, token: CancellationToken): Promise<string> {
    try {
      const { dataset } = await this.#datasets.ensureOpen(uri.query);
      return uri.scheme === PLAN_SCHEME
        ? await this.#planText(dataset, token)
        : await this.#statsText(dataset, token);
    } catch (error) {
      return `# ${nameOf(uri.query)}\n\n${readFailure(error).message}\n`;
    }
  }

  dispose(): void {
    for (const timer of this.#timers.values()) clearTimeout(timer);
    for (const subscription of this.#subscriptions) subscription.dispose();
    this.#changed.dispose();
  }

  async #show(uri: Uri): Promise<void> {
    // An open document keeps its text until it is told that there is another.
    if (workspace.textDocuments.some((document) => document.uri.toString() === uri.toString()))
      this.#changed.fire(uri);
    const document = await workspace.openTextDocument(uri);
    await window.showTextDocument(document, { preview: true });
  }

  async #planText(dataset: string, token: CancellationToken): Promise<string> {
    const shown = this.#shownPlans.get(dataset);
    const plan = shown ?? (await this.#daemon.request("tamp/plan", { dataset, operation: "compact" }, token));
    this.#shownPlans.delete(dataset);
    const page = { planId: plan.planId, limit: LISTED };
    const [groups, skipped] = await Promise.all([
      this.#daemon.request("tamp/plan/groups", page, token),
      this.#daemon.request("tamp/plan/skipped", page, token),
    ]);
    return renderPlan({ plan, groups, skipped });
  }

  async #statsText(dataset: string, token: CancellationToken): Promise<string> {
    return renderStats(await this.#daemon.request("tamp/dataset/stats", { dataset }, token));
  }

  #refreshNow(dataset: string): void {
    this.#timers.delete(dataset);
    for (const { uri } of workspace.textDocuments) {
      if (datasetOfDocument(uri) === dataset) this.#changed.fire(uri);
    }
  }
}

/** The dataset that a preview shows; null for any other document. */
export function datasetOfDocument(uri: Uri): string | null {
  return uri.scheme === PLAN_SCHEME || uri.scheme === STATS_SCHEME ? uri.query : null;
}

function planUri(dataset: string): Uri {
  return Uri.from({ scheme: PLAN_SCHEME, path: `/Compaction of ${nameOf(dataset)}.md`, query: dataset });
}

function statsUri(dataset: string): Uri {
  return Uri.from({ scheme: STATS_SCHEME, path: `/Statistics of ${nameOf(dataset)}.md`, query: dataset });
}
