import { type Plan, SKIP_REASONS, type SkippedFile, type SkipReason } from "./plan.ts";

/** What a plan leaves out: counted by reason, and listed where the list is wanted. */
export interface Skips {
  readonly counts: Map<SkipReason, number>;
  readonly list: SkippedFile[] | null;
}

export function createSkips(listed: boolean): Skips {
  return { counts: new Map(), list: listed ? [] : null };
}

export function skip(skips: Skips, path: string, reason: SkipReason, detail = ""): void {
  skips.counts.set(reason, (skips.counts.get(reason) ?? 0) + 1);
  skips.list?.push({ path, reason, detail });
}

/** In the order of SKIP_REASONS, so that the same skips give the same text. */
export function countsOf({ counts }: Skips): Plan["skippedByReason"] {
  const found = SKIP_REASONS.filter((reason) => counts.has(reason));
  return Object.fromEntries(found.map((reason) => [reason, counts.get(reason) ?? 0]));
}
