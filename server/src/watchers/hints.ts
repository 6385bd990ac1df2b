/**
 * Decisions of the watcher as plain logic, time passed in: what to tell after a run of raw events, what an
 * error means, which names and file systems are not watched.
 */

export interface HintLimits {
  /** Raw events are gathered for this long, counted from the first one. */
  readonly windowMs: number;
  /** The window that follows an overflow: one burst shall not be told ten times a second. */
  readonly calmMs: number;
  /** Beyond this many different directories a full look at the disk is cheaper than hints. */
  readonly maxDirectories: number;
  /** Beyond this many raw events in one window the kernel may have dropped others without a word. */
  readonly maxEvents: number;
}

export const HINT_LIMITS: HintLimits = { windowMs: 100, calmMs: 1000, maxDirectories: 1000, maxEvents: 4000 };

export type Drained =
  | { readonly kind: "none" }
  | { readonly kind: "hints"; readonly directories: readonly string[] }
  | { readonly kind: "overflow"; readonly reason: string; readonly burst: boolean };

export interface HintBuffer {
  /** One raw event; null for an event that counts but means nothing (our own names). */
  readonly add: (directory: string | null, nowMs: number) => void;
  /** Something may have been lost; the first reason of a window is the one told. */
  readonly lose: (reason: string, nowMs: number) => void;
  /** When `drain` has something to say; null while it has not. */
  readonly dueMs: () => number | null;
  /** Hints of the window, or overflow in their place, and an empty buffer afterwards. */
  readonly drain: () => Drained;
}

export function createHintBuffer(limits: HintLimits): HintBuffer {
  const directories = new Set<string>();
  let events = 0;
  let lost: string | null = null;
  let openedMs: number | null = null;
  let windowMs = limits.windowMs;

  function drain(): Drained {
    const result = decide(limits, directories, events, lost);
    windowMs = result.kind === "overflow" ? limits.calmMs : limits.windowMs;
    directories.clear();
    events = 0;
    lost = null;
    openedMs = null;
    return result;
  }

  return {
    add: (directory, nowMs) => {
      openedMs ??= nowMs;
      events += 1;
      // One more than the limit is enough to know; a burst must not grow the set without bound.
      if (directory !== null && directories.size <= limits.maxDirectories) directories.add(directory);
    },
    lose: (reason, nowMs) => {
      openedMs ??= nowMs;
      lost ??= reason;
    },
    dueMs: () => (openedMs === null ? null : openedMs + windowMs),
    drain,
  };
}

/** The bound on raw events for a kernel queue of `queuedEvents`; null where the platform has none to read. */
export function maxRawEvents(queuedEvents: number | null): number {
  if (queuedEvents === null || !(queuedEvents > 0)) return HINT_LIMITS.maxEvents;
  return Math.max(1, Math.min(HINT_LIMITS.maxEvents, Math.floor(queuedEvents / 4)));
}

export type WatchTrouble =
  /** No watch can be had any more: poll. */
  | { readonly kind: "limit"; readonly reason: string; readonly remedy: string }
  /** Something may have been lost: look at everything once. */
  | { readonly kind: "lost"; readonly reason: string };

export function classifyWatchError(error: unknown): WatchTrouble {
  const message = error instanceof Error ? error.message : String(error);
  switch (codeOf(error)) {
    case "ENOSPC":
      return {
        kind: "limit",
        reason: "The limit of inotify watches is reached (ENOSPC).",
        remedy: "sysctl fs.inotify.max_user_watches=1048576",
      };
    case "EMFILE":
    case "ENFILE":
      return {
        kind: "limit",
        reason: `The limit of inotify instances or open files is reached (${codeOf(error)}).`,
        remedy: "sysctl fs.inotify.max_user_instances=1024, or raise `ulimit -n`",
      };
    default:
      return { kind: "lost", reason: `watcher error: ${message}` };
  }
}

/**
 * File systems of Linux whose changes on other machines raise no inotify event, by statfs type
 * (linux/magic.h). FUSE may be local, but the kernel sees no change made behind it.
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
]);

/** The name of the file system where events cannot be trusted; null where they can. */
export function remoteFileSystem(type: number): string | null {
  // Some platforms hand the magic number out as a signed 32-bit value.
  return REMOTE_FILE_SYSTEMS.get(type >>> 0) ?? null;
}

/** Run folders and temporary names of our own (`.tamp`, `.anything.tamp`): never entered, never told. */
export function isOwnName(name: string): boolean {
  return /^\.(?:.*\.)?tamp$/s.test(name);
}

/** `path` relative to `root` with `/` between the names, `""` for the root; null for a path outside. */
export function directoryBelow(root: string, path: string, separator: string): string | null {
  if (path === root) return "";
  const prefix = root.endsWith(separator) ? root : root + separator;
  if (!path.startsWith(prefix)) return null;
  return path.slice(prefix.length).split(separator).join("/");
}

function decide(
  limits: HintLimits,
  directories: ReadonlySet<string>,
  events: number,
  lost: string | null,
): Drained {
  const burst = events > limits.maxEvents || directories.size > limits.maxDirectories;
  if (lost !== null) return { kind: "overflow", reason: lost, burst };
  if (burst) return { kind: "overflow", reason: "burst", burst };
  if (directories.size === 0) return { kind: "none" };
  return { kind: "hints", directories: [...directories].sort() };
}

function codeOf(error: unknown): string | null {
  if (typeof error !== "object" || error === null || !("code" in error)) return null;
  return typeof error.code === "string" ? error.code : null;
}
