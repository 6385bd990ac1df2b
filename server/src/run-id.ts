/**
 * Ids sort by time: `20261123t201530123` and six random hex digits. One is later than all that are known even where
 * the clock was set back: which run can be undone first is told by the ids.
 */
export function nextRunId(
  nowMs: number,
  known: readonly string[],
  randomHex: (bytes: number) => string,
): string {
  const ms = known.reduce((latest, runId) => Math.max(latest, (timeOf(runId) ?? 0) + 1), nowMs);
  const stamp = new Date(ms)
    .toISOString()
    .replace(/[-:.Z]/g, "")
    .toLowerCase();
  return `${stamp}${randomHex(3)}`;
}

/** Milliseconds since the epoch; null for what is no id of ours. */
function timeOf(runId: string): number | null {
  const parts = /^(\d{4})(\d\d)(\d\d)t(\d\d)(\d\d)(\d\d)(\d{3})/.exec(runId);
  if (parts === null) return null;
  const [, year, month, day, hour, minute, second, milli] = parts;
  const ms = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}.${milli}Z`);
  return Number.isNaN(ms) ? null : ms;
}
