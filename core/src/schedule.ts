/**
 * One running and one pending request per dataset (after rust-analyzer's `op_queue.rs`), as a plain value:
 * requests that come while one runs are merged into the pending one, the latest standing for all. Time is passed
 * in; all times are milliseconds since the epoch.
 */
export interface Schedule<T> {
  readonly running: T | null;
  readonly pending: T | null;
  /** When the pending request, or the first of those merged into it, came. */
  readonly sinceMs: number;
  /** The pending request may start at this time, not earlier. */
  readonly dueMs: number;
  /** End of the last cooldown: nothing starts before it. */
  readonly restUntilMs: number;
}

export const IDLE: Schedule<never> = { running: null, pending: null, sinceMs: 0, dueMs: 0, restUntilMs: 0 };

/** A steady stream of requests delays the first by this many delays, not for ever. */
const MOST_DELAYS = 10;

/** Adds a request that may start `delayMs` after `nowMs`; a later request moves the time on (debounce). */
export function request<T>(schedule: Schedule<T>, value: T, nowMs: number, delayMs = 0): Schedule<T> {
  const sinceMs = schedule.pending === null ? nowMs : schedule.sinceMs;
  const dueMs = Math.min(nowMs + delayMs, sinceMs + MOST_DELAYS * delayMs);
  return { ...schedule, pending: value, sinceMs, dueMs };
}

/** The request to start now, if any, and the schedule with it running. */
export function start<T>(
  schedule: Schedule<T>,
  nowMs: number,
): { readonly next: Schedule<T>; readonly started: T | null } {
  if (waitMs(schedule, nowMs) !== 0) return { next: schedule, started: null };
  return { next: { ...schedule, running: schedule.pending, pending: null }, started: schedule.pending };
}

/** Ends the running request; one that is pending, or comes, rests until `cooldownMs` have passed. */
export function finish<T>(schedule: Schedule<T>, nowMs: number, cooldownMs = 0): Schedule<T> {
  // No cooldown is no wait at all, even where the clock is set back.
  return { ...schedule, running: null, restUntilMs: cooldownMs > 0 ? nowMs + cooldownMs : 0 };
}

/** Milliseconds until a pending request may start; null where there is nothing to wait for. */
export function waitMs<T>(schedule: Schedule<T>, nowMs: number): number | null {
  if (schedule.running !== null || schedule.pending === null) return null;
  return Math.max(0, Math.max(schedule.dueMs, schedule.restUntilMs) - nowMs);
}
