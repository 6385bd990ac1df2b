import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { Judge, type Judgement } from "../../server/src/judge.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

interface Course {
  /** Time that a judgement takes. */
  readonly tookMs: number;
  /** How long after a judgement began the next one is due. */
  readonly dueMs: number | null;
  /** A file changes this often; null: never. */
  readonly everyMs: number | null;
}

/** How many judgements are made in the first minute. */
async function judgementsOf({ tookMs, dueMs, everyMs }: Course): Promise<number> {
  let made = 0;
  const judge = new Judge({
    clock: () => performance.now(),
    now: () => Date.now(),
    settleMs: () => 0,
    plan: async (): Promise<Judgement> => {
      made += 1;
      const nextDueMs = dueMs === null ? null : Date.now() + dueMs;
      await new Promise((resolve) => setTimeout(resolve, tookMs));
      const health = { score: 100, reasons: [] };
      return { generation: 1, health, crossings: [], bytesToRewrite: 0, unsettledCount: 0, nextDueMs };
    },
    onJudged: () => {},
  });
  judge.watch();
  void judge.judge();
  const changes = everyMs === null ? null : setInterval(() => judge.note(1), everyMs);
  await vi.advanceTimersByTimeAsync(60_000);
  if (changes !== null) clearInterval(changes);
  judge.dispose();
  return made;
}

it.each<readonly [string, Course, number, number]>([
  ["files come of age one after the other", { tookMs: 300, dueMs: 5, everyMs: null }, 10, 30],
  ["what is due is over before the judgement is", { tookMs: 2_000, dueMs: 1, everyMs: null }, 2, 4],
  ["a stream pauses for a moment again and again", { tookMs: 400, dueMs: null, everyMs: 900 }, 8, 20],
  ["judging costs next to nothing", { tookMs: 1, dueMs: 100, everyMs: null }, 300, 700],
])("judging takes no more than a share of the time where %s", async (_, course, least, most) => {
  const made = await judgementsOf(course);
  expect(made).toBeGreaterThanOrEqual(least);
  expect(made).toBeLessThanOrEqual(most);
});
