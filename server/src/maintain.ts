import { basename, dirname, join } from "node:path";
import { TampError } from "./errors.ts";
import type { PublicationFs } from "./fs.ts";
import { readOwner, takeLock } from "./lock.ts";
import type { Processes } from "./processes.ts";
import { type RecoveredGroup, type RecoveryContext, recoverGroups } from "./recover.ts";
import {
  locateWorkspace,
  otherWorkspaces,
  prepareWorkspace,
  recordWorkspace,
  type Workspace,
} from "./workspace.ts";

/** What the composition root lends to everything that changes a dataset. */
export interface Ports {
  readonly fs: PublicationFs;
  readonly processes: Processes;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** Monotonic milliseconds. */
  readonly clock: () => number;
  readonly sleep: (ms: number) => Promise<void>;
  /** `bytes` random bytes in hex. */
  readonly randomHex: (bytes: number) => string;
}

export interface Maintenance extends RecoveryContext, Ports {
  readonly workspace: Workspace;
  /** Every workspace in which this root was ever maintained, this one included. */
  readonly workspaces: readonly Workspace[];
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
  const workspace = await locateWorkspace(fs, request.root, request.workspace);
  await prepareWorkspace(fs, workspace);
  const since = new Date(ports.now()).toISOString();
  const lock = await takeLock({ fs, processes, path: workspace.lock, root: workspace.root, since });
  try {
    // After our own lock is there for others to see: of two roots that begin at once, at least one is refused.
    await refuseHeldAncestor(ports, workspace.root);
    const context = { ...ports, workspace, assertHeld: () => lock.assertHeld() };
    await recordWorkspace(fs, workspace);
    const workspaces = [...(await otherWorkspaces(fs, workspace)), workspace];
    const recovered: RecoveredGroup[] = [];
    for (const each of workspaces) recovered.push(...(await recoverGroups({ ...context, workspace: each })));
    return await work({ ...context, workspaces, owner: lock.nonce, recovered });
  } finally {
    await lock.release();
  }
}

/** A root above this one that is being maintained owns these files as well. */
async function refuseHeldAncestor(ports: HolderPorts, root: string): Promise<void> {
  for (let folder = dirname(root); folder !== dirname(folder); folder = dirname(folder)) {
    await refuseIfHeld(ports, folder);
  }
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
  for (const folder of folders) await refuseIfHeld(ports, folder);
}

type HolderPorts = Pick<Ports, "fs" | "processes">;

async function refuseIfHeld({ fs, processes }: HolderPorts, folder: string): Promise<void> {
  const lock = join(dirname(folder), `.${basename(folder)}.tamp`, "lock");
  const owner = await readOwner(fs, lock);
  if (owner === null || (await processes.isDead(owner))) return;
  throw new TampError(
    "Locked",
    `${folder} is being maintained by process ${owner.pid} on ${owner.host} since ${owner.since}`,
    {
      hint: "the two roots share files: wait until that run is done",
    },
  );
}
