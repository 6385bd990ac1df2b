import { randomBytes } from "node:crypto";
import { dirname } from "node:path";
import { TampError } from "./errors.ts";
import { type Entry, errno, type PublicationFs } from "./fs.ts";
import { unlinkIfPresent } from "./journal.ts";
import type { Processes, ProcessIdentity } from "./processes.ts";

/** Who holds a dataset. All of it together proves that an owner is dead, or does not. */
export interface LockOwner extends ProcessIdentity {
  readonly nonce: string;
  readonly root: string;
  readonly since: string;
}

export interface Lock {
  readonly nonce: string;
  /** Rejects where the lock is no longer ours. */
  assertHeld(): Promise<void>;
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
  const { fs, path } = request;
  const { root, since } = request;
  const nonce = randomBytes(12).toString("hex");
  const owner: LockOwner = { nonce, ...(await request.processes.self()), root, since };
  const temp = `${path}.${owner.nonce}`;
  await fs.writeNew(temp, `${JSON.stringify(owner)}\n`);
  const made = await fs.lstat(temp);
  try {
    for (let attempt = 0; attempt < 3; attempt += 1) {
      if (await tryLink(fs, temp, path)) {
        await fs.sync(dirname(path));
        return held(fs, path, owner.nonce, made);
      }
      await removeStale(request, temp);
    }
    throw await lockedBy(fs, path);
  } finally {
    await unlinkIfPresent(fs, temp);
  }
}

async function tryLink(fs: PublicationFs, from: string, to: string): Promise<boolean> {
  try {
    await fs.link(from, to);
    return true;
  } catch (error) {
    if (errno(error) === "EEXIST") return false;
    throw error;
  }
}

/**
 * Removes a dead owner's lock. A claim is named after the dead owner and made by `link` like the lock itself; that
 * of a claimant who died is claimed in its turn. While the dead owner's lock stands, only the last of them may
 * touch it, so what is removed is what was judged, however slow a contender is.
 */
async function removeStale({ fs, path, processes }: LockRequest, temp: string): Promise<void> {
  const judged = await readOwner(fs, path);
  if (judged === null) return;
  if (!(await processes.isDead(judged))) throw await lockedBy(fs, path);
  const claims: string[] = [];
  for (let dead = judged; ; ) {
    const claim = `${path}.stale.${dead.nonce}`;
    claims.push(claim);
    if (await tryLink(fs, temp, claim)) break;
    const claimant = await readOwner(fs, claim);
    if (claimant === null || !(await processes.isDead(claimant))) return;
    dead = claimant;
  }
  try {
    if ((await readOwner(fs, path))?.nonce === judged.nonce) await fs.unlink(path);
  } finally {
    for (const claim of claims) await unlinkIfPresent(fs, claim);
  }
}

/** The owner of a dataset's lock, or null where nobody holds it. */
export async function readOwner(fs: PublicationFs, path: string): Promise<LockOwner | null> {
  try {
    const owner: unknown = JSON.parse(await fs.readText(path));
    if (isOwner(owner)) return owner;
  } catch (error) {
    if (errno(error) === "ENOENT" || errno(error) === "ENOTDIR") return null;
    if (!(error instanceof SyntaxError)) throw error;
  }
  throw unreadableLock(path);
}

/** The nonce becomes part of a file's name. */
function isOwner(value: unknown): value is LockOwner {
  const owner = value as LockOwner | null;
  return typeof owner?.nonce === "string" && /^\w+$/.test(owner.nonce) && Number.isSafeInteger(owner.pid);
}

function unreadableLock(path: string): TampError {
  return new TampError("Locked", `${path} is not a lock that Tamp wrote`, {
    hint: "look at the file and move it away if nothing uses it",
  });
}

function held(fs: PublicationFs, path: string, nonce: string, made: Entry | null): Lock {
  /** A lock file is never written to after it was linked: the same inode and mtime are the same lock. */
  const isOurs = async (): Promise<boolean> => {
    const entry = await fs.lstat(path);
    return entry !== null && made !== null && entry.inode === made.inode && entry.mtimeNs === made.mtimeNs;
  };
  return {
    nonce,
    async assertHeld() {
      if (await isOurs()) return;
      throw new TampError("Locked", `the lock ${path} was taken away`, {
        hint: "run `tamp recover` on the dataset",
        notDone: "the run stopped where it was; recovery finishes or undoes it",
      });
    },
    async release() {
      if (await isOurs()) await unlinkIfPresent(fs, path);
    },
  };
}

async function lockedBy(fs: PublicationFs, path: string): Promise<TampError> {
  const owner = await readOwner(fs, path);
  const who =
    owner === null ? "another process" : `process ${owner.pid} on ${owner.host} since ${owner.since}`;
  return new TampError("Locked", `${owner?.root ?? "the dataset"} is being maintained by ${who}`, {
    hint: "wait until it is done, or end that process",
  });
}
