import type { FileIdentity, JournalRecord } from "@tamp/core";
import type { PublicationFs } from "./fs.ts";
import { readJournals } from "./journal.ts";
import type { Workspace } from "./workspace.ts";

export type RunState =
  | "published"
  | "partly_published"
  | "undone"
  | "rolled_back"
  | "interrupted"
  | "quarantined";

/** Facts of one run as its journals tell them. */
export interface RunFacts {
  readonly runId: string;
  readonly state: RunState;
  readonly operation: "compact";
  readonly startedAt: string;
  readonly engine: string;
  readonly groups: number;
  readonly inputFiles: number;
  readonly inputBytes: number;
  readonly outputFiles: number;
  readonly outputBytes: number;
  readonly rows: number;
  readonly partitions: readonly string[];
  readonly retainedBytes: number;
}

/** Runs of a workspace, newest first. */
export async function listRuns(fs: PublicationFs, workspace: Workspace): Promise<readonly RunFacts[]> {
  const byRun = new Map<string, JournalRecord[]>();
  const damaged = new Set<string>();
  for (const found of await readJournals(fs, workspace)) {
    const runId = found.kind === "journal" ? found.record.runId : found.runId;
    const records = byRun.get(runId) ?? [];
    byRun.set(runId, records);
    if (found.kind === "journal") records.push(found.record);
    if (found.kind === "damaged") damaged.add(runId);
  }
  const runs = [...byRun].map(([runId, records]) => runFacts(runId, records, damaged.has(runId)));
  return runs.sort((a, b) => (a.runId < b.runId ? 1 : -1));
}

function runFacts(runId: string, records: readonly JournalRecord[], damaged: boolean): RunFacts {
  const state = damaged ? "quarantined" : runState(records);
  const counted = records.filter((record) => record.state !== "ROLLED_BACK" && record.state !== "PREPARED");
  const sources = counted.flatMap((record) => record.sources);
  const outputs = counted.flatMap((record) => record.outputs);
  const retired = records.filter((record) => record.state === "RETIRED").flatMap((record) => record.sources);
  return {
    runId,
    state,
    operation: "compact",
    startedAt: records[0]?.startedAt ?? "",
    engine: records[0]?.engine ?? "",
    groups: records.length,
    inputFiles: sources.length,
    inputBytes: sumBytes(sources),
    outputFiles: outputs.length,
    outputBytes: sumBytes(outputs),
    rows: outputs.reduce((sum, output) => sum + output.rows, 0),
    partitions: [...new Set(records.map((record) => record.partition))],
    retainedBytes: sumBytes(retired),
  };
}

function sumBytes(files: readonly FileIdentity[]): number {
  return files.reduce((sum, file) => sum + file.sizeBytes, 0);
}

function runState(records: readonly JournalRecord[]): RunState {
  const states = records.map((record) => record.state);
  if (states.some((state) => ["PREPARED", "COMMIT", "UNDOING"].includes(state))) return "interrupted";
  const published = states.filter((state) => state === "RETIRED").length;
  const planned = Math.max(...records.map((record) => record.groupsInRun));
  if (published > 0) return published < planned ? "partly_published" : "published";
  return states.includes("UNDONE") ? "undone" : "rolled_back";
}

/** Output bytes per input byte over the latest published runs; null before the first. */
export function learnedRatio(runs: readonly RunFacts[]): number | null {
  const recent = runs.filter((run) => run.state.endsWith("published") && run.inputBytes > 0).slice(0, 5);
  if (recent.length === 0) return null;
  const input = recent.reduce((sum, run) => sum + run.inputBytes, 0);
  return recent.reduce((sum, run) => sum + run.outputBytes, 0) / input;
}
