import { formatSize, POLICY_OPTIONS } from "@tamp/core";
import type {
  ChangedParams,
  DatasetStats,
  ServerNotifications,
  ThresholdCrossedParams,
} from "../../protocol.ts";
import { type CommandCall, printJson, tellLine, viewOf, workspaceOf } from "../call.ts";
import type { DaemonClient } from "../client.ts";
import { paintScore } from "../color.ts";
import { commandLine, POLICY_FLAGS, policyOf } from "../flags.ts";
import type { CliIo } from "../io.ts";
import { EXIT_FINE, tellFailure } from "../problem.ts";
import { workOf } from "../render-plan.ts";
import { watchText } from "../render-stats.ts";
import { countOf, formatClock, formatCount, printable } from "../text.ts";

const A_DAY_MS = 86_400_000;

const NOTIFICATIONS = [
  "tamp/dataset/changed",
  "tamp/dataset/thresholdCrossed",
  "tamp/run/finished",
] as const satisfies readonly (keyof ServerNotifications)[];

/** Tells every change of a dataset until it is interrupted, which is its normal end. */
export async function watch(call: CommandCall): Promise<number> {
  const { io, flags } = call;
  const [directory = ""] = call.args;
  const dataset = io.resolvePath(directory);
  const params = { dataset, watch: true, mustExist: false, policy: policyOf(flags), ...workspaceOf(call) };
  const client = await call.connect();
  try {
    const teller = flags.json === true ? tellLines(call, client) : tellPeople(call, client, dataset);
    const summary = await client.request("tamp/dataset/open", params, { signal: io.signal });
    tellLine(io, `Watching ${printable(dataset)} (${printable(watchText(summary.watch))}); Ctrl-C ends`);
    await teller.begin();
    await untilInterrupted(io);
    return EXIT_FINE;
  } catch (error) {
    if (!io.signal.aborted) throw error;
    return EXIT_FINE;
  } finally {
    await client.close().catch(() => {});
  }
}

interface Teller {
  /** Called once the dataset is open: what was heard before belongs to opening it. */
  begin(): Promise<void>;
}

/** One JSON object a line for each notification, as the wire has it. */
function tellLines({ io }: CommandCall, client: DaemonClient): Teller {
  for (const method of NOTIFICATIONS)
    client.onNotification(method, (params) => printJson(io, { method, params }));
  return { begin: async () => {} };
}

/** A status line for each change; changes that come while one is being counted share the next line. */
function tellPeople(call: CommandCall, client: DaemonClient, dataset: string): Teller {
  const { io } = call;
  const crossed: ThresholdCrossedParams[] = [];
  let pending: Changes | null = NO_CHANGES;
  let open = false;
  let telling = false;
  let last = { status: "", text: "" };
  const settled = settling(call, () => {
    pending ??= NO_CHANGES;
    tellSoon();
  });
  const count = (): Promise<DatasetStats> =>
    client.request("tamp/dataset/stats", { dataset }, { signal: io.signal });
  const tell = async (): Promise<void> => {
    if (!open || telling) return;
    telling = true;
    try {
      while (pending !== null && !io.signal.aborted) {
        const changes: Changes = pending;
        pending = null;
        let stats = await count();
        if (last.text === "" && stats.unsettledCount > 0) {
          await settled.wait();
          stats = await count();
        }
        settled.see(stats);
        const status = statusText(call, stats);
        const text = `${status}${changesText(changes)}`;
        const same = text === last.text || (changes === NO_CHANGES && status === last.status);
        if (!same) io.out(`${formatClock(io.now())} UTC ${text}\n`);
        last = { status, text };
      }
      for (const params of crossed.splice(0)) io.out(crossedText(call, params));
    } finally {
      telling = false;
    }
  };
  const tellSoon = (): void => void tell().catch((error: unknown) => tellTrouble(io, error));
  client.onNotification("tamp/dataset/changed", (params) => {
    pending = addChanges(pending ?? NO_CHANGES, params, open);
    tellSoon();
  });
  client.onNotification("tamp/dataset/thresholdCrossed", (params) => {
    crossed.push(params);
    tellSoon();
  });
  return {
    async begin() {
      open = true;
      await tell();
    },
  };
}

interface Settling {
  /** Until files that may still be written have come to rest: what is told before was not judged. */
  wait(): Promise<void>;
  /** Tells once more after files have come to rest, which changes none of them. */
  see(stats: DatasetStats): void;
}

/** Files come to rest without a notification. */
function settling({ io, flags }: CommandCall, again: () => void): Settling {
  const settleMs = flags.settle ?? POLICY_OPTIONS.settleMs.default;
  let unsettled = 0;
  return {
    wait: () => io.sleep(settleMs, io.signal),
    see({ unsettledCount }) {
      const grew = unsettledCount > unsettled;
      unsettled = unsettledCount;
      // The end of the wait is the end of the watch, where that was interrupted.
      if (grew) io.sleep(settleMs, io.signal).then(again, () => {});
    },
  };
}

/** A line that could not be told ends nothing: the next change tries again. */
function tellTrouble(io: CliIo, error: unknown): void {
  if (!io.signal.aborted) tellFailure(error, io, false);
}

type Changes = Pick<ChangedParams, "added" | "changed" | "removed">;

const NO_CHANGES: Changes = { added: 0, changed: 0, removed: 0 };

/** The first scan finds every file: that is no change that a person made. */
function addChanges(sum: Changes, { added, changed, removed }: Changes, open: boolean): Changes {
  if (!open) return sum;
  return { added: sum.added + added, changed: sum.changed + changed, removed: sum.removed + removed };
}

function statusText(call: CommandCall, stats: DatasetStats): string {
  const { paint } = viewOf(call);
  // Unsettled files take no part in the judgement.
  const judged = stats.fileCount === 0 || stats.unsettledCount < stats.fileCount;
  const parts = [
    countOf(stats.fileCount, "file").padStart(13),
    `${formatCount(stats.smallFileCount)} small`,
    formatSize(stats.totalBytes),
    judged ? `health ${paintScore(paint, stats.health.score)}` : "not judged yet",
    ...(stats.unsettledCount > 0 ? [`${formatCount(stats.unsettledCount)} unsettled`] : []),
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

function crossedText(call: CommandCall, { dataset, health, plan }: ThresholdCrossedParams): string {
  const { paint } = viewOf(call);
  const { stats } = plan;
  const run = commandLine("compact", dataset, call.flags, [...POLICY_FLAGS, "workspace"]);
  return [
    `${formatClock(call.io.now())} UTC ${paint.warn("threshold crossed")}: health ${paintScore(paint, health.score)} of 100`,
    `  plan ready: rewrites ${workOf(plan)}`,
    `  files ${formatCount(stats.beforeFileCount)} → ~${formatCount(stats.afterFileCount)}, size ${formatSize(stats.beforeTotalBytes)} → ~${formatSize(stats.afterTotalBytes)}`,
    `  run it: ${run}`,
    "",
  ].join("\n");
}

/** Sleeps, because a pending timer is what keeps the process alive while nothing happens. */
async function untilInterrupted(io: CliIo): Promise<void> {
  while (!io.signal.aborted) await io.sleep(A_DAY_MS, io.signal);
}
