import { join } from "node:path";
import { DEFAULT_OVERLAP_MS, decideRecovery, isAtRest, type JournalRecord } from "@tamp/core";
import type { PublicationFs } from "./fs.ts";
import {
  type FoundJournal,
  readJournals,
  removeIfEmpty,
  unfinishedJournal,
  unlinkIfPresent,
} from "./journal.ts";
import { observe, type PublishContext, performSteps } from "./publish.ts";
import { GROUP_PARTS, runFolder, type Workspace } from "./workspace.ts";

export interface RecoveredGroup {
  readonly runId: string;
  readonly group: number;
  readonly action: "discard" | "roll_back" | "roll_forward" | "undo" | "quarantine";
  readonly detail: string;
}

export interface RecoveryContext {
  readonly fs: PublicationFs;
  readonly workspace: Workspace;
  readonly sleep: (ms: number) => Promise<void>;
  readonly clock: () => number;
  readonly assertHeld: () => Promise<void>;
}

/**
 * Finishes or undoes every interrupted group of the workspace; the caller holds the lock. Running it again finds
 * nothing to do. A group that cannot be judged is left as it is and reported as quarantined.
 */
export async function recoverGroups(context: RecoveryContext): Promise<readonly RecoveredGroup[]> {
  const recovered: RecoveredGroup[] = [];
  for (const found of await readJournals(context.fs, context.workspace)) {
    const group = await recoverGroup(context, found);
    if (group !== null) recovered.push(group);
  }
  return recovered;
}

async function recoverGroup(context: RecoveryContext, found: FoundJournal): Promise<RecoveredGroup | null> {
  const { runId, group } = found.kind === "journal" ? found.record : found;
  const tell = (action: RecoveredGroup["action"], detail: string): RecoveredGroup => ({
    runId,
    group,
    action,
    detail,
  });
  if (found.kind === "damaged") return tell("quarantine", `${found.folder.journal}: ${found.reason}`);
  if (found.kind === "none") {
    await discardUnrecorded(context, found);
    return tell("discard", "interrupted before anything was recorded");
  }
  const publishing = publishContext(context, found);
  const { record } = found;
  try {
    if (isAtRest(record)) {
      await finishCleaning(publishing, record);
      return null;
    }
    const decision = decideRecovery(record, await observe(publishing, record));
    if (decision.kind === "at_rest") return null;
    if (decision.kind === "quarantine") return tell("quarantine", decision.reason);
    await performSteps(publishing, record, decision.steps);
    return tell(decision.kind, `interrupted in state ${record.state}`);
  } catch (error) {
    return tell("quarantine", error instanceof Error ? error.message : String(error));
  }
}

/** A crash between the last record and the end of its cleaning leaves links that keep the disk from being freed. */
async function finishCleaning(publishing: PublishContext, record: JournalRecord): Promise<void> {
  const pins = await publishing.fs.lstat(join(publishing.folder.path, "src"));
  if (pins !== null) await performSteps(publishing, record, [{ kind: "clean" }]);
}

export function publishContext(
  context: RecoveryContext,
  found: Pick<Extract<FoundJournal, { kind: "journal" }>, "folder">,
): PublishContext {
  return { ...context, folder: found.folder, overlapMs: DEFAULT_OVERLAP_MS, checkCtime: false };
}

/** A folder without a record holds a half-written one and empty parts at most: rmdir refuses anything else. */
async function discardUnrecorded(
  { fs, workspace }: RecoveryContext,
  found: FoundJournal & { kind: "none" },
): Promise<void> {
  await unlinkIfPresent(fs, unfinishedJournal(found.folder));
  for (const part of GROUP_PARTS) await removeIfEmpty(fs, join(found.folder.path, part));
  await removeIfEmpty(fs, found.folder.path);
  await removeIfEmpty(fs, runFolder(workspace, found.runId));
}
