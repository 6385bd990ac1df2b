import {
  type Disposable,
  MarkdownString,
  StatusBarAlignment,
  type StatusBarItem,
  ThemeColor,
  window,
} from "vscode";
import type { Daemon } from "./client.ts";
import type { Datasets } from "./datasets.ts";
import { LINKED_COMMANDS, statusView } from "./status-text.ts";

/** The one status bar item: health and backlog over all open datasets, percentage while a run is under way. */
export class Status implements Disposable {
  readonly #daemon: Daemon;
  readonly #datasets: Datasets;
  readonly #item: StatusBarItem;
  readonly #runs = new Map<string, number>();
  readonly #subscriptions: readonly Disposable[];

  constructor(daemon: Daemon, datasets: Datasets) {
    this.#daemon = daemon;
    this.#datasets = datasets;
    this.#item = window.createStatusBarItem("tamp.status", StatusBarAlignment.Left);
    this.#item.name = "Tamp";
    this.#subscriptions = [
      daemon.onStateChanged(() => this.#render()),
      datasets.onChanged(() => this.#render()),
    ];
    this.#render();
  }

  showRun(dataset: string, percentage: number): void {
    this.#runs.set(dataset, percentage);
    this.#render();
  }

  endRun(dataset: string): void {
    this.#runs.delete(dataset);
    this.#render();
  }

  isRunning(dataset: string): boolean {
    return this.#runs.has(dataset);
  }

  dispose(): void {
    for (const subscription of this.#subscriptions) subscription.dispose();
    this.#item.dispose();
  }

  #render(): void {
    const view = statusView({
      daemon: this.#daemon.state,
      datasets: this.#datasets.summaries(),
      problems: this.#datasets.problems(),
      runs: [...this.#runs].map(([dataset, percentage]) => ({ dataset, percentage })),
    });
    const tooltip = new MarkdownString(view.tooltip, true);
    tooltip.isTrusted = { enabledCommands: LINKED_COMMANDS };
    this.#item.text = view.text;
    this.#item.tooltip = tooltip;
    this.#item.accessibilityInformation = { label: view.label };
    this.#item.command = view.command;
    this.#item.backgroundColor = view.isError ? new ThemeColor("statusBarItem.errorBackground") : undefined;
    if (view.isVisible) this.#item.show();
    else this.#item.hide();
  }
}
