import type { DatasetSummary, ThresholdCrossedParams } from "@tamp/server/protocol";
import { countOf, formatSize, nameOf } from "./format.ts";
import { outputFileCount } from "./plan-text.ts";

/** Dataset → files to rewrite when its crossing was told last. */
export type Told = Readonly<Record<string, number>>;

/** A crossing that was told is told again once it is this much worse. */
const WORSE_FACTOR = 1.5;

/** Tells each crossing once, over restarts of window and daemon too, until the dataset has been healthy. */
export class NoticeLedger {
  readonly #told: Map<string, number>;
  readonly #save: (told: Told) => void;

  constructor(told: Told, save: (told: Told) => void) {
    this.#told = new Map(Object.entries(told));
    this.#save = save;
  }

  isNew(dataset: string, files: number): boolean {
    const last = this.#told.get(dataset);
    if (last !== undefined && files < last * WORSE_FACTOR) return false;
    this.#told.set(dataset, files);
    this.#save(Object.fromEntries(this.#told));
    return true;
  }

  observe({ dataset, state, health }: DatasetSummary): void {
    const isHealthy = state === "ready" && health.score === 100;
    if (isHealthy && this.#told.delete(dataset)) this.#save(Object.fromEntries(this.#told));
  }
}

export function noticeText({ dataset, plan }: ThresholdCrossedParams): string {
  const { compactedFileCount, rewrittenBytes } = plan.stats;
  return `${nameOf(dataset)} has ${countOf(compactedFileCount, "file")} (${formatSize(rewrittenBytes)}) that could be about ${countOf(outputFileCount(plan), "file")}.`;
}
