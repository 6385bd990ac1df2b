/** Decisions of the watcher as plain logic, time passed in: what to tell after a run of raw events, and of which names. */

export interface HintLimits {
  /** After quiet, raw events are gathered for this long, counted from the first one: a single file is told soon. */
  readonly firstMs: number;
  /** Under load each window is twice as long as the one before, up to this. */
  readonly windowMs: number;
  /** A window with more raw events than this is load. */
  readonly busyEvents: number;
  /** The window that follows an overflow: one burst shall not be told ten times a second. */
  readonly calmMs: number;
  /** Beyond this many different directories a full look at the disk is cheaper than hints. */
  readonly maxDirectories: number;
  /** Beyond this many raw events in one window the kernel may have dropped others without a word. */
  readonly maxEvents: number;
}

export const HINT_LIMITS: HintLimits = {
  firstMs: 20,
  windowMs: 160,
  busyEvents: 100,
  calmMs: 1000,
  maxDirectories: 1000,
  maxEvents: 4000,
};

export type Drained =
  | { readonly kind: "none" }
  | { readonly kind: "hints"; readonly directories: readonly string[] }
  | { readonly kind: "overflow"; readonly reason: string };

/** Times are monotonic. */
export interface HintBuffer {
  /** One raw event; null for an event that counts but means nothing (our own names). */
  readonly add: (directory: string | null, nowMs: number) => void;
  /** Something may have been lost; the first reason of a window is the one told. */
  readonly lose: (reason: string, nowMs: number) => void;
  /** When `drain` has something to say; null while it has not. */
  readonly dueMs: () => number | null;
  /** Hints of the window, or overflow in their place, and an empty buffer afterwards. */
  readonly drain: (nowMs: number) => Drained;
}

export function createHintBuffer(limits: HintLimits): HintBuffer {
  const directories = new Set<string>();
  let events = 0;
  let lost: string | null = null;
  let openedMs: number | null = null;
  let windowMs = limits.firstMs;
  let drainedMs = Number.NEGATIVE_INFINITY;

  function open(nowMs: number): void {
    if (openedMs !== null) return;
    openedMs = nowMs;
    // Nothing came for a whole window: the load is over.
    if (nowMs - drainedMs > windowMs) windowMs = limits.firstMs;
  }

  function drain(nowMs: number): Drained {
    const result = decide(limits, directories, events, lost);
    windowMs = nextWindowMs(limits, result, events, windowMs);
    drainedMs = nowMs;
    directories.clear();
    events = 0;
    lost = null;
    openedMs = null;
    return result;
  }

  return {
    add: (directory, nowMs) => {
      open(nowMs);
      events += 1;
      // One more than the limit is enough to know; a burst must not grow the set without bound.
      if (directory !== null && directories.size <= limits.maxDirectories) directories.add(directory);
    },
    lose: (reason, nowMs) => {
      open(nowMs);
      lost ??= reason;
    },
    dueMs: () => (openedMs === null ? null : openedMs + windowMs),
    drain,
  };
}

function nextWindowMs(limits: HintLimits, last: Drained, events: number, windowMs: number): number {
  if (last.kind === "overflow") return limits.calmMs;
  if (events <= limits.busyEvents) return limits.firstMs;
  return Math.min(2 * windowMs, limits.windowMs);
}

/** The bound on raw events for a kernel queue of `queuedEvents`; null where the platform has none to read. */
export function maxRawEvents(queuedEvents: number | null): number {
  if (queuedEvents === null || !(queuedEvents > 0)) return HINT_LIMITS.maxEvents;
  return Math.max(1, Math.min(HINT_LIMITS.maxEvents, Math.floor(queuedEvents / 4)));
}

/**
 * Counts the raw events that are read at one time; `later` runs its argument when all of them were. Too many, and
 * the queue, which all roots share, may have run over: it drops events of any root and says nothing.
 */
export function createFloodGauge(
  maxEvents: number,
  later: (run: () => void) => void,
  onFlood: () => void,
): () => void {
  let events = 0;
  return () => {
    events += 1;
    if (events > 1) return;
    later(() => {
      const isFlood = events > maxEvents;
      events = 0;
      if (isFlood) onFlood();
    });
  };
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
  if (lost !== null) return { kind: "overflow", reason: lost };
  if (events > limits.maxEvents || directories.size > limits.maxDirectories)
    return { kind: "overflow", reason: "burst" };
  if (directories.size === 0) return { kind: "none" };
  return { kind: "hints", directories: [...directories].sort() };
}
