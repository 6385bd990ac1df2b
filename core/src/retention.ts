/** What is kept of one run for undo. */
export interface RetainedRun {
  readonly runId: string;
  readonly retainedBytes: number;
  /** When it was published, milliseconds since the epoch. */
  readonly sinceMs: number;
}

/** How long originals are kept, and how many bytes of them. */
export interface Retention {
  readonly retentionMs: number;
  /** Null: no bound. */
  readonly maxRetainedBytes: number | null;
}

export interface RetentionInput {
  /** Oldest first. */
  readonly runs: readonly RetainedRun[];
  readonly retention: Retention;
  readonly nowMs: number;
  /** Originals that the run about to begin will add, and those that cannot go. */
  readonly incomingBytes: number;
  /** Before a run: a clock that jumped ahead must not cost the last undo. */
  readonly keepNewest: boolean;
}

/**
 * Runs whose originals are due to go: those past their retention, then as many of the oldest others as the bound on
 * bytes asks for, each oldest first. The bound never takes the newest run: something can always be undone.
 */
export function dueRuns(input: RetentionInput): readonly RetainedRun[] {
  const { runs, retention, nowMs, incomingBytes, keepNewest } = input;
  const { retentionMs, maxRetainedBytes } = retention;
  const newest = runs.at(-1);
  const isExpired = (run: RetainedRun): boolean =>
    nowMs - run.sinceMs >= retentionMs && !(keepNewest && run === newest);
  const due = runs.filter(isExpired);
  // By age, not by order: a clock that was set back must not keep old runs above the bound.
  const young = runs.filter((run) => !isExpired(run));
  let bytes = incomingBytes + sumBytes(young);
  for (const run of young) {
    if (maxRetainedBytes === null || bytes <= maxRetainedBytes || run === newest) break;
    due.push(run);
    bytes -= run.retainedBytes;
  }
  return due;
}

function sumBytes(runs: readonly RetainedRun[]): number {
  return runs.reduce((sum, run) => sum + run.retainedBytes, 0);
}
