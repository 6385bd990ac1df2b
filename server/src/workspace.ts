import { createHash } from "node:crypto";
import { basename, dirname, join } from "node:path";
import { TampError } from "./errors.ts";
import { errno, type PublicationFs } from "./fs.ts";

/**
 * Where everything of ours lies that is no published output: `.<name>.tamp/` beside the root, on its device.
 * No name in it ends in `.parquet`; discovery never enters it.
 */
export interface Workspace {
  /** Real path of the dataset root. */
  readonly root: string;
  readonly rootDevice: string;
  readonly rootInode: string;
  readonly folder: string;
  readonly runs: string;
  /** One place for a root whatever workspace is asked for: it holds the lock, and names the other workspaces. */
  readonly home: string;
  readonly lock: string;
}

/** Names of the folders of one group, inside the run's folder. */
export interface GroupFolder {
  readonly path: string;
  readonly journal: string;
}

/** `asked` is an absolute folder on the root's device, or null for the sibling of the root. Creates nothing. */
export async function locateWorkspace(
  fs: PublicationFs,
  root: string,
  asked: string | null,
): Promise<Workspace> {
  const real = await realRoot(fs, root);
  const entry = await fs.lstat(real);
  if (entry === null || entry.kind !== "directory") throw notFound(root);
  const home = join(dirname(real), `.${basename(real)}.tamp`);
  // Several roots may share a workspace that was asked for: each has a folder of its own in it.
  const folder = asked === null || asked === home ? home : join(asked, `${basename(real)}-${entry.inode}`);
  return inFolder({ root: real, rootDevice: entry.device, rootInode: entry.inode, home }, folder);
}

function inFolder(
  known: Pick<Workspace, "root" | "rootDevice" | "rootInode" | "home">,
  folder: string,
): Workspace {
  const { root, rootDevice, rootInode, home } = known;
  return { root, rootDevice, rootInode, home, folder, runs: join(folder, "runs"), lock: join(home, "lock") };
}

async function realRoot(fs: PublicationFs, root: string): Promise<string> {
  try {
    return await fs.realpath(root);
  } catch (error) {
    if (errno(error) === "ENOENT" || errno(error) === "ENOTDIR") throw notFound(root);
    throw error;
  }
}

function notFound(root: string): TampError {
  return new TampError("DatasetNotFound", `${root} is not a directory`, {
    hint: "give the directory that holds the Parquet files",
  });
}

/** Creates the workspace and checks that links into the root are possible: same device, writable. */
export async function prepareWorkspace(fs: PublicationFs, workspace: Workspace): Promise<void> {
  const { home, folder, runs } = workspace;
  const base = folder === home ? home : dirname(folder);
  refuseInside(workspace.root, base);
  for (const path of new Set([home, base, folder, runs])) await makeFolder(fs, path);
  const entry = await fs.lstat(workspace.folder);
  if (entry === null || entry.kind !== "directory") throw unusable(workspace.folder, "it is not a directory");
  await refuseForeign(fs, workspace);
  if (entry.device !== workspace.rootDevice) {
    throw unusable(workspace.folder, "it lies on another device than the dataset, so files cannot be linked");
  }
  for (const path of new Set([dirname(base), base, folder])) await fs.sync(path);
}

/**
 * Names the workspace where every later run of this root looks, so that a crash in it is recovered from. The caller
 * holds the lock.
 */
export async function recordWorkspace(fs: PublicationFs, { home, folder }: Workspace): Promise<void> {
  if (folder === home) return;
  const list = join(home, WORKSPACES);
  await makeFolder(fs, list);
  const record = join(list, createHash("sha256").update(folder).digest("hex").slice(0, 16));
  if ((await fs.lstat(record)) !== null) return;
  const temp = join(home, "workspace.new");
  if ((await fs.lstat(temp)) !== null) await fs.unlink(temp);
  await fs.writeNew(temp, JSON.stringify({ folder }));
  await fs.rename(temp, record);
  await fs.sync(list);
  await fs.sync(home);
}

const WORKSPACES = "workspaces";

/** The other workspaces in which this root was maintained and which are still there. */
export async function otherWorkspaces(
  fs: PublicationFs,
  workspace: Workspace,
): Promise<readonly Workspace[]> {
  const list = join(workspace.home, WORKSPACES);
  const names = (await fs.lstat(list)) === null ? [] : await fs.readdir(list);
  const recorded = await Promise.all(names.map((name) => readWorkspace(fs, join(list, name))));
  const folders = new Set([workspace.home, ...recorded]);
  folders.delete(workspace.folder);
  const others: Workspace[] = [];
  for (const folder of folders) {
    const other = inFolder(workspace, folder);
    if ((await fs.lstat(other.runs)) === null) continue;
    await refuseForeign(fs, other);
    others.push(other);
  }
  return others;
}

async function readWorkspace(fs: PublicationFs, path: string): Promise<string> {
  const { folder }: { folder?: unknown } = JSON.parse(await fs.readText(path));
  if (typeof folder === "string") return folder;
  throw unusable(path, "it does not name a workspace");
}

/** Readers list what lies in the root; `.tamp` alone is known to the watcher and to discovery. */
function refuseInside(root: string, folder: string): void {
  const inside = folder === root || folder.startsWith(join(root, "/"));
  if (inside && folder !== join(root, ".tamp")) throw unusable(folder, "it lies inside the dataset");
}

/** Who owns these folders decides by their journals what recovery renames: nobody but us and the dataset's owner may. */
async function refuseForeign(fs: PublicationFs, { root, folder, runs }: Workspace): Promise<void> {
  const trusted = [process.getuid?.(), 0, (await fs.lstat(root))?.uid];
  for (const path of [folder, runs]) {
    const entry = await fs.lstat(path);
    if (entry === null || entry.kind !== "directory" || !trusted.includes(entry.uid))
      throw unusable(path, "it belongs to somebody else");
  }
}

async function makeFolder(fs: PublicationFs, folder: string): Promise<void> {
  try {
    await fs.mkdir(folder);
  } catch (error) {
    if (errno(error) !== "EEXIST")
      throw unusable(folder, `it cannot be created (${errno(error) || String(error)})`);
  }
}

function unusable(folder: string, why: string): TampError {
  return new TampError("WorkspaceUnusable", `the workspace ${folder} cannot be used: ${why}`, {
    hint: "give --workspace a folder on the dataset's device that you may write",
    notDone: "no file was rewritten",
  });
}

/** `runs/<runId>` holds one folder a group, named by its number. */
export function runFolder(workspace: Workspace, runId: string): string {
  return join(workspace.runs, runId);
}

export function groupFolder(workspace: Workspace, runId: string, group: number): GroupFolder {
  const path = join(runFolder(workspace, runId), String(group).padStart(4, "0"));
  return { path, journal: join(path, "journal.json") };
}

/** Sub-folders of a group: pins of the sources, staged outputs, retired originals, withdrawn outputs. */
export const GROUP_PARTS = ["src", "out", "trash", "tmp"] as const;
