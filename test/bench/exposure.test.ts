import { describe, expect, it } from "vitest";
import { type Layout, rowsOfName } from "../../bench/exposure/layout.ts";
import { countRows, type Read, type Swap, tallyReads, verdictOf } from "../../bench/exposure/verdict.ts";

describe("what a read saw", () => {
  it.each([
    { ids: [0, 1, 2, 3], error: null, verdict: "exact" },
    { ids: [3, 1, 0, 2], error: null, verdict: "exact" },
    { ids: [0, 1, 2, 3, 4, 9], error: null, verdict: "exact" },
    { ids: [0, 1, 2, 3, 0, 1], error: null, verdict: "duplicate" },
    { ids: [0, 1, 3], error: null, verdict: "missing" },
    { ids: [0, 0, 1, 1, 3, 3], error: null, verdict: "missing" },
    { ids: [], error: null, verdict: "missing" },
    { ids: [0, 1, 3], error: "no such file", verdict: "loud" },
  ])("of four rows, with $ids and error $error, is $verdict", ({ ids, error, verdict }) => {
    expect(verdictOf({ ...countRows(ids, 4), error })).toBe(verdict);
  });
});

const swap = (dir: number, kind: Swap["kind"], startUs: number, endUs: number): Swap => ({
  dir,
  kind,
  startUs,
  endUs,
});
const SWAPS = [
  swap(0, "publish", 10, 20),
  swap(1, "publish", 10, 60),
  swap(0, "undo", 30, 40),
  swap(0, "publish", 50, 60),
];

describe("a read between swaps", () => {
  it.each([
    { dir: 0, from: 0, to: 9, publish: 0, undo: 0 },
    { dir: 0, from: 0, to: 10, publish: 1, undo: 0 },
    { dir: 0, from: 12, to: 13, publish: 1, undo: 0 },
    { dir: 0, from: 20, to: 25, publish: 1, undo: 0 },
    { dir: 0, from: 21, to: 29, publish: 0, undo: 0 },
    { dir: 0, from: 15, to: 35, publish: 1, undo: 1 },
    { dir: 0, from: 0, to: 99, publish: 2, undo: 1 },
    { dir: 0, from: 61, to: 99, publish: 0, undo: 0 },
    { dir: 1, from: 30, to: 40, publish: 1, undo: 0 },
    { dir: 2, from: 0, to: 99, publish: 0, undo: 0 },
  ])("of directory $dir from $from to $to meets $publish publications and $undo undos", (row) => {
    const read: Read = {
      dir: row.dir,
      startUs: row.from,
      endUs: row.to,
      missing: 1,
      repeated: 0,
      error: null,
    };
    const { publish, undo, all, quiet } = tallyReads(SWAPS, [read, read]);
    expect([publish.swaps, publish.swapsMissing, undo.swaps]).toEqual([row.publish, row.publish, row.undo]);
    const met = row.publish + row.undo > 0;
    expect([all.reads, all.missing, quiet.reads]).toEqual(met ? [2, 2, 0] : [0, 0, 2]);
  });
});

const LAYOUT: Layout = { sources: 4, rowsPerSource: 10, outputs: 2, bystanders: 1 };

describe("the rows of a name", () => {
  it.each([
    { name: "part-0001.parquet", range: { from: 0, rows: 10 } },
    { name: "part-0004.parquet", range: { from: 30, rows: 10 } },
    { name: "compacted-r0000012-0002.parquet", range: { from: 20, rows: 20 } },
    { name: "other-000001.parquet", range: null },
    { name: "part-0001.parquet.tmp", range: null },
  ])("$name", ({ name, range }) => {
    expect(rowsOfName(LAYOUT, name)).toEqual(range);
  });
});
