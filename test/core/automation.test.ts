import {
  type Burst,
  burstOverMs,
  type Crossing,
  decideCrossing,
  decideExecution,
  type ExecutionDecision,
  type ExecutionInput,
  NO_BURST,
  NOTHING_TOLD,
  noteChanges,
} from "@tamp/core";
import { describe, expect, test } from "vitest";

/** Files to rewrite by partition. */
type State = Readonly<Record<string, number>>;

const crossingsOf = (state: State): readonly Crossing[] =>
  Object.entries(state).map(([partition, files]) => ({
    partition,
    files,
    trigger: "count",
    bytes: files,
    limit: 1,
    value: files,
  }));

describe("a crossing is told", () => {
  const many = (count: number): State =>
    Object.fromEntries(Array.from({ length: count }, (_, index) => [`p${index}`, 10]));

  test.each<readonly [string, readonly (readonly [State, "tell" | "silent"])[]]>([
    ["never where there is none", [[{}, "silent"]]],
    [
      "once",
      [
        [{ a: 10 }, "tell"],
        [{ a: 10 }, "silent"],
        [{ a: 14 }, "silent"],
      ],
    ],
    [
      "again once it is worse by half",
      [
        [{ a: 10 }, "tell"],
        [{ a: 14 }, "silent"],
        [{ a: 15 }, "tell"],
        [{ a: 22 }, "silent"],
        [{ a: 23 }, "tell"],
      ],
    ],
    [
      "again after it was resolved",
      [
        [{ a: 10 }, "tell"],
        [{}, "silent"],
        [{ a: 10 }, "tell"],
      ],
    ],
    [
      "for another partition after the first was resolved",
      [
        [{ a: 1000 }, "tell"],
        [{ b: 2 }, "tell"],
        [{ a: 3, b: 2 }, "tell"],
      ],
    ],
    [
      "by what is left of what was told",
      [
        [{ a: 1000, b: 10 }, "tell"],
        [{ b: 10 }, "silent"],
        [{ b: 15 }, "tell"],
      ],
    ],
    [
      "for many new partitions ever more seldom",
      [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12].map((count) => [
        many(count),
        [1, 2, 3, 5, 8, 12].includes(count) ? "tell" : "silent",
      ]),
    ],
  ])("%s", (_name, steps) => {
    let told = NOTHING_TOLD;
    for (const [state, kind] of steps) {
      const decision = decideCrossing(told, { crossings: crossingsOf(state) });
      expect([state, decision.kind]).toEqual([state, kind]);
      told = decision.told;
    }
  });
});

const MINUTE_MS = 60_000;
/** Midnight UTC of some day. */
const DAY = 20_000 * 86_400_000;
const clock = (hour: number, minute = 0): number => DAY + (hour * 60 + minute) * MINUTE_MS;
const NIGHT = { fromMinute: 22 * 60, toMinute: 6 * 60 };
const NOON = { fromMinute: 12 * 60, toMinute: 13 * 60 };

describe("execution", () => {
  const free: ExecutionInput = {
    nowMs: clock(10),
    utcOffsetMinutes: 0,
    quietHours: [],
    dailyBudgetBytes: null,
    spentBytesToday: 0,
    cooldownMs: 0,
    lastRunEndMs: null,
    inputBytes: 100,
  };
  const run = (maxBytes: number | null): ExecutionDecision => ({ kind: "run", maxBytes });
  const quiet = (untilMs: number): ExecutionDecision => ({
    kind: "wait",
    untilMs,
    reason: "nothing is executed in quiet hours",
  });
  const spent = (untilMs: number): ExecutionDecision => ({
    kind: "wait",
    untilMs,
    reason: "the budget of the day is spent",
  });
  const rest = (untilMs: number): ExecutionDecision => ({
    kind: "wait",
    untilMs,
    reason: "the dataset rests after its last run",
  });

  test.each<readonly [string, Partial<ExecutionInput>, ExecutionDecision]>([
    ["at once", {}, run(null)],
    ["before quiet hours", { nowMs: clock(11, 59), quietHours: [NOON] }, run(null)],
    ["in quiet hours", { nowMs: clock(12), quietHours: [NOON] }, quiet(clock(13))],
    ["in their last minute", { nowMs: clock(13) - 1, quietHours: [NOON] }, quiet(clock(13))],
    ["after them", { nowMs: clock(13), quietHours: [NOON] }, run(null)],
    ["past midnight, before it", { nowMs: clock(23), quietHours: [NIGHT] }, quiet(clock(30))],
    ["past midnight, after it", { nowMs: clock(5, 59), quietHours: [NIGHT] }, quiet(clock(6))],
    ["past midnight, outside", { nowMs: clock(6), quietHours: [NIGHT] }, run(null)],
    ["east of UTC", { nowMs: clock(21), utcOffsetMinutes: 120, quietHours: [NIGHT] }, quiet(clock(28))],
    ["west of UTC", { nowMs: clock(3), utcOffsetMinutes: -330, quietHours: [NIGHT] }, run(null)],
    [
      "hours that meet",
      { nowMs: clock(23), quietHours: [{ fromMinute: 360, toMinute: 480 }, NIGHT] },
      quiet(clock(32)),
    ],
    ["a whole day", { nowMs: clock(1), quietHours: [{ fromMinute: 0, toMinute: 1440 }] }, quiet(clock(24))],
    ["hours of no length", { quietHours: [{ fromMinute: 600, toMinute: 600 }] }, run(null)],
    ["what is left of the budget", { dailyBudgetBytes: 50, spentBytesToday: 20 }, run(30)],
    ["nothing is left", { dailyBudgetBytes: 50, spentBytesToday: 50 }, spent(clock(24))],
    [
      "nothing is left, until local midnight",
      { dailyBudgetBytes: 50, spentBytesToday: 51, utcOffsetMinutes: 60 },
      spent(clock(23)),
    ],
    ["rests", { cooldownMs: 5_000, lastRunEndMs: clock(10) - 4_999 }, rest(clock(10) + 1)],
    ["has rested", { cooldownMs: 5_000, lastRunEndMs: clock(10) - 5_000 }, run(null)],
    ["a last run in the future", { cooldownMs: 5_000, lastRunEndMs: clock(99) }, rest(clock(10) + 5_000)],
    [
      "what lasts longest is told",
      {
        nowMs: clock(12),
        quietHours: [NOON],
        dailyBudgetBytes: 1,
        spentBytesToday: 1,
        cooldownMs: 1,
        lastRunEndMs: clock(12),
      },
      spent(clock(24)),
    ],
  ])("%s", (_name, change, decision) => {
    expect(decideExecution({ ...free, ...change })).toEqual(decision);
  });
});

describe("a burst", () => {
  /** `[ms, files]`: so many changed; the burst after the last of them. */
  const after = (changes: readonly (readonly [number, number])[]): Burst =>
    changes.reduce((burst, [atMs, files]) => noteChanges(burst, files, atMs), NO_BURST);
  const every = (stepMs: number, count: number): readonly (readonly [number, number])[] =>
    Array.from({ length: count }, (_, index) => [index * stepMs, 1]);

  test.each<readonly [string, readonly (readonly [number, number])[], number, number | null]>([
    ["none", [], 0, null],
    ["a file", [[0, 1]], 0, null],
    ["49 at once", [[0, 49]], 0, null],
    ["50 at once", [[0, 50]], 0, 2_000],
    ["5,000 at once are over as soon", [[0, 5_000]], 1, 2_000],
    ["is over", [[0, 5_000]], 2_000, null],
    [
      "goes on",
      [
        [0, 100],
        [1_000, 100],
      ],
      1_500,
      3_000,
    ],
    [
      "trickles out",
      [
        [0, 100],
        [1_000, 1],
      ],
      1_500,
      2_040,
    ],
    ["a file a second", every(1_000, 1_000), 999_000, null],
    ["20 a second", every(50, 10_000), 499_950, null],
    [
      "a file a second after a burst",
      [
        [0, 100],
        [1_000, 1],
        [2_000, 1],
        [3_000, 1],
      ],
      3_000,
      null,
    ],
    ["100 a second, which never fills it at once", every(10, 1_000), 9_990, 11_990],
    ["what goes on for minutes is none", every(10, 13_000), 129_990, null],
    ["a pause, and the next is one again", [...every(10, 13_000), [140_000, 50]], 140_000, 142_000],
    [
      "a clock that stands still",
      [
        [5_000, 30],
        [5_000, 30],
      ],
      5_000,
      7_000,
    ],
  ])("%s", (_name, changes, nowMs, overMs) => {
    expect(burstOverMs(after(changes), nowMs)).toBe(overMs);
  });
});
