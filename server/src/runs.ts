import { type FileIdentity, isAtRest, type JournalRecord } from "@tamp/core";
import { type FoundJournal, readableOf, readJournals } from "./journal.ts";
import { knownWorkspaces } from "./known-workspaces.ts";
import { readOwner } from "./lock.ts";
import type { Ports } from "./maintain.ts";
import { findHome, runFolder, type Workspace } from "./workspace.ts";

export type RunState =
  /** Its process holds the lock. */
  | "running"
  | "published"
  | "partly_published"
  | "undone"
  | "purged"
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
  /** When its latest group came into the state it is in: ISO 8601, UTC. */
  readonly stateSince: string;
  readonly duplicateWindowMs: number;
  /** Folder with its journals and originals. */
  readonly folder: string;
  /** Groups that recovery would judge: not at rest, and nobody is at work on them. */
  readonly interruptedGroups: number;
  readonly reason: string | null;
}

/** Every run of a root, whatever workspace it was made in, newest first. */
export async function listRuns(ports: ListPorts, located: Workspace): Promise<readonly RunFacts[]> {
  const { fs } = ports;
  const workspace = await findHome(fs, located, ports.stateFolder);
  const holder = await holderOf(ports, workspace);
  const byRun = new Map<string, FoundJournal[]>();
  for (const found of await readJournals(fs, await knownWorkspaces(fs, workspace))) {
    const group = byRun.get(found.runId) ?? [];
    byRun.set(found.runId, group);
    group.push(found);
  }
  return [...byRun.values()].map((journals) => runFacts(journals, holder)).reverse();
}

type ListPorts = Pick<Ports, "fs" | "processes" | "stateFolder">;

/** Nonce of the lock of a living process; null where nobody is at work or the lock cannot be read. */
async function holderOf({ fs, processes }: ListPorts, { lock }: Workspace): Promise<string | null> {
  const owner = await readOwner(fs, lock).catch(() => null);
  return owner === null || (await processes.isDead(owner)) ? null : owner.nonce;
}

function runFacts(journals: readonly FoundJournal[], holder: string | null): RunFacts {
  const { runId, workspace } = journals[0] as FoundJournal;
  const records = readableOf(journals).map(({ record }) => record);
  const damaged = journals.find((found) => found.kind === "damaged");
  const running =
    holder !== null && records.some(({ owner, state }) => owner === holder || state === "UNDOING");
  const open = journals.filter((found) => found.kind !== "journal" || !isAtRest(found.record)).length;
  const state = damaged !== undefined ? "quarantined" : running ? "running" : runState(records);
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
    groups: journals.length,
    inputFiles: sources.length,
    inputBytes: sumBytes(sources),
    outputFiles: outputs.length,
    outputBytes: sumBytes(outputs),
    rows: outputs.reduce((sum, output) => sum + output.rows, 0),
    partitions: [...new Set(records.map((record) => record.partition))],
    retainedBytes: sumBytes(retired),
    stateSince:
      records
        .map((record) => record.stateSince ?? "")
        .sort()
        .at(-1) ?? "",
    duplicateWindowMs: records.reduce((most, record) => Math.max(most, record.duplicateWindowMs), 0),
    folder: runFolder(workspace, runId),
    interruptedGroups: running ? 0 : open,
    reason: damaged === undefined ? null : `${damaged.folder.journal}: ${damaged.reason}`,
  };
}

function sumBytes(files: readonly FileIdentity[]): number {
  return files.reduce((sum, file) => sum + file.sizeBytes, 0);
}

function runState(records: readonly JournalRecord[]): RunState {
  const states = records.map((record) => record.state);
  if (records.length === 0 || !records.every(isAtRest)) return "interrupted";
  const purged = states.filter((state) => state === "PURGED").length;
  if (purged > 0 && !states.includes("RETIRED")) return "purged";
  const published = purged + states.filter((state) => state === "RETIRED").length;
  const planned = records.reduce((most, record) => Math.max(most, record.groupsInRun), 0);
  if (published > 0) return published < planned ? "partly_published" : "published";
  return states.includes("UNDONE") ? "undone" : "rolled_back";
}

const PUBLISHED: readonly RunState[] = ["published", "partly_published", "purged"];

/** Output bytes per input byte over the latest published runs; null before the first. */
export function learnedRatio(runs: readonly RunFacts[]): number | null {
  const recent = runs.filter((run) => PUBLISHED.includes(run.state) && run.inputBytes > 0).slice(0, 5);
  if (recent.length === 0) return null;
  const input = recent.reduce((sum, run) => sum + run.inputBytes, 0);
  return recent.reduce((sum, run) => sum + run.outputBytes, 0) / input;
}
