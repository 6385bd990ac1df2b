import picocolors from "picocolors";

/** Colours by meaning; each leaves the text as it is where colours are off. */
export interface Paint {
  bold(text: string): string;
  dim(text: string): string;
  good(text: string): string;
  warn(text: string): string;
  bad(text: string): string;
}

export function createPaint(enabled: boolean): Paint {
  const { bold, dim, green, yellow, red } = picocolors.createColors(enabled);
  return { bold, dim, good: green, warn: yellow, bad: red };
}

/** The colour of a health score. */
export function paintScore(paint: Paint, score: number): string {
  const text = String(score);
  if (score >= 90) return paint.good(text);
  return score >= 60 ? paint.warn(text) : paint.bad(text);
}
