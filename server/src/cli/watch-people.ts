import { formatSize } from "@tamp/core";
import type { DatasetSummary, RunResult, ThresholdCrossedParams } from "../protocol.ts";
import { type CommandCall, tellLine, tellWarnings, viewOf } from "./call.ts";
import type { DaemonClient } from "./client.ts";
import { paintScore } from "./color.ts";
import { explainCrossing } from "./crossings.ts";
import { commandLine, POLICY_FLAGS } from "./flags.ts";
import type { CliIo } from "./io.ts";
import { workOf } from "./render-plan.ts";
import { watchText } from "./render-stats.ts";
import { countOf, formatClock, formatCount, partitionName, printable, shorten } from "./text.ts";
import { addChanges, type Changes, createNews, isChange, NO_CHANGES } from "./watch-changes.ts";
import type { WatchTeller } from "./watch-teller.ts";

/** People are told at most this often; what changes meanwhile shares the next line. */
const PAUSE_MS = 500;
const MOST_RESOLVED = 5;

/** A status line for each change, and what the watch itself has come to. */
export function tellPeople(call: CommandCall, client: DaemonClient): WatchTeller {
  const { io } = call;
  const texts: string[] = [];
  let latest: DatasetSummary | null = null;
  let changes = NO_CHANGES;
  let phase: "opening" | "resting" | "telling" = "opening";
  let news: ReturnType<typeof createNews> = () => NO_CHANGES;
  const tellAnyWarnings = createWarningTeller(io);
  let last = { status: "", text: "", watch: "", waits: "" };
  const tellStatus = (summary: DatasetSummary): void => {
    const status = statusText(call, summary);
    const text = `${status}${changesText(changes)}`;
    const same = text === last.text || (!isChange(changes) && status === last.status);
    const watch = watchText(summary.watch);
    if (!same) io.out(`${formatClock(io.now())} UTC ${text}\n`);
    if (watch !== last.watch && last.watch !== "") tellLine(io, `Now ${printable(watch)}`);
    const waits = waitsText(summary.automation);
    if (waits !== last.waits && waits !== "") tellLine(io, waits);
    tellAnyWarnings(summary.warnings);
    changes = NO_CHANGES;
    last = { status, text, watch, waits };
  };
  const tellAll = (): void => {
    if (latest !== null) tellStatus(latest);
    latest = null;
    for (const text of texts.splice(0)) io.out(text);
  };
  const tell = async (): Promise<void> => {
    if (phase !== "resting") return;
    phase = "telling";
    while ((latest !== null || texts.length > 0) && !io.signal.aborted) {
      tellAll();
      await io.sleep(PAUSE_MS, io.signal).catch(() => {});
    }
    phase = "resting";
  };
  client.onNotification("tamp/dataset/changed", (params) => {
    if (phase === "opening") return;
    changes = addChanges(changes, news(params));
    latest = params.summary;
    void tell();
  });
  client.onNotification("tamp/dataset/thresholdCrossed", (params) => {
    texts.push(crossedText(call, params));
    void tell();
  });
  return {
    begin(summary) {
      phase = "resting";
      news = createNews(summary);
      latest = summary;
      void tell();
    },
    finished({ result }) {
      texts.push(finishedText(call, result));
      void tell();
    },
    async end({ isAnew, look }) {
      tellAll();
      if (isAnew) tellStatus(await look());
    },
  };
}

/** Each warning once when it appears, and once more when it is gone. */
function createWarningTeller(io: CliIo): (warnings: readonly string[]) => void {
  let told: ReadonlySet<string> = new Set();
  return (warnings) => {
    const gone = [...told].filter((text) => !warnings.includes(text));
    const fresh = new Set(warnings.filter((text) => !told.has(text)));
    told = new Set(warnings);
    tellWarnings(io, [...fresh]);
    for (const text of gone.slice(0, MOST_RESOLVED)) tellLine(io, `resolved: ${printable(text)}`);
    const more = gone.length - MOST_RESOLVED;
    if (more > 0) tellLine(io, `… and ${countOf(more, "more warning")} resolved`);
  };
}

function statusText(call: CommandCall, summary: DatasetSummary): string {
  const { paint } = viewOf(call);
  const { fileCount, smallFileCount, totalBytes, unsettledCount, health } = summary;
  // Unsettled files take no part in the judgement.
  const judged = fileCount === 0 || unsettledCount < fileCount;
  const parts = [
    countOf(fileCount, "file").padStart(13),
    `${formatCount(smallFileCount)} small`,
    formatSize(totalBytes),
    judged ? `health ${paintScore(paint, health.score)}` : "not judged yet",
    ...(unsettledCount > 0 ? [`${formatCount(unsettledCount)} unsettled`] : []),
    ...(summary.state === "missing" ? [paint.warn("the directory is missing")] : []),
  ];
  return parts.join("  ");
}

function changesText({ added, changed, removed }: Changes): string {
  const parts = [
    ...(added > 0 ? [`+${formatCount(added)}`] : []),
    ...(removed > 0 ? [`-${formatCount(removed)}`] : []),
    ...(changed > 0 ? [`${formatCount(changed)} changed`] : []),
  ];
  return parts.length === 0 ? "" : `  (${parts.join(", ")})`;
}

function waitsText({ state, reason = "", untilMs = 0 }: DatasetSummary["automation"]): string {
  return state === "waiting" ? `Executes after ${formatClock(untilMs)} UTC at the earliest: ${reason}` : "";
}

function finishedText(call: CommandCall, { dataset, kind, stats, runId, reason }: RunResult): string {
  const name = kind.replaceAll("_", " ");
  const why = reason === undefined ? "" : `: ${printable(reason)}`;
  const undo = commandLine("undo", dataset, call.flags, ["workspace"]);
  return [
    `${formatClock(call.io.now())} UTC run ${runId} ${name}${why}`,
    `  files ${formatCount(stats.beforeFileCount)} → ${formatCount(stats.afterFileCount)}, size ${formatSize(stats.beforeTotalBytes)} → ${formatSize(stats.afterTotalBytes)}`,
    ...(stats.compactedFileCount > 0 ? [`  to take it back: ${undo}`] : []),
    "",
  ].join("\n");
}

const MOST_CROSSINGS = 3;

function crossedText(
  call: CommandCall,
  { dataset, health, plan, action, crossings, crossingCount }: ThresholdCrossedParams,
): string {
  const { paint, width } = viewOf(call);
  const shown = crossings.slice(0, MOST_CROSSINGS);
  const more = crossingCount - shown.length;
  const { stats } = plan;
  const run = commandLine("compact", dataset, call.flags, [...POLICY_FLAGS, "workspace"]);
  return [
    `${formatClock(call.io.now())} UTC ${paint.warn("threshold crossed")}: health ${paintScore(paint, health.score)} of 100`,
    ...shown.map((crossing) => {
      const text = explainCrossing(crossing);
      return `  ${shorten(partitionName(crossing.partition), Math.max(20, width - text.length - 4))}: ${text}`;
    }),
    ...(more > 0 ? [`  … and ${countOf(more, "more partition")} (all: tamp check)`] : []),
    `  plan ready: rewrites ${workOf(plan)}`,
    `  files ${formatCount(stats.beforeFileCount)} → ~${formatCount(stats.afterFileCount)}, size ${formatSize(stats.beforeTotalBytes)} → ~${formatSize(stats.afterTotalBytes)}`,
    action === "execute" ? "  it is run by itself, once nothing stands against it" : `  run it: ${run}`,
    "",
  ].join("\n");
}
