import type { DatasetSummary, OpenParams, RunResult } from "../../protocol.ts";
import { type CommandCall, tellLine, workspaceOf } from "../call.ts";
import { exitOfRun } from "../carry-out.ts";
import type { DaemonClient } from "../client.ts";
import { policyOf } from "../flags.ts";
import type { CliIo } from "../io.ts";
import { EXIT_FINE, EXIT_INTERRUPTED } from "../problem.ts";
import { watchText } from "../render-stats.ts";
import { printable } from "../text.ts";
import { tellLines } from "../watch-lines.ts";
import { tellPeople } from "../watch-people.ts";
import type { WatchTeller } from "../watch-teller.ts";

const A_DAY_MS = 86_400_000;
/** A run that was cancelled in the middle of a swap finishes that first. */
const RUN_ENDS_MS = 60_000;

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
    const teller = flags.json === true ? tellLines(io, client) : tellPeople(call, client);
    const runs = followRuns(client, teller);
    const summary = await client.request("tamp/dataset/open", params, { signal: io.signal });
    tellLine(io, `Watching ${printable(dataset)} (${printable(watchText(summary.watch))}); Ctrl-C ends`);
    if (summary.state === "missing")
      tellLine(io, `${printable(dataset)} does not exist or is no directory: it is waited for`);
    teller.begin(summary);
    if (automate && summary.automation.onThreshold !== "execute") await tellWhyNot(call, client, params);
    await untilInterrupted(io);
    const cancelled = automate ? await cancelRun(io, { client, dataset, runs }) : null;
    const look = (): Promise<DatasetSummary> => lookAgain(client, params);
    await teller.end({ isAnew: cancelled !== null, look });
    return cancelled ?? EXIT_FINE;
  } catch (error) {
    if (!io.signal.aborted) throw error;
    return EXIT_FINE;
  } finally {
    await client.close().catch(() => {});
  }
}

/** Opening it once more compares all of it with the disk; at the end nothing more shall be begun. */
function lookAgain(client: DaemonClient, params: OpenParams): Promise<DatasetSummary> {
  return client.request("tamp/dataset/open", { ...params, automate: false });
}

/** Who asks for execution, and will not get it, is told so before any threshold is crossed. */
async function tellWhyNot(
  { io }: CommandCall,
  client: DaemonClient,
  { dataset, policy = {} }: OpenParams,
): Promise<void> {
  const held = await client.request("tamp/policy", { dataset, policy }, { signal: io.signal });
  const isHeldBack = held.problems.some(
    ({ severity, concerns, path }) => severity === "held" && concerns && mayHoldExecute(path.at(-1)),
  );
  const file = held.file === null ? "" : ` ${printable(held.file)}`;
  const reason = !held.valid
    ? "the policy is not valid: see the warnings"
    : isHeldBack
      ? `the policy file${file} is not trusted: see the warnings`
      : `no policy says "execute" for onThreshold, but "${held.onThreshold}"`;
  tellLine(io, `Nothing will be executed: ${reason}`);
}

/** A file that says nothing of this dataset, for want of trust, is held back at its `path` or as a whole. */
function mayHoldExecute(name: string | number | undefined): boolean {
  return name === undefined || name === "path" || name === "onThreshold";
}

interface FollowedRuns {
  readonly results: readonly RunResult[];
  /** Resolves at the next result. */
  next(): Promise<void>;
}

function followRuns(client: DaemonClient, teller: WatchTeller): FollowedRuns {
  const results: RunResult[] = [];
  let waiting: () => void = () => {};
  client.onNotification("tamp/run/finished", (params) => {
    results.push(params.result);
    teller.finished(params);
    waiting();
  });
  const next = (): Promise<void> =>
    new Promise((resolve) => {
      waiting = resolve;
    });
  return { results, next };
}

interface Watched {
  readonly client: DaemonClient;
  readonly dataset: string;
  readonly runs: FollowedRuns;
}

/** Ends a run under way, so that the dataset is at rest when it is looked at last; gives the exit code, or null. */
async function cancelRun(io: CliIo, { client, dataset, runs }: Watched): Promise<number | null> {
  const { datasets } = await client.request("tamp/dataset/list", null);
  const found = datasets.find((summary) => summary.dataset === dataset);
  // What is still being planned is not begun.
  const isPlanned = found?.automation.state === "running";
  if (found === undefined || (!found.running && !isPlanned)) return null;
  const before = runs.results.length;
  tellLine(io, "Cancelling: the run under way is rolled back or finished first");
  await client.request("tamp/dataset/close", { dataset });
  if (found.running && runs.results.length === before) await patiently(io, runs.next());
  const result = runs.results[before];
  if (result !== undefined) return exitOfRun(result, true);
  return found.running ? EXIT_INTERRUPTED : EXIT_FINE;
}

async function patiently(io: CliIo, event: Promise<void>): Promise<void> {
  const heard = new AbortController();
  await Promise.race([event, io.sleep(RUN_ENDS_MS, heard.signal).catch(() => {})]);
  heard.abort();
}

/** Sleeps, because a pending timer is what keeps the process alive while nothing happens. */
async function untilInterrupted(io: CliIo): Promise<void> {
  while (!io.signal.aborted) await io.sleep(A_DAY_MS, io.signal).catch(() => {});
}
