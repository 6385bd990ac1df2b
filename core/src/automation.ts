import type { Crossing } from "./plan.ts";

/** What was told of crossed thresholds: files to be rewritten of each partition that was over one. */
export type Told = ReadonlyMap<string, number>;

export const NOTHING_TOLD: Told = new Map();

/** What was told is told again once so much more is to be rewritten, or so many more partitions are. */
const WORSE_FACTOR = 1.5;

/**
 * Whether people should hear of the crossings of a plan. A crossing is told once. It is told again when what was
 * told has got worse by half, in files or in partitions: of one partition the second is news, of a hundred the
 * hundred and fiftieth, so that a stream of new partitions is told ever more seldom. What was resolved is forgotten:
 * crossed again, it is news again.
 */
export function decideCrossing(
  told: Told,
  { crossings }: { readonly crossings: readonly Crossing[] },
): { readonly kind: "tell" | "silent"; readonly told: Told } {
  let files = 0;
  let toldFiles = 0;
  const still = new Map<string, number>();
  for (const crossing of crossings) {
    files += crossing.files;
    const known = told.get(crossing.partition);
    if (known === undefined) continue;
    toldFiles += known;
    still.set(crossing.partition, known);
  }
  const added = crossings.length - still.size;
  const isNews = added > 0 && added >= still.size * (WORSE_FACTOR - 1);
  const isWorse = files > toldFiles && files >= toldFiles * WORSE_FACTOR;
  if (!isNews && !(isWorse && crossings.length > 0)) return { kind: "silent", told: still };
  return { kind: "tell", told: new Map(crossings.map((crossing) => [crossing.partition, crossing.files])) };
}

/** Hours of the local day in which nothing is executed, in minutes from midnight; the end is not within them. */
export interface QuietHours {
  readonly fromMinute: number;
  /** Before `fromMinute`: the hours go past midnight. The same: no hours at all. */
  readonly toMinute: number;
}

/** What a policy and earlier runs say of when to execute. */
export interface AutomationLimits {
  /** Minutes that local time is ahead of UTC. */
  readonly utcOffsetMinutes: number;
  readonly quietHours: readonly QuietHours[];
  /** Input bytes that automatic runs may rewrite in one local day; null: no bound. */
  readonly dailyBudgetBytes: number | null;
  readonly spentBytesToday: number;
  /** Least time between the end of a run and the next. */
  readonly cooldownMs: number;
  /** Milliseconds since the epoch; null before the first run. */
  readonly lastRunEndMs: number | null;
}

export interface ExecutionInput extends AutomationLimits {
  /** Milliseconds since the epoch. */
  readonly nowMs: number;
  /** Bytes that are there to be rewritten. */
  readonly inputBytes: number;
}

export type ExecutionDecision =
  /** At most so many input bytes; null: no bound. */
  | { readonly kind: "run"; readonly maxBytes: number | null }
  | { readonly kind: "wait"; readonly untilMs: number; readonly reason: string };

const MINUTE_MS = 60_000;
const DAY_MINUTES = 1_440;

/** Whether to execute now; where several things stand against it, the one that lasts longest is told. */
export function decideExecution(input: ExecutionInput): ExecutionDecision {
  const { nowMs, dailyBudgetBytes, spentBytesToday, lastRunEndMs, cooldownMs } = input;
  const waits: { readonly untilMs: number; readonly reason: string }[] = [];
  const quietUntilMs = endOfQuiet(input);
  if (quietUntilMs > nowMs)
    waits.push({ untilMs: quietUntilMs, reason: "nothing is executed in quiet hours" });
  // A run that ended in the future was timed by a clock that has been set back since.
  const restUntilMs = lastRunEndMs === null ? nowMs : Math.min(lastRunEndMs, nowMs) + cooldownMs;
  if (restUntilMs > nowMs)
    waits.push({ untilMs: restUntilMs, reason: "the dataset rests after its last run" });
  const left = dailyBudgetBytes === null ? null : dailyBudgetBytes - spentBytesToday;
  if (left !== null && left <= 0)
    waits.push({ untilMs: nextMidnight(input), reason: "the budget of the day is spent" });
  const [longest] = waits.sort((a, b) => b.untilMs - a.untilMs);
  if (longest !== undefined) return { kind: "wait", ...longest };
  return { kind: "run", maxBytes: left };
}

/** The end of the quiet hours that hold now, one after the other where they meet, a day at most; now outside of them. */
function endOfQuiet({ nowMs, utcOffsetMinutes, quietHours }: ExecutionInput): number {
  let atMs = nowMs;
  for (let round = 0; round < quietHours.length; round += 1) {
    const minute = minuteOfDay(atMs, utcOffsetMinutes);
    const within = quietHours.find((hours) => isWithin(minute, hours));
    if (within === undefined) break;
    const left = (within.toMinute - minute + DAY_MINUTES) % DAY_MINUTES || DAY_MINUTES;
    atMs = (Math.floor(atMs / MINUTE_MS) + left) * MINUTE_MS;
  }
  return atMs;
}

function isWithin(minute: number, { fromMinute, toMinute }: QuietHours): boolean {
  if (fromMinute <= toMinute) return minute >= fromMinute && minute < toMinute;
  return minute >= fromMinute || minute < toMinute;
}

function minuteOfDay(atMs: number, utcOffsetMinutes: number): number {
  const minutes = Math.floor(atMs / MINUTE_MS) + utcOffsetMinutes;
  return ((minutes % DAY_MINUTES) + DAY_MINUTES) % DAY_MINUTES;
}

function nextMidnight({ nowMs, utcOffsetMinutes }: ExecutionInput): number {
  const left = DAY_MINUTES - minuteOfDay(nowMs, utcOffsetMinutes);
  return (Math.floor(nowMs / MINUTE_MS) + left) * MINUTE_MS;
}

/**
 * Tells a burst of changes from a stream: a vessel that each change fills and time drains. Full, a burst is going
 * on until it is empty; a stream slower than the drain never fills it. All times are monotonic milliseconds.
 */
export interface Burst {
  readonly level: number;
  readonly atMs: number;
  /** When the burst that goes on began; null while there is none. */
  readonly sinceMs: number | null;
}

export const NO_BURST: Burst = { level: 0, atMs: 0, sinceMs: null };

const BURST_FILES = 50;
const DRAINED_PER_MS = 25 / 1_000;
/** What lasts longer is no burst but how the dataset is written: it must be judged all the same. */
const LONGEST_BURST_MS = 120_000;

/** So many files have changed now. */
export function noteChanges(burst: Burst, files: number, nowMs: number): Burst {
  const before = levelAt(burst, nowMs);
  const sinceMs = before === 0 ? null : burst.sinceMs;
  // Never fuller than full, so that a burst of any size is over two seconds after its last change.
  const level = Math.min(BURST_FILES, before + files);
  return { level, atMs: nowMs, sinceMs: sinceMs ?? (level >= BURST_FILES ? nowMs : null) };
}

/** When the burst that goes on is over at the earliest, or null while there is none. */
export function burstOverMs(burst: Burst, nowMs: number): number | null {
  if (burst.sinceMs === null) return null;
  const overMs = Math.min(burst.atMs + burst.level / DRAINED_PER_MS, burst.sinceMs + LONGEST_BURST_MS);
  return nowMs < overMs ? overMs : null;
}

function levelAt({ level, atMs }: Burst, nowMs: number): number {
  return Math.max(0, level - Math.max(0, nowMs - atMs) * DRAINED_PER_MS);
}
