import type { DatasetSummary } from "@tamp/server/protocol";
import { countOf, escapeMarkdown, formatCount, formatSize, nameOf, sentences } from "./format.ts";

export type DaemonState = "stopped" | "starting" | "running" | "failed";

export interface StatusInput {
  readonly daemon: DaemonState;
  readonly datasets: readonly DatasetSummary[];
  /** Datasets of the settings that could not be opened. */
  readonly problems: readonly { readonly path: string; readonly message: string }[];
  readonly runs: readonly { readonly dataset: string; readonly percentage: number }[];
}

export interface StatusView {
  readonly isVisible: boolean;
  readonly isError: boolean;
  readonly text: string;
  /** What a screen reader says. */
  readonly label: string;
  /** Markdown with links to the commands named in `LINKED_COMMANDS`. */
  readonly tooltip: string;
  readonly command: "tamp.showStatistics" | "tamp.showLog";
}

/** The only commands that the tooltip may run. */
export const LINKED_COMMANDS = [
  "tamp.showStatistics",
  "tamp.previewCompaction",
  "tamp.compact",
  "tamp.showLog",
  "tamp.restart",
] as const;

export function statusView(input: StatusInput): StatusView {
  if (input.daemon === "failed") return failedView();
  const isVisible = input.datasets.length + input.problems.length + input.runs.length > 0;
  const { icon, words, spoken } = headline(input);
  return {
    isVisible,
    isError: false,
    text: `$(${icon}) Tamp ${words.join(" · ")}`,
    label: `Tamp: ${spoken.join(", ")}`,
    tooltip: tooltip(input),
    command: "tamp.showStatistics",
  };
}

function failedView(): StatusView {
  return {
    isVisible: true,
    isError: true,
    text: "$(error) Tamp stopped",
    label: "Tamp: the daemon stopped",
    tooltip:
      "The Tamp daemon stopped. [Restart it](command:tamp.restart) or [show the log](command:tamp.showLog).",
    command: "tamp.showLog",
  };
}

interface Headline {
  readonly icon: "database" | "sync~spin" | "warning";
  readonly words: readonly string[];
  readonly spoken: readonly string[];
}

function headline(input: StatusInput): Headline {
  if (input.runs.length > 0) return runningHeadline(input.runs);
  const count = countOf(input.datasets.length, "dataset");
  if (input.datasets.length === 0 && input.problems.length > 0) {
    const words = [`${countOf(input.problems.length, "dataset")} not opened`];
    return { icon: "warning", words, spoken: words };
  }
  if (input.datasets.some((dataset) => dataset.state === "scanning")) {
    return { icon: "sync~spin", words: ["scanning", count], spoken: ["scanning", count] };
  }
  const ready = input.datasets.filter((dataset) => dataset.state === "ready");
  if (ready.length === 0) {
    return { icon: "database", words: ["no data files"], spoken: ["no data files", count] };
  }
  // The lowest, not a mean: one dataset that needs work must not vanish behind many that do not.
  const score = Math.min(...ready.map((dataset) => dataset.health.score));
  const backlog = ready.reduce((sum, dataset) => sum + dataset.smallFileCount, 0);
  const rest = [count, ...(backlog === 0 ? [] : [countOf(backlog, "small file")])];
  return {
    icon: "database",
    words: [String(score), ...rest],
    spoken: [`health ${score} of 100`, ...rest],
  };
}

function runningHeadline(runs: StatusInput["runs"]): Headline {
  const percentage = `${Math.round(Math.min(...runs.map((run) => run.percentage)))} %`;
  const what = runs.length === 1 ? nameOf(runs[0]?.dataset ?? "") : countOf(runs.length, "run");
  return { icon: "sync~spin", words: [percentage, what], spoken: ["compacting", what, percentage] };
}

/** Datasets that the tooltip lists; the rest is counted. */
const ROWS_SHOWN = 12;

function tooltip(input: StatusInput): string {
  const lines = ["**Tamp**: health and backlog of Parquet datasets", ""];
  if (input.datasets.length > 0) {
    lines.push(
      "| dataset | &nbsp; health | &nbsp; files | &nbsp; small | &nbsp; size | |",
      "|:--|--:|--:|--:|--:|:--|",
    );
    lines.push(...input.datasets.slice(0, ROWS_SHOWN).map(datasetRow), "");
    const hidden = input.datasets.length - ROWS_SHOWN;
    if (hidden > 0) lines.push(`… and ${countOf(hidden, "more dataset")}`, "");
  }
  for (const dataset of input.datasets) lines.push(...concerns(dataset));
  for (const problem of input.problems) {
    lines.push(`$(warning) ${escapeMarkdown(nameOf(problem.path))}: ${escapeMarkdown(problem.message)}`, "");
  }
  lines.push("[Show log](command:tamp.showLog)");
  return lines.join("\n");
}

function datasetRow(dataset: DatasetSummary): string {
  const stats = link(escapeMarkdown(nameOf(dataset.dataset)), "tamp.showStatistics", dataset.dataset);
  if (dataset.state !== "ready") return `| ${stats} | ${dataset.state} | | | | |`;
  const actions =
    dataset.health.score === 100
      ? ""
      : `${link("Preview", "tamp.previewCompaction", dataset.dataset)} · ${link("Compact", "tamp.compact", dataset.dataset)}`;
  const numbers = [
    String(dataset.health.score),
    formatCount(dataset.fileCount),
    formatCount(dataset.smallFileCount),
    formatSize(dataset.totalBytes),
  ];
  return `| ${[stats, ...numbers, `&nbsp; ${actions}`].join(" | ")} |`;
}

function concerns(dataset: DatasetSummary): readonly string[] {
  const name = escapeMarkdown(nameOf(dataset.dataset));
  const lines = dataset.warnings.map((warning) => `$(warning) ${name}: ${escapeMarkdown(warning)}`);
  const { watch, automation, quarantinedCount } = dataset;
  if (watch.kind === "degraded" || watch.kind === "polling") {
    const said = watch.kind === "degraded" ? "watching is degraded" : "changes are found by looking";
    const icon = watch.kind === "degraded" ? "warning" : "info";
    lines.push(`$(${icon}) ${name}: ${escapeMarkdown(sentences(said, watch.reason, watch.remedy))}`);
  }
  if (quarantinedCount > 0)
    lines.push(`$(info) ${name}: ${countOf(quarantinedCount, "file")} cannot be read or rewritten`);
  if (automation.state === "waiting") {
    const until = new Date(automation.untilMs ?? 0).toLocaleString();
    const said = sentences(`what is due is not executed before ${until}`, automation.reason);
    lines.push(`$(clock) ${name}: ${escapeMarkdown(said)}`);
  }
  return lines.flatMap((line) => [line, ""]);
}

function link(text: string, command: (typeof LINKED_COMMANDS)[number], dataset: string): string {
  // A `)` would end the link, and encodeURIComponent leaves it as it is.
  const argument = encodeURIComponent(JSON.stringify([dataset])).replace(
    /[()']/g,
    (c) => `%${c.charCodeAt(0).toString(16)}`,
  );
  return `[${text}](command:${command}?${argument})`;
}
