const UNITS = { ms: 1, s: 1_000, min: 60_000, h: 3_600_000, d: 86_400_000 } as const;

type Unit = keyof typeof UNITS;

/** `7d`, `12h`, `30min`, `90s`, `250ms` in milliseconds; a bare number is milliseconds. Null for anything else. */
export function parseDuration(text: string): number | null {
  const match = /^(\d+(?:\.\d+)?)\s*(ms|s|min|h|d)?$/.exec(text.trim());
  if (match === null) return null;
  const ms = Math.round(Number(match[1]) * UNITS[(match[2] ?? "ms") as Unit]);
  return Number.isSafeInteger(ms) ? ms : null;
}

/** The largest unit that gives a whole number: `7 d`, `36 h`, `250 ms`. */
export function formatDuration(ms: number): string {
  const units = Object.entries(UNITS).reverse();
  const [name, size] = units.find(([, unit]) => ms >= unit && ms % unit === 0) ?? ["ms", 1];
  return `${ms / size} ${name}`;
}
