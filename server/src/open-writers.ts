import { readdir, readFile, readlink, stat } from "node:fs/promises";
import { mapLimit } from "./map-limit.ts";

export interface FileKey {
  readonly device: string;
  readonly inode: string;
}

/**
 * For each file the process that holds a descriptor to write to it, or null where none is known: under whatever name
 * the file was opened. Not seen are processes of other users (unless root asks), of other PID namespaces and machines,
 * and a shared mapping whose descriptor was closed.
 */
export type OpenWriters = (files: readonly FileKey[]) => Promise<readonly (number | null)[]>;

interface Descriptor {
  readonly pid: number;
  readonly link: string;
  /** `""` where the kernel does not tell (before 5.14). */
  readonly inode: string;
}

/** A look is used again for this many times as long as it took: small groups in a row pay a tenth at most. */
const REUSE_FACTOR = 10;
const LOOKS_AT_ONCE = 8;
const O_ACCMODE = 3;

/** Looks through `/proc`; on systems without it nobody is ever found. `clock`: monotonic milliseconds. */
export function createOpenWriters(clock: () => number): OpenWriters {
  let latest: { readonly descriptors: readonly Descriptor[]; readonly untilMs: number } | null = null;
  return async (files) => {
    if (latest === null || clock() >= latest.untilMs) {
      const begin = clock();
      const descriptors = await writeDescriptors();
      const end = clock();
      latest = { descriptors, untilMs: end + (end - begin) * REUSE_FACTOR };
    }
    const writers = await writersOf(latest.descriptors, new Set(files.map(({ inode }) => inode)));
    return files.map((file) => writers.get(keyOf(file)) ?? null);
  };
}

/** Descriptors that writes can go through, of every process that we may look into. */
async function writeDescriptors(): Promise<readonly Descriptor[]> {
  const names = (await orNull(readdir("/proc"))) ?? [];
  const pids = names.filter((name) => /^\d+$/.test(name));
  const lists = await mapLimit(pids, LOOKS_AT_ONCE, async (pid) => {
    const fds = (await orNull(readdir(`/proc/${pid}/fd`))) ?? [];
    return fds.map((fd) => ({ pid, fd }));
  });
  const found = await mapLimit(
    lists.flat(),
    LOOKS_AT_ONCE,
    async ({ pid, fd }): Promise<Descriptor | null> => {
      const inode = await writableInode(pid, fd);
      return inode === null ? null : { pid: Number(pid), link: `/proc/${pid}/fd/${fd}`, inode };
    },
  );
  return found.filter((descriptor) => descriptor !== null);
}

/** Null for what is no file or only read from. Asks the process table alone: a hung file server hangs nobody here. */
async function writableInode(pid: string, fd: string): Promise<string | null> {
  const path = await orNull(readlink(`/proc/${pid}/fd/${fd}`));
  if (path === null || !path.startsWith("/") || path === "/dev/null") return null;
  const info = await orNull(readFile(`/proc/${pid}/fdinfo/${fd}`, "utf8"));
  const flags = /^flags:\s*([0-7]+)$/m.exec(info ?? "")?.[1];
  if (flags === undefined || (Number.parseInt(flags, 8) & O_ACCMODE) === 0) return null;
  return /^ino:\s*(\d+)$/m.exec(info ?? "")?.[1] ?? "";
}

/** By device and inode, as they are now. */
async function writersOf(
  descriptors: readonly Descriptor[],
  inodes: ReadonlySet<string>,
): Promise<ReadonlyMap<string, number>> {
  const writers = new Map<string, number>();
  const suspects = descriptors.filter(({ inode }) => inode === "" || inodes.has(inode));
  await mapLimit(suspects, LOOKS_AT_ONCE, async ({ pid, link }) => {
    const found = await orNull(stat(link, { bigint: true }));
    if (found !== null) writers.set(keyOf({ device: String(found.dev), inode: String(found.ino) }), pid);
  });
  return writers;
}

function keyOf({ device, inode }: FileKey): string {
  return `${device}:${inode}`;
}

/** Processes end and descriptors are closed while we look; others' may not be looked at. */
function orNull<T>(read: Promise<T>): Promise<T | null> {
  return read.catch(() => null);
}
