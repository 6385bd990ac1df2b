import { drain } from "@tamp/core";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type PackBounds, packLightest, packNeighbours } from "../../core/src/pack.ts";

const BOUNDS: PackBounds = { targetBytes: 100, mostBytes: 180, mostRows: null };
const weigh = (sizes: readonly number[], rows: readonly number[] = []) =>
  sizes.map((sizeBytes, index) => ({ sizeBytes, rows: rows[index] ?? 1 }));
const sizesOf = (bins: readonly (readonly { sizeBytes: number }[])[]) =>
  bins.map((bin) => bin.map(({ sizeBytes }) => sizeBytes));

describe("neighbours", () => {
  test.each<readonly [string, readonly number[], readonly (readonly number[])[]]>([
    ["nothing", [], []],
    ["one", [10], [[10]]],
    [
      "up to the target",
      [50, 50, 50, 50],
      [
        [50, 50],
        [50, 50],
      ],
    ],
    ["past the target where that is nearer", [70, 50, 90], [[70, 50], [90]]],
    ["not past it where that is farther", [70, 70, 90], [[70], [70], [90]]],
    ["a tiny tail joins", [60, 40, 10], [[60, 40, 10]]],
    [
      "a tail is shared",
      [50, 30, 25, 51],
      [
        [50, 30],
        [25, 51],
      ],
    ],
    ["a tail that neither joins nor shares", [95, 60], [[95], [60]]],
    ["a heavy one stays alone", [10, 300, 10], [[10], [300], [10]]],
  ])("%s", (_name, sizes, bins) => {
    expect(sizesOf(drain(packNeighbours(weigh(sizes), BOUNDS)))).toEqual(bins);
  });
});

test("the lightest go together wherever they stand, in their order", () => {
  expect(sizesOf(drain(packLightest(weigh([40, 95, 30, 95]), BOUNDS)))).toEqual([[40, 30], [95], [95]]);
  const byRows = drain(packLightest(weigh([10, 11, 12, 13], [9, 1, 9, 1]), { ...BOUNDS, mostRows: 10 }));
  expect(sizesOf(byRows)).toEqual([[11, 13], [10], [12]]);
});

test("every file is in one bin and no bin of two exceeds a bound", () => {
  const file = fc.record({ sizeBytes: fc.integer({ min: 1, max: 250 }), rows: fc.nat(20) });
  fc.assert(
    fc.property(fc.array(file), fc.constantFrom(null, 20, 7), (all, mostRows) => {
      const limits = { ...BOUNDS, mostRows };
      for (const bins of [drain(packNeighbours(all, limits)), drain(packLightest(all, limits))]) {
        expect(new Set(bins.flat())).toEqual(new Set(all));
        expect(bins.flat()).toHaveLength(all.length);
        for (const bin of bins) {
          expect(bin).toEqual(all.filter((item) => bin.includes(item)));
          if (bin.length < 2) continue;
          expect(bin.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)).toBeLessThanOrEqual(180);
          if (mostRows !== null)
            expect(bin.reduce((sum, { rows }) => sum + rows, 0)).toBeLessThanOrEqual(mostRows);
        }
      }
      expect(drain(packNeighbours(all, limits)).flat()).toEqual(all);
    }),
    { numRuns: 60 },
  );
});
