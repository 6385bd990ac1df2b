import { type Candidate, isMendable } from "./candidate.ts";
import type { Crossing } from "./plan.ts";
import type { Policy } from "./policy.ts";
import { STRETCH } from "./steps.ts";

export interface Moment {
  readonly policy: Policy;
  /** Milliseconds since the epoch. */
  readonly nowMs: number;
  /** Told of every time in the future at which what is judged now may change. */
  readonly due: (atMs: number) => void;
}

/** What became of the claim of a partition's small files to be rewritten. */
export interface Gate {
  /** The threshold that opened it, and what stands against it; null: it is shut. */
  readonly opened: Pick<Crossing, "trigger" | "limit" | "value"> | null;
  /** What runs published goes along whatever tier it reaches: nothing rests, or nothing comes any more. */
  readonly takesAll: boolean;
  /** No file of the partition may be rewritten: it was, a short time ago. */
  readonly cooling: boolean;
  /** Small files that count. */
  readonly small: number;
}

/**
 * What runs published is rewritten for its age once no small file has come for so many times the least age: well
 * above the time after which two new files are merged, so that a slow stream is not taken for one that has ended.
 */
const END_FACTOR = 24;
/** To rewrite much for little waits longer in proportion, up to so many times. */
const MOST_PATIENCE = 7;
/** Nor before nothing has come for so many times the span in which the small files came: a stream keeps its rhythm. */
const SPAN_FACTOR = 2;

/** The small files of a partition. Those that runs published stand apart, but where a policy lets nothing rest. */
interface Weights {
  raw: number;
  published: number;
  bytes: number;
  largestPublished: number;
  /** When the two raw ones that changed first did; infinity where there are fewer. */
  firstMs: number;
  secondMs: number;
  oldestMs: number;
  newestMs: number;
  /** When the file that a run wrote last changed. */
  lastRunMs: number;
}

/**
 * Judges whether the small files of a partition are to be rewritten. Only what came from outside opens the gate by
 * count or bytes; what a run published is taken along, or waits until nothing comes any more. `arrivalMs` is the
 * latest change of an unsettled file.
 */
export function* judgeGate(
  candidates: readonly Candidate[],
  moment: Moment,
  arrivalMs: number,
): Generator<void, Gate> {
  const { policy, nowMs, due } = moment;
  const weights = yield* weigh(candidates, moment, arrivalMs);
  const { raw, bytes, secondMs, newestMs } = weights;
  const small = raw + weights.published;
  const cooling = isCooling(weights, moment);
  const endMs = newestMs + patienceMs(weights, policy);
  const ended = small >= 2 && nowMs >= endMs;
  const gate = { takesAll: policy.minAgeMs === 0 || ended, cooling, small };
  if (small >= 2) due(endMs);
  if (small < 2 || cooling) return { ...gate, opened: null };
  const { minFiles, minBytes, minAgeMs } = policy;
  if (raw >= minFiles) return { ...gate, opened: { trigger: "count", limit: minFiles, value: raw } };
  if (raw > 0 && bytes >= minBytes)
    return { ...gate, opened: { trigger: "bytes", limit: minBytes, value: bytes } };
  if (nowMs - secondMs >= minAgeMs)
    return { ...gate, opened: { trigger: "age", limit: minAgeMs, value: nowMs - secondMs } };
  if (raw >= 2) due(secondMs + minAgeMs);
  if (!ended) return { ...gate, opened: null };
  return { ...gate, opened: { trigger: "age", limit: endMs - newestMs, value: nowMs - newestMs } };
}

/** Right after a run nothing of it is rewritten, not even by a policy that lets nothing rest. */
export function isFresh({ stats, published }: Candidate, { policy, nowMs }: Moment): boolean {
  return published && nowMs - stats.changedMs <= policy.settleMs;
}

/** Whether a fault other than its small size is reason enough now: what a run published rests until it has aged. */
export function isMendableNow(file: Candidate, { policy, nowMs, due }: Moment): boolean {
  if (!isMendable(file)) return false;
  if (!file.published || file.reasons.includes("codec")) return true;
  const restedMs = file.stats.changedMs + Math.max(policy.minAgeMs, policy.settleMs + 1);
  due(restedMs);
  return nowMs >= restedMs;
}

/**
 * The bytes that a group needs for this file to be worth it: what a run published must reach the next tier, so that
 * no byte is rewritten more than three times. There are three: what is at target, the `tierFactor` below it, the rest.
 */
export function neededBytes(
  { published, sizeBytes }: Candidate,
  { smallFileBytes, tierFactor }: Policy,
): number {
  if (!published) return 0;
  const tierBytes = smallFileBytes / tierFactor;
  return sizeBytes < tierBytes ? tierBytes : smallFileBytes;
}

function* weigh(
  candidates: readonly Candidate[],
  moment: Moment,
  arrivalMs: number,
): Generator<void, Weights> {
  const { policy, nowMs, due } = moment;
  const weights: Weights = {
    raw: 0,
    published: 0,
    bytes: 0,
    largestPublished: 0,
    firstMs: Infinity,
    secondMs: Infinity,
    oldestMs: Infinity,
    newestMs: arrivalMs,
    lastRunMs: -Infinity,
  };
  for (const [index, file] of candidates.entries()) {
    if (index % STRETCH === STRETCH - 1) yield;
    if (file.published) weights.lastRunMs = Math.max(weights.lastRunMs, file.stats.changedMs);
    if (!file.reasons.includes("small_files")) continue;
    const { changedMs } = file.stats;
    // A time in the future says nothing before it has come.
    if (changedMs > nowMs) due(changedMs);
    else weights.newestMs = Math.max(weights.newestMs, changedMs);
    if (isFresh(file, moment)) {
      due(changedMs + policy.settleMs + 1);
      continue;
    }
    weights.bytes += file.sizeBytes;
    weights.oldestMs = Math.min(weights.oldestMs, changedMs);
    if (policy.minAgeMs > 0 && file.published) {
      weights.published += 1;
      weights.largestPublished = Math.max(weights.largestPublished, file.sizeBytes);
      continue;
    }
    weights.raw += 1;
    weights.secondMs = Math.min(weights.secondMs, Math.max(weights.firstMs, changedMs));
    weights.firstMs = Math.min(weights.firstMs, changedMs);
  }
  return weights;
}

/** How long nothing may have come before what was published is rewritten for its age; infinite where nothing was. */
function patienceMs(weights: Weights, { minAgeMs }: Policy): number {
  const { bytes, largestPublished, newestMs, oldestMs, published } = weights;
  if (published === 0) return Infinity;
  const cost = largestPublished / Math.max(1, bytes - largestPublished);
  const patience = Math.min(MOST_PATIENCE, Math.max(1, cost));
  return Math.ceil(Math.max(minAgeMs * END_FACTOR * patience, SPAN_FACTOR * (newestMs - oldestMs)));
}

function isCooling({ lastRunMs }: Weights, { policy, nowMs, due }: Moment): boolean {
  if (policy.cooldownMs === 0) return false;
  due(lastRunMs + policy.cooldownMs);
  return nowMs < lastRunMs + policy.cooldownMs;
}
