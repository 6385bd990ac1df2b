import { randomBytes } from "node:crypto";
import { basename, dirname, join } from "node:path";
import { TampError } from "./errors.ts";
import { type Entry, errno, type PublicationFs } from "./fs.ts";
import { unlinkIfPresent } from "./journal.ts";
import { doubtOf, type Processes, type ProcessIdentity } from "./processes.ts";

/** Who holds a dataset. All of it together proves that an owner is dead, or does not. */
export interface LockOwner extends ProcessIdentity {
  readonly nonce: string;
  readonly root: string;
  readonly since: string;
}

export interface Lock {
  readonly nonce: string;
  /**
   * Rejects where the lock is no longer ours. Between this look and the change that follows the process may be
   * stopped for any time: it is alive then, so nobody takes its lock. Only a person who deletes the lock of a living
   * process opens that gap.
   */
  assertHeld(): Promise<void>;
  /** Never rejects. */
  release(): Promise<void>;
}

export interface LockRequest {
  readonly fs: PublicationFs;
  readonly processes: Processes;
  /** Absolute path of the lock file; its folder exists. */
  readonly path: string;
  readonly root: string;
  readonly since: string;
}

/**
 * Takes the lock or rejects with `Locked`, naming the holder. The file is made by `link`, so it is whole from its
 * first moment on; one whose owner is provably dead is removed by whoever has claimed it, and by nobody else.
 */
export async function takeLock(request: LockRequest): Promise<Lock> {
  const { fs, processes, path, root, since } = request;
  const nonce = randomBytes(12).toString("hex");
  const owner: LockOwner = { nonce, ...(await processes.self()), root, since };
  const temp = `${path}.${nonce}`;
  // Nothing is written where somebody holds the lock for certain.
  const holder = await holderOf(request, path);
  if (holder !== null) throw lockedBy(holder, path, owner);
  const own: OwnFile = { temp, made: null, litter: false };
  let taken = false;
  try {
    await fs.writeNew(temp, `${JSON.stringify(owner)}\n`).catch((error: unknown) => {
      throw unwritable(path, error);
    });
    own.made = await fs.lstat(temp);
    let claimant: LockOwner | null = null;
    for (let attempt = 0; attempt < 3; attempt += 1) {
      if (await tryLink(fs, own, path)) {
        const lock = await begin(request, heldLock(fs, path, nonce, own));
        taken = true;
        return lock;
      }
      claimant = await removeStale(request, own);
    }
    if (claimant !== null) throw lockedBy(claimant, path, owner);
    throw new TampError("Locked", `${root} is being maintained by another process`, { hint: "try again" });
  } finally {
    await discardOwn(fs, own, temp);
    if (own.litter && !taken) abandoned.add(nonce);
  }
}

/** All of them, in this order, or none: a second contender fails at once, so nobody waits for another. */
export async function takeLocks(
  request: Omit<LockRequest, "path">,
  [path, ...others]: readonly [string, ...string[]],
): Promise<Lock> {
  const first = await takeLock({ ...request, path });
  const locks = [first];
  const release = async (): Promise<void> => {
    await Promise.all(locks.map((lock) => lock.release()));
  };
  try {
    for (const other of others) locks.push(await takeLock({ ...request, path: other }));
  } catch (error) {
    await release();
    throw error;
  }
  return {
    nonce: first.nonce,
    async assertHeld() {
      for (const lock of locks) await lock.assertHeld();
    },
    release,
  };
}

/** Nonces that this process is done with and whose files it could not remove: its next contender takes them for dead. */
const abandoned = new Set<string>();

async function isOver(processes: Processes, owner: LockOwner): Promise<boolean> {
  return abandoned.has(owner.nonce) || processes.isDead(owner);
}

/** Whoever holds the lock and is not provably dead; null where nobody does. */
export async function holderOf(
  { fs, processes }: Pick<LockRequest, "fs" | "processes">,
  path: string,
): Promise<LockOwner | null> {
  const owner = await readOwner(fs, path);
  return owner === null || (await isOver(processes, owner)) ? null : owner;
}

/** `here` is who asks. Where the owner cannot be judged from here, a person must, and is told how to go on. */
export function lockedBy(owner: LockOwner, path: string, here: ProcessIdentity): TampError {
  const doubt = doubtOf(owner, here);
  const who = `process ${owner.pid} on ${owner.host} since ${owner.since}`;
  return new TampError("Locked", `${owner.root} is being maintained by ${who}`, {
    hint:
      doubt === null
        ? "wait until it is done, or end that process"
        : `wait until it is done; whether that process still runs cannot be told from here (${doubt}): if it is surely gone, delete the file ${path}`,
  });
}

/** The owner that a lock names, or null where nobody holds it. Rejects with `Locked` where it names none. */
export async function readOwner(fs: PublicationFs, path: string): Promise<LockOwner | null> {
  const text = await readLock(fs, path);
  if (text === null) return null;
  const owner = parseOwner(text);
  if (owner === null) throw noLock(path);
  return owner;
}

/** What every lock is shorter than. */
const MOST_BYTES = 64 * 1024;

async function readLock(fs: PublicationFs, path: string): Promise<string | null> {
  try {
    const entry = await fs.lstat(path);
    if (entry === null) return null;
    // A pipe would keep its reader waiting for ever.
    if (entry.kind === "file" && entry.sizeBytes <= MOST_BYTES) return await fs.readText(path);
  } catch (error) {
    const code = errno(error);
    // Under a name that is too long for the file system there is no lock.
    if (["ENOENT", "ENOTDIR", "ENAMETOOLONG"].includes(code)) return null;
    if (code === "") throw error;
    throw new TampError("Locked", `the lock ${path} cannot be read (${code}), so its holder is not known`, {
      hint: "run Tamp as the user whom the file belongs to, or make it readable",
    });
  }
  throw noLock(path);
}

function noLock(path: string): TampError {
  return new TampError("Locked", `${path} is not a lock that Tamp wrote`, {
    hint: "look at the file and move it away if nothing uses it",
  });
}

/** Null where the text is cut short or was never a lock. The nonce becomes part of a file's name. */
function parseOwner(text: string): LockOwner | null {
  let owner: Partial<LockOwner> | null;
  try {
    owner = JSON.parse(text);
  } catch {
    return null;
  }
  const { nonce, pid, processStart, host, bootId, pidNamespace, root, since } = owner ?? {};
  const texts = [nonce, processStart, host, bootId, pidNamespace, root, since];
  if (!texts.every((value) => typeof value === "string")) return null;
  if (!/^\w+$/.test(nonce ?? "") || !Number.isSafeInteger(pid)) return null;
  // Locks of the first versions name no machine.
  return { ...(owner as LockOwner), machineId: owner?.machineId ?? "" };
}

/** The contender's own file, of which lock and claims are links. */
interface OwnFile {
  readonly temp: string;
  made: Entry | null;
  /** A file of ours could not be removed. */
  litter: boolean;
}

/** A file of a lock is never written to after it was linked: the same inode and mtime are the same file. */
async function isLinked(fs: PublicationFs, { made }: OwnFile, path: string): Promise<boolean> {
  const entry = await fs.lstat(path);
  return entry !== null && made !== null && entry.inode === made.inode && entry.mtimeNs === made.mtimeNs;
}

/** False as well where a holder has cleaned away our own file while it was written. */
async function tryLink(fs: PublicationFs, own: OwnFile, to: string): Promise<boolean> {
  try {
    await fs.link(own.temp, to);
    return true;
  } catch (error) {
    // A file server whose answer was lost is asked twice, and then finds what it made itself.
    if (errno(error) === "EEXIST") return isLinked(fs, own, to);
    if (errno(error) === "ENOENT") return false;
    throw unwritable(to, error);
  }
}

function unwritable(path: string, error: unknown): unknown {
  const code = errno(error);
  if (code === "") return error;
  return new TampError("WorkspaceUnusable", `the lock ${path} cannot be made (${code})`, {
    hint: ["ENOSPC", "EDQUOT"].includes(code)
      ? "make room on that file system"
      : `a run needs to write to the folder ${dirname(path)} and to make hard links in it`,
    notDone: "no file was rewritten",
  });
}

/** The lock is ours. Whatever fails from here on must give it back: we are alive, so nobody else could. */
async function begin(request: LockRequest, lock: Lock): Promise<Lock> {
  try {
    await request.fs.sync(dirname(request.path));
    await sweep(request);
    return lock;
  } catch (error) {
    await lock.release();
    throw error;
  }
}

/**
 * Removes a dead owner's lock; answers the living claimant who is about to do so instead, or null. A claim is named
 * after the dead owner and made by `link` like the lock itself; that of a claimant who died is claimed in its turn.
 * While the dead owner's lock stands, only the last of them may touch it, so what is removed is what was judged,
 * however slow a contender is.
 */
async function removeStale({ fs, path, processes }: LockRequest, own: OwnFile): Promise<LockOwner | null> {
  const judged = await readOwner(fs, path);
  if (judged === null) return null;
  if (!(await isOver(processes, judged))) throw lockedBy(judged, path, await processes.self());
  const claims: string[] = [];
  for (let dead = judged; ; ) {
    const claim = `${path}.stale.${dead.nonce}`;
    claims.push(claim);
    if (await tryLink(fs, own, claim)) break;
    const claimant = await readOwner(fs, claim);
    if (claimant === null || !(await isOver(processes, claimant))) return claimant;
    dead = claimant;
  }
  try {
    if ((await readOwner(fs, path))?.nonce === judged.nonce) await fs.unlink(path);
  } catch (error) {
    // The dead owner's lock stands, and so must the claims that lead to its next claimant.
    await discardOwn(fs, own, claims.at(-1) ?? path);
    throw error;
  }
  for (const claim of claims) await discardOwn(fs, own, claim);
  return null;
}

function heldLock(fs: PublicationFs, path: string, nonce: string, own: OwnFile): Lock {
  return {
    nonce,
    async assertHeld() {
      if (await isLinked(fs, own, path)) return;
      throw new TampError("Locked", `the lock ${path} was taken away`, {
        hint: "run `tamp recover` on the dataset",
        notDone: "the run stopped where it was; recovery finishes or undoes it",
      });
    },
    async release() {
      try {
        if (await isLinked(fs, own, path)) await unlinkIfPresent(fs, path);
        // Where it could not be removed as soon as the lock was taken.
        await unlinkIfPresent(fs, own.temp);
      } catch {
        // What was done under the lock stands, and is what shall be answered.
        own.litter = true;
      }
      if (own.litter) abandoned.add(nonce);
    },
  };
}

/**
 * Removes what dead contenders left beside the lock that we hold: claims on locks that are gone, and their own files,
 * of which one killed while it wrote has no more than a part. A living one whose file is taken for that loses nothing
 * but this attempt.
 */
async function sweep({ fs, path, processes }: LockRequest): Promise<void> {
  const folder = dirname(path);
  const prefix = `${basename(path)}.`;
  try {
    for (const name of await fs.readdir(folder)) {
      const rest = name.startsWith(prefix) ? name.slice(prefix.length) : "";
      const isClaim = /^stale\.\w+$/.test(rest);
      if (!isClaim && !/^[0-9a-f]{24}$/.test(rest)) continue;
      const leftover = join(folder, name);
      const owner = parseOwner((await readLock(fs, leftover)) ?? "");
      if (owner === null ? !isClaim : await isOver(processes, owner)) await discard(fs, leftover);
    }
  } catch (error) {
    // Litter is no reason to refuse a run.
    if (!(error instanceof TampError) && errno(error) === "") throw error;
  }
}

async function discardOwn(fs: PublicationFs, own: OwnFile, path: string): Promise<void> {
  if (!(await discard(fs, path))) own.litter = true;
}

/** Removes a file that nobody needs; false where that failed, and the next holder cleans up. */
async function discard(fs: PublicationFs, path: string): Promise<boolean> {
  try {
    await unlinkIfPresent(fs, path);
    return true;
  } catch {
    return false;
  }
}
