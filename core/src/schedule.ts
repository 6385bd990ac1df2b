/**
 * One running and one pending request per dataset (after rust-analyzer's `op_queue.rs`), as a plain value:
 * requests that come while one runs are merged into the pending one. Time is passed in, milliseconds.
 */
export interface Schedule<T> {
  readonly running: T | null;
  readonly pending: T | null;
  /** The pending request may start at this time, not earlier. */
  readonly dueMs: number;
}

export const IDLE: Schedule<never> = { running: null, pending: null, dueMs: 0 };

/** Adds a request that may start `delayMs` after `nowMs`; a later request moves the time on (debounce). */
export function request<T>(schedule: Schedule<T>, value: T, nowMs: number, delayMs = 0): Schedule<T> {
  return { running: schedule.running, pending: value, dueMs: nowMs + delayMs };
}

/** The request to start now, if any, and the schedule with it running. */
export function start<T>(
  schedule: Schedule<T>,
  nowMs: number,
): { readonly next: Schedule<T>; readonly started: T | null } {
  if (schedule.running !== null || schedule.pending === null || nowMs < schedule.dueMs) {
    return { next: schedule, started: null };
  }
  return { next: { running: schedule.pending, pending: null, dueMs: 0 }, started: schedule.pending };
}

/** Ends the running request; a pending one rests for `cooldownMs` at least. */
export function finish<T>(schedule: Schedule<T>, nowMs: number, cooldownMs = 0): Schedule<T> {
  return { running: null, pending: schedule.pending, dueMs: Math.max(schedule.dueMs, nowMs + cooldownMs) };
}

/** Milliseconds until a pending request may start; null where there is nothing to wait for. */
export function waitMs<T>(schedule: Schedule<T>, nowMs: number): number | null {
  if (schedule.running !== null || schedule.pending === null) return null;
  return Math.max(0, schedule.dueMs - nowMs);
}
