import { dirname, join } from "node:path";
import { isAtRest } from "@tamp/core";
import { TampError } from "./errors.ts";
import type { PublicationFs } from "./fs.ts";
import { readableOf, readJournals } from "./journal.ts";
import { holderOf, lockedBy, takeLocks } from "./lock.ts";
import type { OpenWriters } from "./open-writers.ts";
import type { Processes } from "./processes.ts";
import { type RecoveredGroup, type RecoveryContext, recoverGroups } from "./recover.ts";
import {
  locateWorkspace,
  lockPlaces,
  otherWorkspaces,
  ownLocks,
  prepareWorkspace,
  recordWorkspace,
  type Workspace,
} from "./workspace.ts";

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
  /** `bytes` random bytes in hex. */
  readonly randomHex: (bytes: number) => string;
}

export interface Maintenance extends RecoveryContext, Ports {
  readonly workspace: Workspace;
  readonly owner: string;
  /** What recovery did with leftovers before this work began (S0). */
  readonly recovered: readonly RecoveredGroup[];
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
    // After our own lock is there for others to see: of two roots that begin at once, at least one is refused.
    await refuseHeldElsewhere(ports, workspace);
    await recordWorkspace(fs, workspace);
    const workspaces = await allWorkspaces(fs, workspace);
    await refuseHeldPartitions(ports, root, await interruptedPartitions(fs, workspaces));
    const context = { ...ports, workspaces, assertHeld: () => lock.assertHeld() };
    const recovered = await recoverGroups(context);
    return await work({ ...context, workspace, owner: lock.nonce, recovered });
  } finally {
    await lock.release();
  }
}

/** Every workspace in which the root was ever maintained. */
export async function allWorkspaces(fs: PublicationFs, workspace: Workspace): Promise<readonly Workspace[]> {
  return [...(await otherWorkspaces(fs, workspace)), workspace];
}

/** A root above this one that is being maintained owns these files as well, and so does this one with another home. */
async function refuseHeldElsewhere(ports: HolderPorts, { root, lock }: Workspace): Promise<void> {
  for (const place of lockPlaces(root, ports.stateFolder)) {
    if (place !== lock) await refuseIfHeld(ports, place, root);
  }
  for (let folder = dirname(root); folder !== dirname(folder); folder = dirname(folder)) {
    for (const place of lockPlaces(folder, ports.stateFolder)) await refuseIfHeld(ports, place, root);
  }
}

/** Partitions in which recovery may move files. */
async function interruptedPartitions(
  fs: PublicationFs,
  workspaces: readonly Workspace[],
): Promise<readonly string[]> {
  const records = readableOf(await readJournals(fs, workspaces)).map((found) => found.record);
  return records.filter((record) => !isAtRest(record)).map((record) => record.partition);
}

/** Refuses partitions that lie in, or are, a root below this one that is being maintained. */
export async function refuseHeldPartitions(
  ports: HolderPorts,
  root: string,
  partitions: readonly string[],
): Promise<void> {
  const folders = new Set<string>();
  for (const partition of partitions) {
    let path = root;
    for (const component of partition === "" ? [] : partition.split("/")) {
      path = join(path, component);
      folders.add(path);
    }
  }
  for (const folder of folders) {
    for (const place of lockPlaces(folder, ports.stateFolder)) await refuseIfHeld(ports, place, root);
  }
}

type HolderPorts = Pick<Ports, "fs" | "processes" | "stateFolder">;

async function refuseIfHeld(ports: HolderPorts, lock: string, root: string): Promise<void> {
  const owner = await holderOf(ports, lock);
  if (owner === null) return;
  const { message, hint } = lockedBy(owner, lock, await ports.processes.self());
  throw new TampError("Locked", owner.root === root ? message : `${message}; it shares files with ${root}`, {
    hint,
  });
}
