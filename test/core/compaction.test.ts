import {
  type DataFile,
  type FileStats,
  type GroupReason,
  type PolicyInput,
  parsePartitionFilter,
  partitionFiles,
  partitionOf,
  planCompaction,
  planContent,
  SKIP_REASONS,
} from "@tamp/core";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  filesOf,
  HOUR_MS,
  inputOf,
  NOW_MS,
  pathOf,
  policyOf,
  randomInput,
  readable,
  unreadable,
} from "../support/file-stats.ts";
import { check, type Given, type Row, SMALL_THREE, small, young } from "../support/plan-rows.ts";

describe("gates", () => {
  test.each<Row>([
    { name: "no files", files: {} },
    {
      name: "at target",
      files: { a: { sizeBytes: 750 }, b: { sizeBytes: 1800 } },
      skipped: { a: "at_target", b: "at_target" },
    },
    {
      name: "enough young small files",
      files: { a: young, b: young, c: young },
      groups: ["a b c > 300 (small_files)"],
    },
    { name: "too few and young", files: { a: young, b: young }, skipped: { a: "too_young", b: "too_young" } },
    { name: "two that waited", files: { a: small, b: small }, groups: ["a b > 200 (small_files)"] },
    {
      name: "one that waited, one young",
      files: { a: small, b: young },
      skipped: { a: "too_young", b: "too_young" },
    },
    { name: "one alone", files: { a: small }, skipped: { a: "too_few_files" } },
    {
      name: "too few, no waiting asked",
      files: { a: { ...young, changedMs: NOW_MS + 1 }, b: { ...young, changedMs: NOW_MS + 1 } },
      policy: { minAgeMs: 0, settleMs: 0 },
      skipped: { a: "too_few_files", b: "too_few_files" },
    },
    {
      name: "not settled",
      files: { ...SMALL_THREE, d: { changedMs: NOW_MS - 1999 } },
      groups: ["a b c > 300 (small_files)"],
      skipped: { d: "unsettled" },
    },
    {
      name: "just settled",
      files: { ...SMALL_THREE, d: { changedMs: NOW_MS - 2000, sizeBytes: 200 } },
      groups: ["a b c d > 400 (small_files)"],
    },
    {
      name: "changed in the future",
      files: { a: { changedMs: NOW_MS + HOUR_MS } },
      skipped: { a: "unsettled" },
    },
    {
      name: "a gate for each directory",
      files: { "x/a": young, "x/b": young, "y/a": young },
      skipped: { "x/a": "too_young", "x/b": "too_young", "y/a": "too_few_files" },
    },
    {
      name: "bytes for a whole file, though few and young",
      files: { a: { ...young, sizeBytes: 600 }, b: { ...young, sizeBytes: 400 } },
      groups: ["a b > 200 (small_files)"],
    },
    {
      name: "a byte less",
      files: { a: { ...young, sizeBytes: 600 }, b: { ...young, sizeBytes: 399 } },
      skipped: { a: "too_young", b: "too_young" },
    },
    {
      name: "other bytes asked for",
      files: { a: young, b: young },
      policy: { minBytes: 400 },
      groups: ["a b > 200 (small_files)"],
    },
  ])("$name", check);
});

const twin: Given = { ...small, inode: "7" };

describe("a file that cannot be swapped by itself", () => {
  test.each<Row>([
    {
      name: "one file under two names",
      files: { a: twin, b: twin, c: small, d: small },
      groups: ["c d > 200 (small_files)"],
      skipped: { a: "hard_linked", b: "hard_linked" },
    },
    {
      name: "also in two directories, of which one is filtered out",
      files: { "x/a": twin, "x/b": small, "x/c": small, "y/a": twin },
      input: { filters: [parsePartitionFilter("x")].filter((filter) => filter !== null) },
      groups: ["x/b x/c > 200 (small_files)"],
      skipped: { "x/a": "hard_linked", "y/a": "filtered_out" },
    },
    {
      name: "on another device, where the same inode is another file",
      files: { a: twin, b: { ...twin, otherDevice: true }, c: small },
      groups: ["a c > 200 (small_files)"],
      skipped: { b: "other_device" },
    },
    {
      name: "inodes that differ beyond what a double tells apart",
      files: {
        a: { ...small, inode: "18446744073709551614" },
        b: { ...small, inode: "18446744073709551615" },
      },
      groups: ["a b > 200 (small_files)"],
    },
    {
      name: "what else is wrong comes first",
      files: { a: { ...twin, changedMs: NOW_MS }, b: { ...twin, schemaClass: "z" } },
      input: { unsupportedClasses: new Map([["z", "why"]]) },
      skipped: { a: "unsettled", b: "unsupported" },
    },
  ])("$name", check);

  test("names another of its names", () => {
    const files = ["c", "a", "b"].map((name) => readable({ path: `${name}.parquet`, ...twin }));
    expect(planCompaction(inputOf(files)).skipped.map(({ detail }) => detail)).toEqual([
      "the same file as b.parquet",
      "the same file as a.parquet",
      "the same file as a.parquet",
    ]);
  });
});

describe("grouping", () => {
  test.each<Row>([
    {
      name: "never two directories",
      files: { "d=1/a": small, "d=1/b": small, "d=10/a": small, "d=10/b": small },
      groups: ["d=1/a d=1/b > 200 (small_files)", "d=10/a d=10/b > 200 (small_files)"],
    },
    {
      name: "never two schema classes",
      files: { a: small, b: { ...small, schemaClass: "z" }, c: small },
      groups: ["a c > 200 (small_files)"],
      skipped: { b: "foreign_schema" },
    },
    {
      name: "nearest to the target",
      files: {
        a: { sizeBytes: 500 },
        b: { sizeBytes: 500 },
        c: { sizeBytes: 740 },
        d: { sizeBytes: 740 },
        e: { sizeBytes: 740, rowGroupCount: 9 },
        f: { sizeBytes: 1200, rowGroupCount: 9 },
      },
      groups: ["a b > 200 (small_files)", "e > 100 (row_groups small_files)", "f > 100 (row_groups)"],
      skipped: { c: "no_gain", d: "no_gain" },
    },
    {
      name: "a tiny tail joins its neighbour",
      files: { a: { sizeBytes: 600 }, b: { sizeBytes: 500 }, c: { sizeBytes: 100 } },
      groups: ["a b c > 300 (small_files)"],
    },
    {
      name: "a tail is shared where joining is too much",
      files: {
        a: { sizeBytes: 500 },
        b: { sizeBytes: 300 },
        c: { sizeBytes: 250 },
        d: { sizeBytes: 510 },
      },
      groups: ["a b > 200 (small_files)", "c d > 200 (small_files)"],
    },
    {
      name: "row bound reached",
      files: SMALL_THREE,
      policy: { targetRows: 300 },
      groups: ["a b c > 300 (small_files)"],
    },
    {
      name: "row bound exceeded by one",
      files: SMALL_THREE,
      policy: { targetRows: 299 },
      groups: ["a b > 200 (small_files)"],
      skipped: { c: "no_gain" },
    },
    {
      name: "no neighbour goes with it, others do",
      files: {
        a: { ...small, rows: 90 },
        b: { ...small, rows: 20 },
        c: { ...small, rows: 90 },
        d: { ...small, rows: 20 },
      },
      policy: { targetRows: 100 },
      groups: ["b d > 40 (small_files)"],
      skipped: { a: "no_gain", c: "no_gain" },
    },
    {
      name: "files without rows",
      files: { a: { ...small, rows: 0, codecs: [] }, b: { ...small, rows: 0, codecs: [] } },
      policy: { compression: "zstd" },
      groups: ["a b > 0 (small_files)"],
    },
  ])("$name", check);
});

describe("splits and mends", () => {
  const zstd: PolicyInput = { compression: "zstd" };
  test.each<Row>([
    { name: "over the band", files: { a: { sizeBytes: 1801 } }, groups: ["a > 50 50 (oversize)"] },
    {
      name: "round(bytes / target) parts that differ by one row at most",
      files: { a: { sizeBytes: 3400, rows: 11 } },
      groups: ["a > 4 4 3 (oversize)"],
    },
    {
      name: "over the row bound",
      files: { a: { rows: 101 } },
      policy: { targetRows: 50 },
      groups: ["a > 34 34 33 (oversize)"],
    },
    {
      name: "at the row bound",
      files: { a: { rows: 100 } },
      policy: { targetRows: 100 },
      skipped: { a: "at_target" },
    },
    {
      name: "few heavy rows leave no part over the band",
      files: { a: { sizeBytes: 10_490, rows: 11 } },
      groups: ["a > 1 1 1 1 1 1 1 1 1 1 1 (oversize)"],
    },
    {
      name: "one row cannot be split",
      files: { a: { sizeBytes: 9999, rows: 1 } },
      policy: { targetRows: 1 },
      skipped: { a: "at_target" },
    },
    {
      name: "a row bound taken for a mistake",
      files: { a: { rows: 10_001 } },
      policy: { targetRows: 1 },
      skipped: { a: "excluded" },
    },
    {
      name: "three times the row groups, where so many are asked for",
      files: { a: { rowGroupCount: 2 }, b: { rowGroupCount: 3 } },
      policy: { rowGroupFactor: 3 },
      groups: ["b > 100 (row_groups)"],
      skipped: { a: "at_target" },
    },
    {
      name: "twice the row groups needed",
      files: { a: { rowGroupCount: 2 } },
      groups: ["a > 100 (row_groups)"],
    },
    { name: "less than twice", files: { a: { rows: 2049, rowGroupCount: 3 } }, skipped: { a: "at_target" } },
    {
      name: "mended with its small neighbour",
      files: { a: { ...young, rowGroupCount: 2 }, b: { ...young, rowGroupCount: 2 } },
      groups: ["a b > 200 (row_groups small_files)"],
    },
    {
      name: "another codec",
      files: { a: {}, b: { codecs: ["zstd", "uncompressed"] } },
      policy: zstd,
      groups: ["a > 100 (codec)"],
      skipped: { b: "at_target" },
    },
    {
      name: "a file without columns has no codec",
      files: { a: { codecs: [] } },
      policy: zstd,
      skipped: { a: "at_target" },
    },
    {
      name: "a mendable file waits until its partner is next to it",
      files: {
        a: { ...small, rows: 90, rowGroupCount: 2 },
        b: { ...small, rows: 50 },
        c: { ...small, rows: 50 },
        d: { ...small, rows: 10 },
      },
      policy: { targetRows: 100 },
      groups: ["a d > 100 (row_groups small_files)", "b c > 100 (small_files)"],
    },
    {
      name: "a mendable file between two does not keep them apart",
      files: {
        a: { ...small, rows: 60 },
        b: { ...small, rows: 90, rowGroupCount: 2 },
        c: { ...small, rows: 40 },
      },
      policy: { targetRows: 100 },
      groups: ["a c > 100 (small_files)", "b > 90 (row_groups small_files)"],
    },
  ])("$name", check);
});

describe("left out", () => {
  const filters = [parsePartitionFilter("d=1")].filter((item) => item !== null);
  test.each<Row>([
    {
      name: "filtered out",
      files: { "d=1/a": small, "d=1/b": small, "d=10/a": small, "d=10/b": small },
      input: { filters },
      groups: ["d=1/a d=1/b > 200 (small_files)"],
      skipped: { "d=10/a": "filtered_out", "d=10/b": "filtered_out" },
    },
    {
      name: "unsupported class",
      files: { a: small, b: small },
      input: { unsupportedClasses: new Map([["a", "x: int96"]]) },
      skipped: { a: "unsupported", b: "unsupported" },
    },
    {
      name: "over the budget of groups: most files per byte first",
      files: { "x/a": small, "x/b": small, "y/a": { sizeBytes: 10 }, "y/b": { sizeBytes: 10 } },
      policy: { maxRunGroups: 1 },
      groups: ["y/a y/b > 200 (small_files)"],
      skipped: { "x/a": "over_budget", "x/b": "over_budget" },
    },
    {
      name: "over the budget of bytes",
      files: { "x/a": small, "x/b": small, "y/a": small, "y/b": small },
      policy: { maxRunBytes: 799 },
      groups: ["x/a x/b > 200 (small_files)"],
      skipped: { "y/a": "over_budget", "y/b": "over_budget" },
    },
    {
      name: "no group fits",
      files: { a: small, b: small },
      policy: { maxRunBytes: 399 },
      skipped: { a: "over_budget", b: "over_budget" },
    },
  ])("$name", check);

  test("unreadable files keep their reason once they settled", () => {
    const files = [unreadable("q.parquet", "quarantined"), unreadable("u.parquet", "unsupported")];
    const reasons = (nowMs: number) =>
      planCompaction(inputOf(files, { nowMs })).skipped.map(({ reason }) => reason);
    expect(reasons(1)).toEqual(["unsettled", "unsettled"]);
    expect(reasons(NOW_MS)).toEqual(["quarantined", "unsupported"]);
  });

  test("counts cover the filtered files only", () => {
    const files = ["d=1/a", "d=1/b", "d=10/a"].map((name) => readable({ path: `${name}.parquet` }));
    const { stats, benefit, estimate } = planCompaction(inputOf(files, { filters, learnedRatio: 0.5 }));
    expect(stats).toEqual({
      beforeFileCount: 2,
      afterFileCount: 1,
      beforeTotalBytes: 2000,
      afterTotalBytes: 1000,
      compactedFileCount: 2,
      rewrittenBytes: 2000,
      compressionCodec: "snappy",
      dryRun: true,
      clusterColumns: [],
      plannedGroups: [["d=1/a.parquet", "d=1/b.parquet"]],
    });
    expect(benefit).toEqual({ filesBefore: 2, filesAfter: 1, rowGroupsBefore: 2, rowGroupsAfter: 1 });
    expect(estimate).toEqual({ basis: "runs", ratio: 0.5, neededBytes: 2000 });
  });

  test("more groups in one directory than a call has arguments", () => {
    const files = Array.from({ length: 140_000 }, (_, index) =>
      readable({ path: `${index}.parquet`, rows: 600 }),
    );
    const policy = policyOf({ targetRows: 1200 });
    expect(planCompaction(inputOf(files, { policy })).groups.length).toBe(70_000);
  });
});

describe("every plan", () => {
  const inputOfPaths = (files: readonly DataFile[]) => new Map(files.map((file) => [pathOf(file), file]));

  test("has each data file once, in a group or skipped with one known reason", () => {
    fc.assert(
      fc.property(randomInput, (input) => {
        const { groups, skipped, stats } = planCompaction(input);
        const paths = [...groups.flatMap(({ inputs }) => inputs), ...skipped].map(({ path }) => path);
        expect(paths.sort()).toEqual([...inputOfPaths(filesOf(input)).keys()].sort());
        expect(skipped.every(({ reason }) => SKIP_REASONS.includes(reason))).toBe(true);
        expect(stats.plannedGroups.flat()).toHaveLength(stats.compactedFileCount);
        const counted = planCompaction({ ...input, listSkipped: false });
        expect(counted).toEqual({ ...planCompaction(input), skipped: [] });
        const reasons = skipped.map(({ reason }) => reason);
        for (const reason of SKIP_REASONS)
          expect(counted.skippedByReason[reason] ?? 0).toBe(
            reasons.filter((other) => other === reason).length,
          );
      }),
    );
  });

  test("keeps to one directory, one schema class, the order of arrival and both bounds", () => {
    fc.assert(
      fc.property(randomInput, (input) => {
        const files = inputOfPaths(filesOf(input));
        const { oversizeBytes, targetRows } = input.policy;
        for (const group of planCompaction(input).groups) {
          const stats = group.inputs.map(({ path }) => statsAt(files, path));
          expect(new Set(stats.map(({ path }) => partitionOf(path)))).toEqual(new Set([group.partition]));
          expect(new Set(stats.map(({ schemaClass }) => schemaClass))).toEqual(new Set([group.schemaClass]));
          expect(group.inputs.map(({ path }) => path)).toEqual(stats.map(({ path }) => path).sort());
          expect(sum(group.outputRows)).toBe(sum(stats.map(({ rows }) => rows)));
          expect(group.inputBytes).toBe(sum(stats.map(({ sizeBytes }) => sizeBytes)));
          if (stats.length > 1) expect(group.inputBytes).toBeLessThanOrEqual(oversizeBytes);
          if (targetRows !== null) expect(Math.max(...group.outputRows)).toBeLessThanOrEqual(targetRows);
          expect(keepsWorth(group.inputs.length, group.outputRows.length, group.reasons)).toBe(true);
        }
      }),
    );
  });

  test("is the same for the same files in any order, byte for byte", () => {
    const shuffled = randomInput.chain((input) =>
      fc.tuple(
        fc.constant(input),
        fc.shuffledSubarray([...filesOf(input)], { minLength: filesOf(input).length }),
      ),
    );
    fc.assert(
      fc.property(shuffled, ([input, files]) => {
        const plan = planCompaction(input);
        const again = planCompaction({ ...input, partitions: partitionFiles(files) });
        expect(JSON.stringify(again)).toBe(JSON.stringify(plan));
        expect([...planContent(again)].join("")).toBe([...planContent(plan)].join(""));
      }),
    );
  });

  test("is the same for directories in any order and in pieces", () => {
    fc.assert(
      fc.property(randomInput, (input) => {
        const pieces = [...input.partitions].reverse().flatMap(({ partition, files }) => [
          { partition, files: files.slice(1) },
          { partition, files: files.slice(0, 1) },
        ]);
        const columns = pieces.map((piece) => ({
          ...piece,
          inodes: Float64Array.from(piece.files, inodeOf),
        }));
        for (const partitions of [pieces, columns])
          expect(JSON.stringify(planCompaction({ ...input, partitions }))).toBe(
            JSON.stringify(planCompaction(input)),
          );
      }),
    );
  });

  test("is a JSON value with the planned fields of its files and no more", () => {
    fc.assert(
      fc.property(randomInput, (input) => {
        const plan = planCompaction(input);
        expect(JSON.parse(JSON.stringify(plan))).toEqual(plan);
        for (const file of plan.groups.flatMap(({ inputs }) => inputs))
          expect(Object.keys(file)).toEqual(["path", "sizeBytes", "rows", "mtimeNs", "inode"]);
      }),
      { numRuns: 20 },
    );
  });

  test("leaves no two files as no_gain that a merge would bring nearer to the target", () => {
    fc.assert(
      fc.property(randomInput, (input) => {
        const files = inputOfPaths(filesOf(input));
        const { targetBytes, targetRows } = input.policy;
        fc.pre(targetRows === null);
        const left = planCompaction(input).skipped.filter(({ reason }) => reason === "no_gain");
        const [first, second] = left.map(({ path }) => statsAt(files, path));
        if (left.length !== 2 || first === undefined || second === undefined) return;
        if (partitionOf(first.path) !== partitionOf(second.path) || first.schemaClass !== second.schemaClass)
          return;
        const lighter = Math.min(first.sizeBytes, second.sizeBytes);
        const both = first.sizeBytes + second.sizeBytes;
        expect(Math.abs(both - targetBytes)).toBeGreaterThan(targetBytes - lighter);
      }),
    );
  });
});

function inodeOf(file: DataFile): number {
  return Number(file.kind === "readable" ? file.stats.inode : file.file.inode);
}

function keepsWorth(inputs: number, outputs: number, reasons: readonly GroupReason[]): boolean {
  return outputs < inputs || reasons.some((reason) => reason !== "small_files");
}

function statsAt(files: ReadonlyMap<string, DataFile>, path: string): FileStats {
  const file = files.get(path);
  if (file?.kind !== "readable") throw new Error(`not a readable file: ${path}`);
  return file.stats;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
