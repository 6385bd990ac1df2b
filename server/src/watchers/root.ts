import { constants } from "node:fs";
import { access, lstat, realpath, stat, statfs } from "node:fs/promises";
import { dirname, sep } from "node:path";
import { remoteFileSystem } from "./trouble.ts";

/** What stands at the path of a root now. */
export type Found =
  | { readonly kind: "missing"; readonly reason: string }
  /** It is there and may not be listed. */
  | { readonly kind: "denied"; readonly reason: string }
  | Directory;

export interface Directory {
  readonly kind: "directory";
  /** Real path: the root may be a link; links below it are not followed. */
  readonly path: string;
  /** Path, device and inode. */
  readonly key: string;
  /** Tells a new directory that was given the inode of the old one. */
  readonly bornNs: bigint;
  /** Type of the file system as statfs gives it; 0 but on Linux. */
  readonly type: number;
}

export async function find(root: string): Promise<Found> {
  try {
    const path = await realpath(root);
    const stats = await stat(path, { bigint: true });
    if (!stats.isDirectory()) return { kind: "missing", reason: "The path is not a folder." };
    const type = process.platform === "linux" ? (await statfs(path)).type : 0;
    return {
      kind: "directory",
      path,
      key: `${path}\n${stats.dev}:${stats.ino}`,
      bornNs: stats.birthtimeNs,
      type,
    };
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : "unknown";
    return {
      kind: "missing",
      reason: code === "ENOENT" ? "The folder does not exist." : `The folder cannot be reached (${code}).`,
    };
  }
}

/** Times of birth are compared only after an event: where the file system keeps none they are not stable. */
export function isSame(before: Found | null, found: Directory, rootEvent: boolean): boolean {
  if (before?.kind !== "directory" || before.key !== found.key) return false;
  return !rootEvent || before.bornNs === found.bornNs;
}

export function reasonToPoll(found: Directory): string | null {
  const remote = remoteFileSystem(found.type);
  if (remote !== null)
    return `The folder is on a network file system (${remote}), which does not tell of all changes.`;
  // chokidar turns every backslash of a given path into a slash.
  if (sep === "/" && found.path.includes("\\"))
    return "The path holds a backslash, which the watcher cannot take.";
  return null;
}

export async function nearestAncestor(root: string): Promise<string> {
  let path = dirname(root);
  while (path !== dirname(path)) {
    const stats = await stat(path).catch(() => null);
    if (stats?.isDirectory()) break;
    path = dirname(path);
  }
  return path;
}

/** Also true where no directory stands any more: nothing is in the way then. */
export async function canRead(path: string): Promise<boolean> {
  try {
    if ((await lstat(path)).isDirectory()) await access(path, constants.R_OK | constants.X_OK);
    return true;
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "ENOENT";
  }
}
