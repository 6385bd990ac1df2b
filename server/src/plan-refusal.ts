import { join } from "node:path";
import { type FileGroup, type FileIdentity, findDrift, isAtRest, outputPrefix } from "@tamp/core";
import { errno, type PublicationFs } from "./fs.ts";
import { type ReadableJournal, readableOf } from "./journal.ts";
import type { Maintenance } from "./maintain.ts";
import { mapLimit } from "./map-limit.ts";

export interface PlannedWork {
  /** Ordinal of each group that earlier runs of the plan have published → the run. */
  readonly published: ReadonlyMap<number, string>;
  readonly remaining: readonly FileGroup[];
  /** Why these groups may not be rewritten as the dataset is now, in words; null where they may. */
  readonly ofDataset: (groups: readonly FileGroup[]) => Promise<string | null>;
}

/** Why a plan may not be carried out now, in words; null where it may. Asked before anything is touched. */
export async function refusalOfPlan(
  held: Maintenance,
  { published, remaining, ofDataset }: PlannedWork,
): Promise<string | null> {
  return (
    finishedRefusal(published, remaining) ??
    unfinishedRefusal(readableOf(held.journals), remaining) ??
    (await damagedRefusal(held, remaining)) ??
    (await ofDataset(remaining)) ??
    (await driftOf(held, remaining))
  );
}

/** Ordinal of each group that a run of this plan has published and nobody has undone → that run. */
export function publishedGroups(
  journals: readonly ReadableJournal[],
  planId: string,
): ReadonlyMap<number, string> {
  const done = journals.filter(
    ({ record }) => record.planId === planId && (record.state === "RETIRED" || record.state === "PURGED"),
  );
  return new Map(done.map(({ group, runId }) => [group, runId]));
}

function finishedRefusal(
  published: ReadonlyMap<number, string>,
  remaining: readonly FileGroup[],
): string | null {
  const runs = [...new Set(published.values())];
  if (remaining.length > 0 || runs.length === 0) return null;
  return runs.length === 1
    ? `run ${runs[0]} has carried out this plan`
    : `the runs ${runs.join(", ")} have carried out this plan`;
}

/**
 * A group that recovery could not bring to rest may stand in the dataset twice: rewriting its files, wherever somebody
 * has moved them, would make the doubled rows last. In words; null where the plan touches no such file.
 */
function unfinishedRefusal(
  journals: readonly ReadableJournal[],
  groups: readonly FileGroup[],
): string | null {
  const owners = new Map<string, string>();
  for (const { record, runId } of journals) {
    if (isAtRest(record)) continue;
    for (const file of [...record.sources, ...record.outputs])
      for (const key of keysOf(file)) owners.set(key, runId);
  }
  for (const file of owners.size === 0 ? [] : groups.flatMap((group) => group.inputs)) {
    const runId = keysOf(file)
      .map((key) => owners.get(key))
      .find((owner) => owner !== undefined);
    if (runId !== undefined)
      return `${file.path} belongs to the interrupted run ${runId}, which could not be recovered: see \`tamp recover\``;
  }
  return null;
}

function keysOf({
  path,
  inode,
  mtimeNs,
}: Pick<FileIdentity, "inode" | "mtimeNs"> & { readonly path: string }) {
  return [path, `\0${inode} ${mtimeNs}`];
}

/** Of a run whose journal cannot be read nothing is known but the names of its outputs: they may stand beside their sources. */
async function damagedRefusal(held: Maintenance, groups: readonly FileGroup[]): Promise<string | null> {
  const damaged = held.journals.filter(({ kind }) => kind === "damaged").map(({ runId }) => runId);
  if (damaged.length === 0) return null;
  for (const partition of new Set(groups.map((group) => group.partition))) {
    const names = await namesIn(held.fs, join(held.workspace.root, partition));
    for (const runId of damaged) {
      const output = names.find((name) => name.startsWith(outputPrefix("compact", runId)));
      if (output === undefined) continue;
      return `${join(partition, output)} belongs to the run ${runId}, whose journal cannot be read: see \`tamp recover\``;
    }
  }
  return null;
}

/** A directory that is gone is told as drift. */
async function namesIn(fs: PublicationFs, directory: string): Promise<readonly string[]> {
  try {
    return await fs.readdir(directory);
  } catch (error) {
    if (errno(error) === "ENOENT" || errno(error) === "ENOTDIR") return [];
    throw error;
  }
}

/** The first source that is not as the plan saw it, in words; null where none is. */
async function driftOf(held: Maintenance, groups: readonly FileGroup[]): Promise<string | null> {
  const { fs, workspace } = held;
  const inputs = groups.flatMap((group) => group.inputs);
  const entries = await mapLimit(inputs, 16, (file) => fs.lstat(join(workspace.root, file.path)));
  const found = new Map(inputs.map((file, index) => [file.path, entries[index] ?? null]));
  const drift = findDrift(groups, (path) => found.get(path) ?? null);
  const first = drift[0];
  if (first === undefined) return null;
  const what = first.kind === "missing" ? "is gone" : `has another ${first.what}`;
  const more = drift.length > 1 ? ` (and ${drift.length - 1} more files)` : "";
  return `the plan is stale: ${first.path} ${what}${more}; make a new plan`;
}
