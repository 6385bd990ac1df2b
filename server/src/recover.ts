import { basename, join } from "node:path";
import { DEFAULT_OVERLAP_MS, decideRecovery, isAtRest, type JournalRecord } from "@tamp/core";
import type { PublicationFs } from "./fs.ts";
import {
  type FoundJournal,
  type ReadableJournal,
  removeIfEmpty,
  unfinishedJournal,
  unlinkIfPresent,
} from "./journal.ts";
import { observe } from "./observe.ts";
import { type PublishContext, performSteps } from "./publish.ts";
import { GROUP_PARTS, runFolder, type Workspace } from "./workspace.ts";

export interface RecoveredGroup {
  readonly runId: string;
  readonly group: number;
  readonly action: "discard" | "roll_back" | "roll_forward" | "undo" | "quarantine";
  readonly detail: string;
  /** At most this long did rows stand in both old and new files, from the interrupted swap to now. */
  readonly duplicateWindowMs: number;
  /** Live files whose ctime our links and renames changed. */
  readonly paths: readonly string[];
}

export function touchedBy(recovered: readonly RecoveredGroup[]): readonly string[] {
  return recovered.flatMap((group) => group.paths);
}

export interface RecoveryContext {
  readonly fs: PublicationFs;
  /** Every workspace in which the root was ever maintained. */
  readonly workspaces: readonly Workspace[];
  readonly now: () => number;
  readonly sleep: (ms: number) => Promise<void>;
  readonly clock: () => number;
  readonly assertHeld: () => Promise<void>;
}

/**
 * Finishes or undoes every interrupted group of the workspaces; the caller holds the lock. Running it again finds
 * nothing to do. A group that cannot be judged is left as it is and reported as quarantined.
 */
export async function recoverGroups(
  context: RecoveryContext,
  journals: readonly FoundJournal[],
): Promise<readonly RecoveredGroup[]> {
  const recovered: RecoveredGroup[] = [];
  for (const found of journals) {
    const group = await recoverGroup(context, found);
    if (group !== null) recovered.push(group);
  }
  return recovered;
}

async function recoverGroup(context: RecoveryContext, found: FoundJournal): Promise<RecoveredGroup | null> {
  const { runId, group } = found;
  const tell = (action: RecoveredGroup["action"], detail: string, duplicateWindowMs = 0): RecoveredGroup => ({
    runId,
    group,
    action,
    detail,
    duplicateWindowMs,
    paths: found.kind === "journal" ? pathsOf(found.record) : [],
  });
  if (found.kind === "damaged") return tell("quarantine", `${found.folder.journal}: ${found.reason}`);
  if (found.kind === "none") {
    await discardUnrecorded(context.fs, found);
    return tell("discard", "interrupted before anything was recorded");
  }
  const publishing = publishContext(context, found);
  const { record } = found;
  try {
    if (isAtRest(record) && !(await isUnclean(publishing, record))) return null;
    // A process may have died between the rename that made this record and the fsync that makes it last.
    await context.fs.sync(found.folder.path);
    if (isAtRest(record)) {
      await performSteps(publishing, record, [{ kind: "clean" }]);
      return null;
    }
    const observed = await observe(publishing, record);
    const decision = decideRecovery(record, observed);
    if (decision.kind === "at_rest") return null;
    if (decision.kind === "quarantine") return tell("quarantine", decision.reason);
    await performSteps(publishing, record, decision.steps);
    const doubled = observed.outputs.some(({ live }) => live === "ours");
    const windowMs = doubled ? Math.max(0, context.now() - Date.parse(record.stateSince)) : 0;
    return tell(decision.kind, `interrupted in state ${record.state}`, windowMs);
  } catch (error) {
    return tell("quarantine", error instanceof Error ? error.message : String(error));
  }
}

function pathsOf({ sources, outputs }: JournalRecord): readonly string[] {
  return [...sources, ...outputs].map((file) => file.path);
}

/** A crash between the last record and the end of its cleaning leaves links that keep the disk from being freed. */
async function isUnclean({ fs, folder }: PublishContext, { state }: JournalRecord): Promise<boolean> {
  const left = (await fs.readdir(folder.path)).filter((name) => name !== basename(folder.journal));
  if (state !== "RETIRED") return left.length > 0;
  // The originals stay, and `out` for an undo to withdraw the outputs into: its stage links are spare.
  const spare = left.filter((name) => name !== "trash" && name !== "out");
  return (
    spare.length > 0 || (left.includes("out") && (await fs.readdir(join(folder.path, "out"))).length > 0)
  );
}

/** How a group of an earlier run is acted upon. */
export function publishContext(
  context: RecoveryContext,
  { folder, workspace }: Pick<ReadableJournal, "folder" | "workspace">,
): PublishContext {
  return { ...context, folder, workspace, overlapMs: DEFAULT_OVERLAP_MS, identity: "later" };
}

/** A folder without a record holds a half-written one and empty parts at most: rmdir refuses anything else. */
async function discardUnrecorded(fs: PublicationFs, found: FoundJournal): Promise<void> {
  await unlinkIfPresent(fs, unfinishedJournal(found.folder));
  for (const part of GROUP_PARTS) await removeIfEmpty(fs, join(found.folder.path, part));
  await removeIfEmpty(fs, found.folder.path);
  await removeIfEmpty(fs, runFolder(found.workspace, found.runId));
}
