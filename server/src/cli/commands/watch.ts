import { formatSize } from "@tamp/core";
import type {
  ChangedParams,
  DatasetStats,
  ServerNotifications,
  ThresholdCrossedParams,
} from "../../protocol.ts";
import { type CommandCall, printJson, viewOf, workspaceOf } from "../call.ts";
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
  const client = await call.connect();
  try {
    const teller = flags.json === true ? tellLines(call, client) : tellPeople(call, client, dataset);
    const params = { dataset, watch: true, mustExist: false, policy: policyOf(flags), ...workspaceOf(call) };
    const summary = await client.request("tamp/dataset/open", params, { signal: io.signal });
    io.err(`Watching ${printable(dataset)} (${printable(watchText(summary.watch))}); Ctrl-C ends\n`);
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
  const tell = async (): Promise<void> => {
    if (!open || telling) return;
    telling = true;
    try {
      while (pending !== null && !io.signal.aborted) {
        const changes: Changes = pending;
        pending = null;
        const stats = await client.request("tamp/dataset/stats", { dataset }, { signal: io.signal });
        io.out(statusLine(call, stats, changes));
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

function statusLine(call: CommandCall, stats: DatasetStats, changes: Changes): string {
  const { paint } = viewOf(call);
  const parts = [
    countOf(stats.fileCount, "file").padStart(13),
    `${formatCount(stats.smallFileCount)} small`,
    formatSize(stats.totalBytes),
    `health ${paintScore(paint, stats.health.score)}`,
    ...(stats.unsettledCount > 0 ? [`${formatCount(stats.unsettledCount)} unsettled`] : []),
  ];
  return `${formatClock(call.io.now())} UTC ${parts.join("  ")}${changesText(changes)}\n`;
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
