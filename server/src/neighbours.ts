import { dirname, join } from "node:path";
import { isAtRest } from "@tamp/core";
import { TampError } from "./errors.ts";
import type { PublicationFs } from "./fs.ts";
import { readableOf, readJournals } from "./journal.ts";
import { knownWorkspaces } from "./known-workspaces.ts";
import { holderOf, lockedBy } from "./lock.ts";
import { mapLimit } from "./map-limit.ts";
import type { Processes } from "./processes.ts";
import { findHome, locateWorkspace, lockPlaces, lstatNamed, type Workspace } from "./workspace.ts";

/** Roots that share files with this one: those above it, and those below that a plan reaches into. */
export interface NeighbourPorts {
  readonly fs: PublicationFs;
  readonly processes: Processes;
  readonly stateFolder: string | null;
}

const FOLDERS_AT_ONCE = 16;

/**
 * Refuses while a root above this one is maintained, or this one under another home. Looks after the own lock is
 * there for others to see: of two that begin at once, at least one is refused.
 */
export async function refuseHeldAbove(ports: NeighbourPorts, { root, lock }: Workspace): Promise<void> {
  for (const folder of [root, ...ancestorsOf(root)]) {
    const places = lockPlaces(folder, ports.stateFolder).filter((place) => place !== lock);
    for (const place of places) await refuseIfHeld(ports, place, root);
  }
}

/** Refuses partitions that lie in, or are, a root below this one that is being maintained. */
export async function refuseHeldBelow(
  ports: NeighbourPorts,
  root: string,
  partitions: readonly string[],
): Promise<void> {
  await mapLimit(foldersTo(root, partitions), FOLDERS_AT_ONCE, async (folder) => {
    for (const place of lockPlaces(folder, ports.stateFolder)) await refuseIfHeld(ports, place, root);
  });
}

/**
 * Refuses partitions that a root above or below this one maintains, or in which its run was interrupted: the rows of
 * such a run may stand there twice, and rewriting them would make that last.
 */
export async function refuseSharedPartitions(
  ports: NeighbourPorts,
  root: string,
  partitions: readonly string[],
): Promise<void> {
  await refuseHeldBelow(ports, root, partitions);
  const wanted = new Set(partitions.map((partition) => join(root, partition)));
  const neighbours = [...ancestorsOf(root), ...foldersTo(root, partitions)];
  await mapLimit(neighbours, FOLDERS_AT_ONCE, async (folder) => {
    const homes = lockPlaces(folder, ports.stateFolder).map((place) => lstatNamed(ports.fs, dirname(place)));
    if ((await Promise.all(homes)).every((home) => home === null)) return;
    await refuseIfInterrupted(ports, folder, wanted);
  });
}

function ancestorsOf(root: string): readonly string[] {
  const folders: string[] = [];
  for (let folder = dirname(root); folder !== dirname(folder); folder = dirname(folder)) folders.push(folder);
  return folders;
}

/** Every folder below the root on the way to a partition, the partition's own included. */
function foldersTo(root: string, partitions: readonly string[]): readonly string[] {
  const folders = new Set<string>();
  for (const partition of partitions) {
    let path = root;
    for (const component of partition === "" ? [] : partition.split("/")) {
      path = join(path, component);
      folders.add(path);
    }
  }
  return [...folders];
}

async function refuseIfHeld(ports: NeighbourPorts, lock: string, root: string): Promise<void> {
  const owner = await holderOf(ports, lock);
  if (owner === null) return;
  const { message, hint } = lockedBy(owner, lock, await ports.processes.self());
  throw new TampError("Locked", owner.root === root ? message : `${message}; it shares files with ${root}`, {
    hint,
  });
}

async function refuseIfInterrupted(
  { fs, stateFolder }: NeighbourPorts,
  folder: string,
  wanted: ReadonlySet<string>,
): Promise<void> {
  if ((await fs.lstat(folder))?.kind !== "directory") return;
  const workspace = await findHome(fs, await locateWorkspace(fs, folder, null), stateFolder);
  const journals = readableOf(await readJournals(fs, await knownWorkspaces(fs, workspace)));
  const found = journals.find(
    ({ record }) => !isAtRest(record) && wanted.has(join(folder, record.partition)),
  );
  if (found === undefined) return;
  const where = join(folder, found.record.partition);
  throw new TampError("Locked", `run ${found.runId} of ${folder} was interrupted in ${where}`, {
    hint: `run \`tamp recover\` on ${folder} first`,
  });
}
