import { formatSize } from "@tamp/core";
import type {
  ChangedParams,
  DatasetSummary,
  OpenParams,
  RunResult,
  ThresholdCrossedParams,
} from "../../protocol.ts";
import { type CommandCall, printJson, tellLine, viewOf, workspaceOf } from "../call.ts";
import type { DaemonClient } from "../client.ts";
import { paintScore } from "../color.ts";
import { explainCrossing } from "../crossings.ts";
import { commandLine, POLICY_FLAGS, policyOf } from "../flags.ts";
import type { CliIo } from "../io.ts";
import { EXIT_FINE } from "../problem.ts";
import { workOf } from "../render-plan.ts";
import { watchText } from "../render-stats.ts";
import { countOf, formatClock, formatCount, partitionName, printable, shorten } from "../text.ts";

const A_DAY_MS = 86_400_000;
/** People are told at most this often; what changes meanwhile shares the next line. */
const PAUSE_MS = 500;

/** Tells every change of a dataset until it is interrupted, which is its normal end. */
export async function watch(call: CommandCall): Promise<number> {
  const { io, flags } = call;
  const [directory = ""] = call.args;
  const dataset = io.resolvePath(directory);
  const automate = flags.execute === true;
  const policy = policyOf(flags);
  const params = { dataset, watch: true, mustExist: false, automate, policy, ...workspaceOf(call) };
  const client = await call.connect();
  try {
    const teller = flags.json === true ? tellLines(call, client) : tellPeople(call, client);
    const summary = await client.request("tamp/dataset/open", params, { signal: io.signal });
    tellLine(io, `Watching ${printable(dataset)} (${printable(watchText(summary.watch))}); Ctrl-C ends`);
    teller.begin(summary);
    await untilInterrupted(io);
    await teller.end(() => lookAgain(client, params));
    return EXIT_FINE;
  } catch (error) {
    if (!io.signal.aborted) throw error;
    return EXIT_FINE;
  } finally {
    await client.close().catch(() => {});
  }
}

interface Teller {
  /** Called once the dataset is open: changes that were heard before belong to opening it. */
  begin(summary: DatasetSummary): void;
  end(lookAgain: () => Promise<DatasetSummary>): Promise<void>;
}

/** Opening it once more compares all of it with the disk. */
function lookAgain(client: DaemonClient, params: OpenParams): Promise<DatasetSummary> {
  return client.request("tamp/dataset/open", params);
}

type Changes = Pick<ChangedParams, "added" | "changed" | "removed">;

const NO_CHANGES: Changes = { added: 0, changed: 0, removed: 0 };

function addChanges(sum: Changes, { added, changed, removed }: Changes): Changes {
  return { added: sum.added + added, changed: sum.changed + changed, removed: sum.removed + removed };
}

function isChange({ added, changed, removed }: Changes): boolean {
  return added + changed + removed > 0;
}

/** One JSON object a line, from `open` to `end`; protocol.md has them under "Lines of tamp watch". */
function tellLines({ io }: CommandCall, client: DaemonClient): Teller {
  let phase: "opening" | "open" | "ending" = "opening";
  let untold = NO_CHANGES;
  let last = "";
  const early: object[] = [];
  const stamp = (): { readonly at: string } => ({ at: new Date(io.now()).toISOString() });
  const print = (kind: string, changes: Changes, summary: DatasetSummary): void => {
    const text = JSON.stringify(summary);
    if (kind === "state" && text === last) return;
    last = text;
    printJson(io, { kind, ...stamp(), ...changes, ...summary });
  };
  const printOther = (kind: string, params: object): void => {
    const line = { kind, ...stamp(), ...params };
    if (phase === "opening") early.push(line);
    else printJson(io, line);
  };
  client.onNotification("tamp/dataset/changed", ({ summary, added, changed, removed }) => {
    const changes = { added, changed, removed };
    if (phase === "open") print(isChange(changes) ? "change" : "state", changes, summary);
    if (phase === "ending") untold = addChanges(untold, changes);
  });
  client.onNotification("tamp/dataset/thresholdCrossed", (params) => printOther("crossed", params));
  client.onNotification("tamp/run/finished", (params) => printOther("run", params));
  return {
    begin(summary) {
      phase = "open";
      print("open", NO_CHANGES, summary);
      for (const line of early) printJson(io, line);
    },
    async end(look) {
      phase = "ending";
      const summary = await look();
      print("end", untold, summary);
    },
  };
}

/** A status line for each change, and what the watch itself has come to. */
function tellPeople(call: CommandCall, client: DaemonClient): Teller {
  const { io } = call;
  const texts: string[] = [];
  let latest: DatasetSummary | null = null;
  let changes = NO_CHANGES;
  let phase: "opening" | "resting" | "telling" = "opening";
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
    changes = addChanges(changes, params);
    latest = params.summary;
    void tell();
  });
  client.onNotification("tamp/dataset/thresholdCrossed", (params) => {
    texts.push(crossedText(call, params));
    void tell();
  });
  client.onNotification("tamp/run/finished", ({ result }) => {
    texts.push(finishedText(call, result));
    void tell();
  });
  return {
    begin(summary) {
      phase = "resting";
      latest = summary;
      void tell();
    },
    end: async () => tellAll(),
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

/** Sleeps, because a pending timer is what keeps the process alive while nothing happens. */
async function untilInterrupted(io: CliIo): Promise<void> {
  while (!io.signal.aborted) await io.sleep(A_DAY_MS, io.signal).catch(() => {});
}
