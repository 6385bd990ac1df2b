import {
  addFile,
  createTotals,
  type DataFile,
  type DatasetTotals,
  removeFile,
  SIZE_BUCKETS,
} from "@tamp/core";
import fc from "fast-check";
import { expect, test } from "vitest";
import { pathOf, randomFiles, readable, unreadable } from "../support/file-stats.ts";

const SMALL_BOUND = 4_000;

function fold(files: Iterable<DataFile>): DatasetTotals {
  const totals = createTotals(SMALL_BOUND);
  for (const file of files) addFile(totals, file);
  return totals;
}

test("each kind of file counts where it should", () => {
  const totals = fold([
    readable({
      path: "d=1/a.parquet",
      sizeBytes: 3_999,
      rows: 7,
      rowGroupCount: 2,
      codecs: ["zstd", "snappy"],
    }),
    readable({ path: "d=1/b.parquet", sizeBytes: 4_000, schemaClass: "b" }),
    unreadable("q.parquet", "quarantined", 5 * 2 ** 20),
  ]);
  expect(totals).toMatchObject({
    fileCount: 3,
    totalBytes: 7_999 + 5 * 2 ** 20,
    totalRows: 107,
    rowGroupCount: 3,
    smallFileCount: 1,
    smallFileBytes: 3_999,
    unreadableCount: 1,
    sizeHistogram: [2, 0, 0, 1, 0, 0, 0, 0, 0],
    partitions: new Map([
      ["d=1", 2],
      ["", 1],
    ]),
    schemaClasses: new Map([
      ["a", 1],
      ["b", 1],
    ]),
    codecs: new Map([
      ["zstd", 1],
      ["snappy", 2],
    ]),
  });
});

test.each(SIZE_BUCKETS.map((bound, index) => [bound, index] as const))(
  "a bucket ends below %d",
  (bound, index) => {
    const slots = (sizeBytes: number) => fold([readable({ path: "a.parquet", sizeBytes })]).sizeHistogram;
    expect(slots(bound - 1).indexOf(1)).toBe(index);
    expect(slots(bound).indexOf(1)).toBe(index + 1);
  },
);

test("kept incrementally they equal a fold from scratch", () => {
  fc.assert(
    fc.property(fc.array(randomFiles, { maxLength: 5 }), (snapshots) => {
      const totals = createTotals(SMALL_BOUND);
      const known = new Map<string, DataFile>();
      for (const files of snapshots) {
        // Added, changed in place, or gone: as the inventory sees two scans.
        const listed = new Set(files.map(pathOf));
        for (const [path, file] of [...known])
          if (!listed.has(path) && known.delete(path)) removeFile(totals, file);
        for (const file of files) {
          const before = known.get(pathOf(file));
          if (before !== undefined) removeFile(totals, before);
          addFile(totals, file);
          known.set(pathOf(file), file);
        }
        expect(totals).toEqual(fold(known.values()));
      }
      for (const file of known.values()) removeFile(totals, file);
      expect(totals).toEqual(createTotals(SMALL_BOUND));
    }),
    { numRuns: 40 },
  );
});
