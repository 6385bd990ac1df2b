import { formatDuration, parseDuration } from "@tamp/core";
import fc from "fast-check";
import { expect, test } from "vitest";

test.each([
  ["7d", 604_800_000],
  ["12h", 43_200_000],
  ["30min", 1_800_000],
  ["90s", 90_000],
  ["250ms", 250],
  ["250", 250],
  ["0", 0],
  ["0d", 0],
  ["1.5h", 5_400_000],
  ["0.1s", 100],
  [" 2 d ", 172_800_000],
  ["", null],
  [" ", null],
  ["d", null],
  ["-1d", null],
  ["-5", null],
  ["+5", null],
  ["1m", null],
  ["1 week", null],
  ["1d12h", null],
  ["1e3", null],
  ["1.", null],
  [".5h", null],
  ["NaN", null],
  ["9007199254740992", null],
  ["999999999999d", null],
] as const)("%j is %s ms", (text, ms) => {
  expect(parseDuration(text)).toBe(ms);
});

test.each([
  [604_800_000, "7 d"],
  [129_600_000, "36 h"],
  [5_400_000, "90 min"],
  [90_000, "90 s"],
  [250, "250 ms"],
  [0, "0 ms"],
])("%i ms is %s", (ms, text) => {
  expect(formatDuration(ms)).toBe(text);
});

test("what is written is read back", () => {
  fc.assert(
    fc.property(fc.maxSafeNat(), fc.constantFrom(1, 1000, 60_000, 3_600_000, 86_400_000), (count, unit) => {
      const ms = (count % 100_000) * unit;
      expect(parseDuration(formatDuration(ms))).toBe(ms);
      expect(parseDuration(formatDuration(count))).toBe(count);
    }),
  );
});
