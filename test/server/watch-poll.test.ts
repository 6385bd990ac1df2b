import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Poll, pollIntervalMs, pollReason } from "../../server/src/watchers/poll.ts";

describe("pollIntervalMs", () => {
  const rows: readonly (readonly [string, number, number])[] = [
    ["at once", 0, 10_000],
    ["a tenth of the time", 1100, 10_000],
    ["a little more", 1200, 20_000],
    ["a million files", 8000, 80_000],
    ["never longer than five minutes", 600_000, 300_000],
  ];

  it.each(rows)("after a look that took %s", (_name, tookMs, expected) => {
    expect(pollIntervalMs(10_000, tookMs)).toBe(expected);
  });

  it("is the base where that is longer than the longest", () => {
    expect(pollIntervalMs(3_600_000, 1)).toBe(3_600_000);
  });
});

describe("a poll", () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  it("looks less often where looking takes long, and again as often when it does not", async () => {
    let tookMs = 4000;
    const looks: number[] = [];
    const intervals: number[] = [];
    const poll = new Poll({
      baseMs: 10_000,
      clock: () => performance.now(),
      look: async () => {
        looks.push(performance.now());
        await new Promise((resolve) => setTimeout(resolve, tookMs));
      },
      onInterval: (ms) => intervals.push(ms),
    });
    const beganMs = performance.now();
    await vi.advanceTimersByTimeAsync(60_000);
    tookMs = 10;
    await vi.advanceTimersByTimeAsync(50_000);
    poll.dispose();
    await vi.advanceTimersByTimeAsync(100_000);
    expect(looks.map((ms) => ms - beganMs)).toEqual([10_000, 54_000, 98_000, 108_010]);
    expect(intervals).toEqual([40_000, 10_000]);
  });

  it("says how long a change may go unseen", () => {
    expect(pollReason("No events.", 40_000)).toBe("No events. All files are compared every 40 s.");
  });
});
