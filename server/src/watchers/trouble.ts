/** What a watcher's errors and a root's file system mean, and what the user can do about them. */

export type WatchTrouble =
  /** No watch can be had any more: poll. */
  | { readonly kind: "limit"; readonly reason: string; readonly remedy: string }
  /** One directory may not be read: nobody sees into it until that is granted. */
  | { readonly kind: "denied"; readonly path: string; readonly code: string }
  /** Something may have been lost: look at everything once. */
  | { readonly kind: "lost"; readonly reason: string };

const TRIED_AGAIN = "it is tried again every minute";

export function classifyWatchError(error: unknown): WatchTrouble {
  const message = error instanceof Error ? error.message : String(error);
  const code = textOf(error, "code");
  switch (code) {
    case "ENOSPC":
      return {
        kind: "limit",
        reason: "The limit of inotify watches is reached (ENOSPC).",
        remedy: `Run "sysctl fs.inotify.max_user_watches=1048576" as root; ${TRIED_AGAIN}.`,
      };
    case "EMFILE":
    case "ENFILE":
      return {
        kind: "limit",
        reason: `The limit of inotify instances or open files is reached (${code}).`,
        remedy: `Run "sysctl fs.inotify.max_user_instances=1024" as root, or raise "ulimit -n"; ${TRIED_AGAIN}.`,
      };
    case "EACCES":
    case "EPERM": {
      const path = textOf(error, "path") ?? textOf(error, "filename");
      if (path !== null) return { kind: "denied", path, code };
      return { kind: "lost", reason: `watcher error: ${message}` };
    }
    default:
      return { kind: "lost", reason: `watcher error: ${message}` };
  }
}

/**
 * File systems of Linux whose changes on other machines raise no inotify event, by statfs type
 * (linux/magic.h, and the list of GNU stat). FUSE may be local, but the kernel sees no change made behind it.
 */
const REMOTE_FILE_SYSTEMS: ReadonlyMap<number, string> = new Map([
  [0x6969, "NFS"],
  [0xff534d42, "SMB (CIFS)"],
  [0xfe534d42, "SMB2"],
  [0x517b, "SMB"],
  [0x65735546, "FUSE"],
  [0x01021997, "9p"],
  [0x00c36400, "Ceph"],
  [0x5346414f, "AFS"],
  [0x6b414653, "AFS"],
  [0x73757245, "Coda"],
  [0x47504653, "GPFS"],
  [0x0bd00bd0, "Lustre"],
  [0x01161970, "GFS2"],
  [0x7461636f, "OCFS2"],
  [0x19830326, "BeeGFS"],
  [0xaad7aaea, "PanFS"],
  [0x786f4256, "VirtualBox"],
  [0xbacbacbc, "VMware"],
]);

/** The name of the file system where events cannot be trusted; null where they can. */
export function remoteFileSystem(type: number): string | null {
  // Some platforms hand the magic number out as a signed 32-bit value.
  return REMOTE_FILE_SYSTEMS.get(type >>> 0) ?? null;
}

function textOf(error: unknown, key: "code" | "path" | "filename"): string | null {
  if (typeof error !== "object" || error === null) return null;
  const value: unknown = Reflect.get(error, key);
  return typeof value === "string" ? value : null;
}
