import { isAtRest } from "@tamp/core";
import type { PublicationFs } from "./fs.ts";
import { type FoundJournal, readableOf, readJournals } from "./journal.ts";
import { knownWorkspaces } from "./known-workspaces.ts";
import { holderOf, lockedBy, takeLocks } from "./lock.ts";
import { refuseHeldAbove, refuseHeldBelow } from "./neighbours.ts";
import type { OpenWriters } from "./open-writers.ts";
import type { Processes } from "./processes.ts";
import { type RecoveredGroup, type RecoveryContext, recoverGroups } from "./recover.ts";
import type { UserSettings } from "./user-settings.ts";
import { locateWorkspace, ownLocks, prepareWorkspace, recordWorkspace, type Workspace } from "./workspace.ts";

/** What the composition root lends to everything that changes a dataset. */
export interface Ports {
  readonly fs: PublicationFs;
  readonly processes: Processes;
  readonly openWriters: OpenWriters;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** Monotonic milliseconds. */
  readonly clock: () => number;
  readonly sleep: (ms: number) => Promise<void>;
  /** Absolute folder in which a user's programs keep what lasts; null where there is none. */
  readonly stateFolder: string | null;
  readonly user: UserSettings;
  /** `bytes` random bytes in hex. */
  readonly randomHex: (bytes: number) => string;
}

export interface Maintenance extends RecoveryContext, Ports {
  readonly workspace: Workspace;
  readonly owner: string;
  /** What recovery did with leftovers before this work began (S0). */
  readonly recovered: readonly RecoveredGroup[];
  /** Every group of every run, as recovery left it. */
  readonly journals: readonly FoundJournal[];
}

export interface MaintenanceRequest {
  readonly ports: Ports;
  readonly root: string;
  /** Absolute folder, or null for the sibling of the root. */
  readonly workspace: string | null;
}

/** S0: takes the lock, recovers leftovers of this root, does the work, and gives the lock back. */
export async function maintain<T>(
  request: MaintenanceRequest,
  work: (held: Maintenance) => Promise<T>,
): Promise<T> {
  const { ports } = request;
  const { fs, processes } = ports;
  const located = await locateWorkspace(fs, request.root, request.workspace);
  const workspace = await prepareWorkspace(fs, located, ports.stateFolder);
  const { root } = workspace;
  const since = new Date(ports.now()).toISOString();
  const lock = await takeLocks({ fs, processes, root, since }, ownLocks(workspace));
  try {
    await refuseHeldAbove(ports, workspace);
    await recordWorkspace(fs, workspace);
    const workspaces = await knownWorkspaces(fs, workspace);
    await refuseHeldBefore(ports, workspace, workspaces);
    const found = await readJournals(fs, workspaces);
    await refuseHeldBelow(ports, root, interruptedPartitions(found));
    const context = { ...ports, workspaces, assertHeld: () => lock.assertHeld() };
    const recovered = await recoverGroups(context, found);
    const journals = recovered.length === 0 ? found : await readJournals(fs, workspaces);
    return await work({ ...context, workspace, owner: lock.nonce, recovered, journals });
  } finally {
    await lock.release();
  }
}

/** A run that began before the root was renamed holds the lock of its old home, and may still be under way. */
async function refuseHeldBefore(
  ports: Ports,
  { home }: Workspace,
  workspaces: readonly Workspace[],
): Promise<void> {
  for (const earlier of workspaces.filter((other) => other.home !== home)) {
    const owner = await holderOf(ports, earlier.lock);
    if (owner !== null) throw lockedBy(owner, earlier.lock, await ports.processes.self());
  }
}

/** Partitions in which recovery may move files. */
function interruptedPartitions(journals: readonly FoundJournal[]): readonly string[] {
  const records = readableOf(journals).map((found) => found.record);
  return records.filter((record) => !isAtRest(record)).map((record) => record.partition);
}
