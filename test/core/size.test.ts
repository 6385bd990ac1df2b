import { formatSize, parseSize } from "@tamp/core";
import fc from "fast-check";
import { expect, test } from "vitest";

test.each<readonly [string, number | null]>([
  ["128MiB", 134_217_728],
  ["128MB", 128_000_000],
  [" 128 mib ", 134_217_728],
  ["1.5GiB", 1_610_612_736],
  ["0", 0],
  ["7", 7],
  ["7b", 7],
  ["-1MB", -1_000_000],
  ["", null],
  ["MB", null],
  ["1e3", null],
  ["1,5MB", null],
  ["12 parsecs", null],
  ["0x10", null],
  ["99999999TB", null],
  ["NaN", null],
])("parseSize(%j) = %j", (text, bytes) => {
  expect(parseSize(text)).toBe(bytes);
});

test.each([
  [0, "0 B"],
  [999, "999 B"],
  [1000, "1.0 KiB"],
  [1024, "1.0 KiB"],
  [1023 * 1024, "1.0 MiB"],
  [Math.round(999.7 * 1024), "1.0 MiB"],
  [Math.round(99.97 * 1024), "100 KiB"],
  [134_217_728, "128 MiB"],
  [-2048, "-2.0 KiB"],
])("formatSize(%d) = %s", (bytes, text) => {
  expect(formatSize(bytes)).toBe(text);
});

test("three digits at most, within one part in twenty", () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2 ** 50 - 1 }), (bytes) => {
      const text = formatSize(bytes);
      expect(text.replace(/\D/g, "").length).toBeLessThanOrEqual(3);
      expect(
        Math.abs((parseSize(text.replace("PiB", "TiB")) ?? 0) * (text.endsWith("PiB") ? 1024 : 1) - bytes),
      ).toBeLessThanOrEqual(bytes / 20);
    }),
  );
});
