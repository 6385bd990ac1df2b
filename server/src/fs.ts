import { constants } from "node:fs";
import * as fsp from "node:fs/promises";

/** What `lstat` tells of a name, with nanoseconds and inodes as decimal strings. */
export interface Entry {
  readonly kind: "file" | "directory" | "symlink" | "other";
  readonly device: string;
  readonly inode: string;
  readonly sizeBytes: number;
  readonly mtimeNs: string;
  readonly ctimeNs: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Names that the inode has, hard links all. */
  readonly links: number;
}

/**
 * The narrow file-system port that publication, the journal, the lock and recovery act through. Every method
 * works on absolute paths and rejects with Node's error (`code`), but for `lstat`, where a missing name is null.
 */
export interface PublicationFs {
  lstat(path: string): Promise<Entry | null>;
  readdir(path: string): Promise<readonly string[]>;
  readText(path: string): Promise<string>;
  /** Creates a file that must not exist, writes it and fsyncs it. */
  writeNew(path: string, text: string): Promise<void>;
  /** Creates one directory; mode 0700. EEXIST where it stands already. */
  mkdir(path: string): Promise<void>;
  /** Hard link; EEXIST where `to` stands already. */
  link(from: string, to: string): Promise<void>;
  rename(from: string, to: string): Promise<void>;
  unlink(path: string): Promise<void>;
  rmdir(path: string): Promise<void>;
  chmod(path: string, mode: number): Promise<void>;
  chown(path: string, uid: number, gid: number): Promise<void>;
  /** fsync of a file or a directory. */
  sync(path: string): Promise<void>;
  realpath(path: string): Promise<string>;
  /** Bytes that may still be written to the file system of `path`. */
  freeBytes(path: string): Promise<number>;
  /** Last `length` bytes of a file. */
  readTail(path: string, length: number): Promise<Uint8Array>;
}

/** Node's error code of a rejected port call; `""` for anything else. */
export function errno(error: unknown): string {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "";
}

export const nodeFs: PublicationFs = {
  async lstat(path) {
    const found = await lstatOrNull(path);
    if (found === null) return null;
    return {
      kind: found.isFile()
        ? "file"
        : found.isDirectory()
          ? "directory"
          : found.isSymbolicLink()
            ? "symlink"
            : "other",
      device: String(found.dev),
      inode: String(found.ino),
      sizeBytes: Number(found.size),
      mtimeNs: String(found.mtimeNs),
      ctimeNs: String(found.ctimeNs),
      mode: Number(found.mode) & 0o7777,
      uid: Number(found.uid),
      gid: Number(found.gid),
      links: Number(found.nlink),
    };
  },
  readdir: (path) => fsp.readdir(path),
  readText: (path) => fsp.readFile(path, "utf8"),
  async writeNew(path, text) {
    await withHandle(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, async (handle) => {
      await handle.writeFile(text);
      await handle.sync();
    });
  },
  mkdir: (path) => fsp.mkdir(path, { mode: 0o700 }),
  link: (from, to) => fsp.link(from, to),
  rename: (from, to) => fsp.rename(from, to),
  unlink: (path) => fsp.unlink(path),
  rmdir: (path) => fsp.rmdir(path),
  chmod: (path, mode) => fsp.chmod(path, mode),
  chown: (path, uid, gid) => fsp.chown(path, uid, gid),
  sync: (path) => withHandle(path, constants.O_RDONLY, (handle) => handle.sync()),
  realpath: (path) => fsp.realpath(path),
  async freeBytes(path) {
    const { bavail, bsize } = await fsp.statfs(path);
    return bavail * bsize;
  },
  readTail: (path, length) =>
    withHandle(path, constants.O_RDONLY, async (handle) => {
      const { size } = await handle.stat();
      const bytes = new Uint8Array(Math.min(length, size));
      let done = 0;
      while (done < bytes.length) {
        const { bytesRead } = await handle.read(bytes, done, bytes.length - done, size - bytes.length + done);
        if (bytesRead === 0) throw new Error(`${path} shrank while it was read`);
        done += bytesRead;
      }
      return bytes;
    }),
};

async function lstatOrNull(path: string): Promise<Awaited<ReturnType<typeof lstatBig>> | null> {
  try {
    return await lstatBig(path);
  } catch (error) {
    if (errno(error) === "ENOENT" || errno(error) === "ENOTDIR") return null;
    throw error;
  }
}

function lstatBig(path: string) {
  return fsp.lstat(path, { bigint: true });
}

async function withHandle<T>(
  path: string,
  flags: number,
  use: (handle: fsp.FileHandle) => Promise<T>,
): Promise<T> {
  const handle = await fsp.open(path, flags, 0o600);
  try {
    return await use(handle);
  } finally {
    await handle.close();
  }
}
