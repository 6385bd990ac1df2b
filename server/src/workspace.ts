import { createHash } from "node:crypto";
import { basename, dirname, join } from "node:path";
import { TampError } from "./errors.ts";
import { type Entry, errno, type PublicationFs } from "./fs.ts";

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
  /**
   * One place for a root whatever workspace is asked for: it holds the lock, and names the other workspaces. The
   * sibling of the root; where that cannot be made, a folder in the user's state directory.
   */
  readonly home: string;
  /** The home that a run had, or would have, under other permissions; null where there is none. */
  readonly otherHome: string | null;
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
  if (real === dirname(real)) throw unusable(real, "nothing can lie beside the root of a file system");
  const known = { root: real, rootDevice: entry.device, rootInode: entry.inode };
  const home = siblingHome(real);
  const folder = asked === null ? home : await realAsked(fs, asked);
  return inFolder({ ...known, home, otherHome: null }, folder === home ? home : sharedFolder(known, folder));
}

type Known = Pick<Workspace, "root" | "rootDevice" | "rootInode" | "home" | "otherHome">;

function inFolder(known: Known, folder: string): Workspace {
  const { root, rootDevice, rootInode, home, otherHome } = known;
  const lock = join(home, LOCK);
  return { root, rootDevice, rootInode, home, otherHome, folder, runs: join(folder, "runs"), lock };
}

const LOCK = "lock";

/**
 * Several roots may share a workspace that was asked for: each has a folder of its own in it. All are on its device,
 * where the inode tells them apart; the root's name may differ where it is mounted elsewhere.
 */
function sharedFolder({ rootInode }: Pick<Workspace, "rootInode">, asked: string): string {
  return join(asked, `root-${rootInode}`);
}

function siblingHome(root: string): string {
  return join(dirname(root), `.${basename(root)}.tamp`);
}

/**
 * The home in the user's state directory. Named after the real path, from which the sibling is derived as well, and
 * not after device and inode: device numbers may change with a reboot, and an interrupted run would not be found.
 */
function stateHome(root: string, stateFolder: string): string {
  return join(stateFolder, ROOTS, createHash("sha256").update(root).digest("hex").slice(0, 32));
}

const ROOTS = "roots";

/** Where a lock of `root`, a real path, may lie. */
export function lockPlaces(root: string, stateFolder: string | null): readonly string[] {
  const homes = [siblingHome(root), ...(stateFolder === null ? [] : [stateHome(root, stateFolder)])];
  return homes.map((home) => join(home, LOCK));
}

/**
 * The locks that a run takes, in this order. A home may be seen by one user or one container only; the lock in a
 * shared workspace is seen by all that use the same one.
 */
export function ownLocks({ home, folder, lock }: Workspace): readonly [string, ...string[]] {
  return folder === home ? [lock] : [lock, join(folder, LOCK)];
}

/** The real path of a folder that need not exist yet. */
async function realAsked(fs: PublicationFs, asked: string): Promise<string> {
  try {
    return await fs.realpath(asked);
  } catch (error) {
    if (errno(error) !== "ENOENT" || asked === dirname(asked)) return asked;
    return join(await realAsked(fs, dirname(asked)), basename(asked));
  }
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

/**
 * Creates the workspace and checks that links into the root are possible: same device, writable. Answers it with the
 * home that it has: the sibling wherever that exists or can be made, else one in `stateFolder`. Users who may not
 * write the same folders, and containers that see the root under other paths, have different homes: only the lock in
 * a workspace that they share keeps them apart.
 */
export async function prepareWorkspace(
  fs: PublicationFs,
  located: Workspace,
  stateFolder: string | null = null,
): Promise<Workspace> {
  const base = located.folder === located.home ? located.home : dirname(located.folder);
  refuseInside(located.root, base);
  const workspace = await makeHome(fs, located, stateFolder);
  const { root, rootDevice, home, folder, runs } = workspace;
  for (const path of new Set([base, folder, runs])) await makeFolder(fs, path);
  await refuseForeign(fs, root, [home, folder, runs]);
  const entry = await fs.lstat(folder);
  if (entry?.device !== rootDevice)
    throw unusable(folder, "it lies on another device than the dataset, so files cannot be linked");
  for (const path of new Set([dirname(home), home, dirname(base), base, folder])) await syncFolder(fs, path);
  return workspace;
}

/** Where the parent of the root may not be written. */
const NOT_ALLOWED: readonly string[] = ["EACCES", "EPERM", "EROFS", "ENAMETOOLONG"];

async function makeHome(
  fs: PublicationFs,
  located: Workspace,
  stateFolder: string | null,
): Promise<Workspace> {
  const { root, folder } = located;
  const sibling = siblingHome(root);
  const problem = await tryFolder(fs, sibling);
  if (problem !== null) {
    const why = `it cannot be created (${problem})`;
    const hint = `${GIVE_ANOTHER}, such as ${join(root, INSIDE)} (DuckDB and Polars look into dot folders)`;
    if (!NOT_ALLOWED.includes(problem) || folder === sibling) throw unusable(sibling, why, hint);
    if (stateFolder === null)
      throw unusable(sibling, `${why}, and there is no state directory to hold the lock instead`);
    await makeFolders(fs, stateHome(root, stateFolder));
  }
  return findHome(fs, located, stateFolder);
}

/** The workspace with the home that the root has: the sibling wherever it exists. Creates nothing. */
export async function findHome(
  fs: PublicationFs,
  located: Workspace,
  stateFolder: string | null,
): Promise<Workspace> {
  if (stateFolder === null) return located;
  const sibling = siblingHome(located.root);
  const state = stateHome(located.root, stateFolder);
  const isState = (await lstatNamed(fs, sibling)) === null && (await isThere(fs, state));
  const homes = isState ? { home: state, otherHome: sibling } : { home: sibling, otherHome: state };
  return inFolder({ ...located, ...homes }, located.folder);
}

/** False as well for a folder in a home directory that we may not look into: it is none of ours. */
async function isThere(fs: PublicationFs, state: string): Promise<boolean> {
  try {
    return (await fs.lstat(state)) !== null;
  } catch (error) {
    if (errno(error) === "EACCES") return false;
    throw error;
  }
}

/** What the system says against the folder; null where it is there. */
async function tryFolder(fs: PublicationFs, path: string): Promise<string | null> {
  try {
    // Looked for first: in a parent that is read-only, not every system says that it exists.
    if ((await fs.lstat(path)) === null) await fs.mkdir(path);
    return null;
  } catch (error) {
    if (errno(error) === "") throw error;
    return errno(error) === "EEXIST" ? null : errno(error);
  }
}

async function makeFolder(fs: PublicationFs, path: string): Promise<void> {
  const problem = await tryFolder(fs, path);
  if (problem !== null) throw unusable(path, `it cannot be created (${problem})`);
}

async function makeFolders(fs: PublicationFs, path: string): Promise<void> {
  if (path === dirname(path) || (await fs.lstat(path)) !== null) return;
  await makeFolders(fs, dirname(path));
  await makeFolder(fs, path);
  await syncFolder(fs, dirname(path));
}

/** A parent that we may write but not read cannot be opened for that. */
async function syncFolder(fs: PublicationFs, path: string): Promise<void> {
  try {
    await fs.sync(path);
  } catch (error) {
    if (errno(error) !== "EACCES") throw error;
  }
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
async function otherWorkspaces(fs: PublicationFs, workspace: Workspace): Promise<readonly Workspace[]> {
  const { root, home, otherHome } = workspace;
  const homes = otherHome === null ? [home] : [home, otherHome];
  const recorded = await Promise.all(homes.map((each) => recordedFolders(fs, each)));
  // A container that was made anew has lost its home, but the dataset with what lies in it is still there.
  const folders = new Set([...homes, sharedFolder(workspace, join(root, INSIDE)), ...recorded.flat()]);
  folders.delete(workspace.folder);
  const others: Workspace[] = [];
  for (const folder of folders) {
    const other = inFolder(workspace, folder);
    if ((await lstatNamed(fs, other.runs)) === null) continue;
    await refuseForeign(fs, root, [folder, other.runs]);
    others.push(other);
  }
  return others;
}

/** Every workspace in which the root was ever maintained. */
export async function allWorkspaces(fs: PublicationFs, workspace: Workspace): Promise<readonly Workspace[]> {
  try {
    await lstatNamed(fs, workspace.runs);
    return [...(await otherWorkspaces(fs, workspace)), workspace];
  } catch (error) {
    if (errno(error) !== "EACCES" || !(error instanceof Error)) throw error;
    throw unusable(workspace.home, error.message, "run Tamp as the user whom that folder belongs to");
  }
}

/** The same root as maintained in another home. */
export function homeIn(workspace: Workspace, home: string): Workspace {
  return inFolder({ ...workspace, home, otherHome: null }, home);
}

async function recordedFolders(fs: PublicationFs, home: string): Promise<readonly string[]> {
  const list = join(home, WORKSPACES);
  const names = (await lstatNamed(fs, list)) === null ? [] : await fs.readdir(list);
  return Promise.all(names.map((name) => readPresent(fs, join(list, name))));
}

/** Of a workspace that is not there nothing is known: a run in it may have been interrupted. */
async function readPresent(fs: PublicationFs, record: string): Promise<string> {
  const folder = await readWorkspace(fs, record);
  if ((await lstatNamed(fs, folder)) !== null) return folder;
  throw unusable(
    folder,
    "runs of this dataset were made in it, and it is not there",
    `bring it back (mount it); or, if it is gone for good and with it the undo of those runs, delete the file ${record}`,
  );
}

/** Under a name that is too long for the file system there is nothing. */
export async function lstatNamed(fs: PublicationFs, path: string): Promise<Entry | null> {
  try {
    return await fs.lstat(path);
  } catch (error) {
    if (errno(error) === "ENAMETOOLONG") return null;
    throw error;
  }
}

async function readWorkspace(fs: PublicationFs, path: string): Promise<string> {
  try {
    const { folder }: { folder?: unknown } = JSON.parse(await fs.readText(path));
    if (typeof folder === "string") return folder;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  throw unusable(path, "it does not name a workspace");
}

/** Readers list what lies in the root; `.tamp` alone is known to the watcher and to discovery. */
function refuseInside(root: string, folder: string): void {
  const inside = folder === root || folder.startsWith(join(root, "/"));
  if (inside && folder !== join(root, INSIDE)) throw unusable(folder, "it lies inside the dataset");
}

/** The one workspace inside the root, for a root that is a mount point. */
const INSIDE = ".tamp";

/** Who owns these folders decides by their journals what recovery renames: nobody but us and the dataset's owner may. */
async function refuseForeign(fs: PublicationFs, root: string, folders: readonly string[]): Promise<void> {
  const trusted = [process.getuid?.(), 0, (await fs.lstat(root))?.uid];
  for (const path of folders) {
    const entry = await fs.lstat(path);
    if (entry?.kind !== "directory") throw unusable(path, "it is not a directory");
    if (!trusted.includes(entry.uid)) throw unusable(path, "it belongs to somebody else");
  }
}

const GIVE_ANOTHER = "give --workspace a folder on the dataset's device that you may write";

function unusable(folder: string, why: string, hint: string = GIVE_ANOTHER): TampError {
  return new TampError("WorkspaceUnusable", `the workspace ${folder} cannot be used: ${why}`, {
    hint,
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
