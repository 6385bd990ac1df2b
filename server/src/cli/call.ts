import { POLICY_OPTIONS } from "@tamp/core";
import { TampError } from "../errors.ts";
import type { DatasetStats, DatasetSummary, RunResult, WireRecovered } from "../protocol.ts";
import type { DaemonClient } from "./client.ts";
import { createPaint } from "./color.ts";
import { type CliFlags, commandLine, policyOf } from "./flags.ts";
import { type CliIo, hintWidthOf, isInteractive, widthOf } from "./io.ts";
import type { View } from "./render.ts";
import type { NextSteps } from "./render-run.ts";
import { countOf, formatDuration, printable, wrap } from "./text.ts";
import { UsageError } from "./usage-error.ts";

/** One call of one command. */
export interface CommandCall {
  readonly io: CliIo;
  readonly connect: () => Promise<DaemonClient>;
  readonly args: readonly string[];
  readonly flags: CliFlags;
}

export type Command = (call: CommandCall) => Promise<number>;

/** A connection with the dataset opened. */
export interface OpenedDataset {
  readonly client: DaemonClient;
  /** The absolute root. */
  readonly dataset: string;
  readonly summary: DatasetSummary;
  /** What this command recovered before its own work, and has told. */
  readonly recovered: readonly WireRecovered[];
}

export function viewOf({ io }: Pick<CommandCall, "io">): View {
  return { paint: createPaint(io.color), width: widthOf(io), hintWidth: hintWidthOf(io, io.outIsTty) };
}

/** Opens a dataset that holds files, for one request or a few, and closes the connection in any case. */
export function withDataset(
  call: CommandCall,
  directory: string,
  work: (opened: OpenedDataset) => Promise<number>,
): Promise<number> {
  return opening(call, directory, true, work);
}

/** The same for what asks after earlier runs: these are there although every file may be gone. */
export function withRunsOf(
  call: CommandCall,
  directory: string,
  work: (opened: OpenedDataset) => Promise<number>,
): Promise<number> {
  return opening(call, directory, false, work);
}

async function opening(
  call: CommandCall,
  directory: string,
  mustExist: boolean,
  work: (opened: OpenedDataset) => Promise<number>,
): Promise<number> {
  const { io, flags } = call;
  const dataset = io.resolvePath(directory);
  const params = { dataset, watch: false, mustExist, policy: policyOf(flags), ...workspaceOf(call) };
  const client = await call.connect();
  try {
    const summary = await client.request("tamp/dataset/open", params, { signal: io.signal });
    return await work({ client, dataset, summary, recovered: [] });
  } finally {
    // What was answered stands, whether the goodbye arrives or not.
    await client.close().catch(() => {});
  }
}

export function workspaceOf({ io, flags }: CommandCall): { readonly workspace?: string } {
  return flags.workspace === undefined ? {} : { workspace: io.resolvePath(flags.workspace) };
}

/** Stats after one rescan; where files may still be written, after one wait for them and another rescan. */
export async function settledStats(call: CommandCall, opened: OpenedDataset): Promise<DatasetStats> {
  const { io, flags } = call;
  const params = { dataset: opened.dataset, sync: true, ...filterOf(flags) };
  const ask = (): Promise<DatasetStats> =>
    opened.client.request("tamp/dataset/stats", params, { signal: io.signal });
  const first = await ask();
  const settleMs = flags.settle ?? POLICY_OPTIONS.settleMs.default;
  if (first.unsettledCount === 0 || settleMs <= 0) return first;
  const files = countOf(first.unsettledCount, "file");
  tellLine(io, `${files} may still be written: waiting ${formatDuration(settleMs)} once (--settle)`);
  await io.sleep(settleMs, io.signal);
  refuseInterrupted(io, "nothing was changed");
  return ask();
}

const MOST_WARNINGS = 5;

/** What the daemon could not read or will not touch: told beside what does not show it. */
export function tellWarnings(io: CliIo, warnings: readonly string[]): void {
  for (const text of warnings.slice(0, MOST_WARNINGS)) tellLine(io, `warning: ${printable(text)}`);
  const more = warnings.length - MOST_WARNINGS;
  if (more > 0) tellLine(io, `… and ${countOf(more, "more warning")} (all: tamp stats)`);
}

/** A remark beside the data. */
export function tellLine(io: CliIo, text: string): void {
  io.err(`${wrap(text, hintWidthOf(io, io.errIsTty)).join("\n")}\n`);
}

export function filterOf({ partition }: CliFlags): { readonly partitionFilter?: readonly string[] } {
  return partition === undefined ? {} : { partitionFilter: partition };
}

export function refuseInterrupted(io: CliIo, notDone: string): void {
  if (!io.signal.aborted) return;
  throw new TampError("Cancelled", "interrupted", { hint: "run the command again", notDone });
}

/** Off a terminal nobody can be asked: there `--yes` or `--json` says that no question is wanted. */
export function requireConsent({ io, flags }: CommandCall, command: string): void {
  if (flags.yes === true || flags.json === true || isInteractive(io)) return;
  throw new UsageError(
    `${command} asks before it changes anything, and off a terminal nobody can answer`,
    "add --yes to run it without a question",
  );
}

/** Whether the change may go ahead: asks where nothing said so before. */
export async function agrees({ io, flags }: CommandCall, question: string): Promise<boolean> {
  if (flags.yes === true || flags.json === true) return true;
  const agreed = await io.confirm(question);
  return agreed && !io.signal.aborted;
}

export function printJson(io: CliIo, value: object): void {
  io.out(`${JSON.stringify(value)}\n`);
}

/** Command lines for what may come next, with the flags that they need to find the same files. */
export function nextSteps(dataset: RunResult["dataset"], flags: CliFlags): NextSteps {
  const step = (command: string): string => commandLine(command, dataset, flags, ["workspace"]);
  return {
    plan: step("plan"),
    runs: step("runs"),
    undo: step("undo"),
    recover: step("recover"),
    purge: step("purge"),
  };
}
