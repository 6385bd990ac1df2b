import type { QuietHours } from "./automation.ts";

const LAST_MINUTE = 24 * 60;

/** `08:00-18:00`, or past midnight `22:00-06:00`; `24:00` is the end of the day. Null for anything else. */
export function parseQuietHours(text: string): QuietHours | null {
  const match = /^\s*(\d{1,2}):(\d\d)\s*-\s*(\d{1,2}):(\d\d)\s*$/.exec(text);
  if (match === null) return null;
  const [, fromHour, fromMinute, toHour, toMinute] = match.map(Number);
  const from = minuteOf(fromHour, fromMinute);
  const to = minuteOf(toHour, toMinute);
  if (from === null || to === null || from === to || from === LAST_MINUTE) return null;
  return { fromMinute: from, toMinute: to };
}

function minuteOf(hour = 0, minute = 0): number | null {
  const minutes = hour * 60 + minute;
  return minute < 60 && minutes <= LAST_MINUTE ? minutes : null;
}
