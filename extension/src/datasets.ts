import type { DatasetSummary, WirePolicy, WireRecovered } from "@tamp/server/protocol";
import { type Disposable, EventEmitter, type LogOutputChannel } from "vscode";
import type { Daemon } from "./client.ts";
import { readFailure } from "./failure.ts";
import { policyFor, type WantedDataset, wantedDatasets } from "./settings.ts";

interface Entry {
  readonly path: string;
  readonly policy: WirePolicy;
  /** A dataset that a command asked for stays open until the window closes; one of the settings follows them. */
  readonly origin: "setting" | "command";
  opening: Promise<DatasetSummary>;
  /** The daemon's name for it, once it is open. */
  dataset: string | null;
  problem: string | null;
}

/** What became of an interrupted run's leftovers when its dataset was opened. */
export interface Recovery {
  readonly dataset: string;
  readonly groups: readonly WireRecovered[];
}

/** Which datasets are open in the daemon, and what it last said of each. */
export class Datasets implements Disposable {
  readonly #daemon: Daemon;
  readonly #log: LogOutputChannel;
  readonly #entries = new Map<string, Entry>();
  readonly #summaries = new Map<string, DatasetSummary>();
  readonly #changed = new EventEmitter<void>();
  readonly #failed = new EventEmitter<{ readonly path: string; readonly message: string }>();
  readonly #recovered = new EventEmitter<Recovery>();
  /** Groups whose recovery was told: a dataset that is opened again answers with them again. */
  readonly #told = new Set<string>();
  readonly #subscriptions: readonly Disposable[];

  readonly onChanged = this.#changed.event;
  /** A dataset of the settings could not be opened. */
  readonly onFailed = this.#failed.event;
  /** Fires once for each group. */
  readonly onRecovered = this.#recovered.event;

  constructor(daemon: Daemon, log: LogOutputChannel) {
    this.#daemon = daemon;
    this.#log = log;
    this.#subscriptions = [
      daemon.onChanged(({ summary }) => this.#accept(summary)),
      daemon.onRestarted(() => this.#reopen()),
      daemon.onRunFinished(() => void this.refresh()),
    ];
  }

  summaries(): readonly DatasetSummary[] {
    return [...this.#summaries.values()].sort((a, b) => (a.dataset < b.dataset ? -1 : 1));
  }

  /** Every dataset by its root, also while it is opening: null until the daemon has said how it is. */
  roots(): readonly { readonly path: string; readonly summary: DatasetSummary | null }[] {
    return [...this.#entries.values()].map(({ path, dataset }) => ({
      path,
      summary: this.#summaries.get(dataset ?? path) ?? null,
    }));
  }

  problems(): readonly { readonly path: string; readonly message: string }[] {
    return [...this.#entries.values()].flatMap(({ path, problem }) =>
      problem === null ? [] : [{ path, message: problem }],
    );
  }

  /** Opens what the settings name and closes what they no longer name. */
  followSettings(): void {
    const wanted = new Map(wantedDatasets(this.#log).map((dataset) => [dataset.path, dataset]));
    for (const entry of [...this.#entries.values()]) {
      if (entry.origin === "setting" && !wanted.has(entry.path)) this.#close(entry);
    }
    for (const dataset of wanted.values()) {
      const known = this.#entries.get(dataset.path);
      const isOpen = known?.origin === "setting" && isSamePolicy(known.policy, dataset.policy);
      // A dataset that is open already takes the new policy.
      if (!isOpen) this.#open(dataset, "setting");
    }
    this.#changed.fire();
  }

  /** The dataset with this root, opened if it is not open yet. */
  async ensureOpen(path: string): Promise<DatasetSummary> {
    const known =
      this.#entries.get(path) ?? [...this.#entries.values()].find((entry) => entry.dataset === path);
    if (known !== undefined && known.problem === null) return known.opening;
    return this.#open({ path, policy: policyFor(path) }, known?.origin ?? "command").opening;
  }

  /** Asks again for all summaries: some changes, such as an undo, come without a notification to rely on. */
  async refresh(): Promise<void> {
    try {
      const { datasets } = await this.#daemon.request("tamp/dataset/list", null);
      for (const summary of datasets) this.#summaries.set(summary.dataset, summary);
      this.#changed.fire();
    } catch (error) {
      this.#log.warn(`Listing the datasets failed: ${readFailure(error).message}`);
    }
  }

  dispose(): void {
    for (const subscription of this.#subscriptions) subscription.dispose();
    this.#changed.dispose();
    this.#failed.dispose();
    this.#recovered.dispose();
  }

  #open({ path, policy }: WantedDataset, origin: Entry["origin"]): Entry {
    const { isTrusted } = this.#daemon;
    const opening = this.#daemon.request("tamp/dataset/open", {
      dataset: path,
      watch: true,
      policy,
      recover: isTrusted,
      automate: isTrusted,
    });
    // Whatever becomes of this request, what an earlier one has opened is open.
    const dataset = this.#entries.get(path)?.dataset ?? null;
    const entry: Entry = { path, policy, origin, opening, dataset, problem: null };
    this.#entries.set(path, entry);
    opening.then(
      (summary) => this.#opened(entry, summary),
      (error: unknown) => this.#couldNotOpen(entry, error),
    );
    return entry;
  }

  #opened(entry: Entry, summary: DatasetSummary): void {
    entry.dataset = summary.dataset;
    // Closed again while it was opening: what comes now is nobody's.
    if (this.#entries.get(entry.path) !== entry) return;
    this.#accept(summary);
    this.#tellRecovery(summary);
  }

  #tellRecovery({ dataset, recovered }: DatasetSummary): void {
    const groups = recovered.filter(({ runId, group, action }) => {
      const key = JSON.stringify([dataset, runId, group, action]);
      return !this.#told.has(key) && this.#told.add(key);
    });
    if (groups.length > 0) this.#recovered.fire({ dataset, groups });
  }

  #couldNotOpen(entry: Entry, error: unknown): void {
    if (this.#entries.get(entry.path) !== entry) return;
    const failure = readFailure(error);
    this.#log.error(`Opening ${entry.path} failed: ${failure.message}`);
    this.#summaries.delete(entry.path);
    if (entry.origin === "command") this.#entries.delete(entry.path);
    else entry.problem = failure.message;
    this.#changed.fire();
    // A lost connection is told once, by the status bar, not once for every dataset.
    if (entry.origin === "setting" && this.#daemon.state === "running") {
      this.#failed.fire({ path: entry.path, message: failure.message });
    }
  }

  #close(entry: Entry): void {
    this.#entries.delete(entry.path);
    void entry.opening
      .then(
        ({ dataset }) => dataset,
        () => entry.dataset,
      )
      .then(async (dataset) => {
        // Named again meanwhile: it is open for somebody else now.
        if (dataset === null || this.#entries.has(entry.path)) return;
        this.#forget(dataset);
        await this.#daemon.request("tamp/dataset/close", { dataset });
        // The daemon may have told of it until then.
        if (!this.#entries.has(entry.path)) this.#forget(dataset);
      })
      .catch((error: unknown) =>
        this.#log.warn(`Closing ${entry.path} failed: ${readFailure(error).message}`),
      );
  }

  #forget(dataset: string): void {
    if (this.#summaries.delete(dataset)) this.#changed.fire();
  }

  #accept(summary: DatasetSummary): void {
    const known = this.#summaries.get(summary.dataset);
    // The answer to `open` may come after the first notification and be older than it.
    if (known !== undefined && known.generation > summary.generation) return;
    this.#summaries.set(summary.dataset, summary);
    this.#changed.fire();
  }

  /** A new daemon counts generations from the start; until it answers, what is known stays on show. */
  #reopen(): void {
    for (const [dataset, summary] of this.#summaries) {
      this.#summaries.set(dataset, { ...summary, generation: -1 });
    }
    for (const { path, policy, origin } of [...this.#entries.values()]) this.#open({ path, policy }, origin);
    this.#changed.fire();
  }
}

function isSamePolicy(a: WirePolicy, b: WirePolicy): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
