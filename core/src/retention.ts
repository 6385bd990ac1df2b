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
  /** Originals that the run about to begin will add. */
  readonly incomingBytes: number;
}

/**
 * Runs whose originals are due to go, oldest first: those past their retention, then as many of the oldest as the
 * bound on bytes asks for. The bound never takes the newest run: something can always be undone.
 */
export function dueRuns({ runs, retention, nowMs, incomingBytes }: RetentionInput): readonly RetainedRun[] {
  const { retentionMs, maxRetainedBytes } = retention;
  const newest = runs.at(-1);
  let bytes = incomingBytes + runs.reduce((sum, run) => sum + run.retainedBytes, 0);
  const due: RetainedRun[] = [];
  // The old ones count first, wherever they stand: a clock that was set back must not keep them above the bound.
  for (const expired of [true, false]) {
    for (const run of runs) {
      if (nowMs - run.sinceMs >= retentionMs !== expired) continue;
      const above = maxRetainedBytes !== null && bytes > maxRetainedBytes && run !== newest;
      if (!expired && !above) continue;
      due.push(run);
      bytes -= run.retainedBytes;
    }
  }
  return due;
}
