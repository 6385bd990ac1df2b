import {
  type CompactionInput,
  type DataFile,
  type FileStats,
  type Policy,
  type PolicyInput,
  partitionFiles,
  publishedName,
  resolvePolicy,
} from "@tamp/core";
import fc from "fast-check";

/** 2001-09-09: far from 0, so that ages never reach before the epoch. */
export const NOW_MS = 1_000_000_000_000;
export const HOUR_MS = 3_600_000;

/** A policy as a user would give it; fails the test where it is invalid. */
export function policyOf(input: PolicyInput = {}): Policy {
  const result = resolvePolicy(input);
  if (result.kind !== "ok") throw new Error(result.problems.map(({ message }) => message).join("; "));
  return result.policy;
}

/** A settled, old, well-grouped snappy file but for what is given. */
export function statsOf(given: Partial<FileStats> & { readonly path: string }): FileStats {
  const sizeBytes = given.sizeBytes ?? 1000;
  return {
    sizeBytes,
    mtimeNs: "1",
    inode: `i-${given.path}`,
    otherDevice: false,
    changedMs: NOW_MS - 10 * HOUR_MS,
    rows: 100,
    rowGroupCount: 1,
    compressedBytes: sizeBytes,
    uncompressedBytes: 2 * sizeBytes,
    codecs: ["snappy"],
    createdBy: "test",
    schemaClass: "a",
    ...given,
  };
}

export function readable(given: Partial<FileStats> & { readonly path: string }): DataFile {
  return { kind: "readable", stats: statsOf(given) };
}

export function unreadable(path: string, reason: "quarantined" | "unsupported", sizeBytes = 10): DataFile {
  const facts = { path, sizeBytes, mtimeNs: "1", inode: path, otherDevice: false, changedMs: 0 };
  const file = { ...facts, reason, detail: "why" };
  return { kind: "unreadable", file };
}

export function inputOf(files: readonly DataFile[], given: Partial<CompactionInput> = {}): CompactionInput {
  return {
    partitions: partitionFiles(files),
    policy: policyOf(),
    nowMs: NOW_MS,
    unsupportedClasses: new Map(),
    filters: [],
    learnedRatio: null,
    ...given,
  };
}

/** The data files that an input holds. */
export function filesOf({ partitions }: CompactionInput): readonly DataFile[] {
  return [...partitions].flatMap(({ files }) => files);
}

const DIRECTORIES = ["", "day=1", "day=10", "day=1/hour=2", "plain"];
const AGES_MS = [-HOUR_MS, 0, 1, 2_000, 60_000, HOUR_MS - 1, HOUR_MS, 30 * HOUR_MS, 900 * HOUR_MS];

const randomStats: fc.Arbitrary<FileStats> = fc
  .record({
    directory: fc.constantFrom(...DIRECTORIES),
    published: fc.boolean(),
    ordinal: fc.nat(9999),
    sizeBytes: fc.oneof(
      { weight: 4, arbitrary: fc.integer({ min: 1, max: 8_000 }) },
      fc.integer({ min: 1, max: 60_000 }),
    ),
    rows: fc.oneof(fc.constantFrom(0, 1, 2, 3, 11), fc.nat(30_000)),
    groups: fc.constantFrom(1, 1, 1, 2, 9),
    codec: fc.constantFrom("snappy", "zstd"),
    schemaClass: fc.constantFrom("a", "a", "a", "b"),
    ageMs: fc.constantFrom(...AGES_MS),
    inode: fc.oneof({ weight: 8, arbitrary: fc.nat() }, fc.constantFrom(1, 2)),
    otherDevice: fc.constantFrom(false, false, false, false, false, false, true),
  })
  .map(({ directory, published, ordinal, sizeBytes, rows, groups, codec, schemaClass, ageMs, ...rest }) => {
    const name = published ? publishedName("compact", "r0", ordinal) : `part-${ordinal}.parquet`;
    return statsOf({
      path: directory === "" ? name : `${directory}/${name}`,
      inode: String(rest.inode),
      otherDevice: rest.otherDevice,
      sizeBytes,
      rows,
      rowGroupCount: Math.min(rows, groups),
      codecs: rows === 0 ? [] : [codec],
      schemaClass,
      changedMs: NOW_MS - ageMs,
    });
  });

const randomFile: fc.Arbitrary<DataFile> = fc.oneof(
  { weight: 12, arbitrary: randomStats.map((stats): DataFile => ({ kind: "readable", stats })) },
  randomStats.map(({ path, sizeBytes }) => unreadable(path, "quarantined", sizeBytes)),
);

export const randomFiles: fc.Arbitrary<readonly DataFile[]> = fc.uniqueArray(randomFile, {
  maxLength: 40,
  selector: (file) => (file.kind === "readable" ? file.stats.path : file.file.path),
});

/** Small sizes, so that few files reach every bound. */
export const randomPolicy: fc.Arbitrary<Policy> = fc
  .record({
    targetSize: fc.constantFrom(100, 5_000, 10_000),
    targetRows: fc.constantFrom(undefined, undefined, 1_000, 20_000, 7_777),
    rowsPerGroup: fc.constantFrom(2048, 10_000),
    minFiles: fc.constantFrom(2, 3, 12),
    minAgeMs: fc.constantFrom(0, 60_000, HOUR_MS),
    minBytes: fc.constantFrom(1, 3_000, 1_000_000),
    rowGroupFactor: fc.constantFrom(2, 2, 5),
    tierFactor: fc.constantFrom(2, 5, 20),
    cooldownMs: fc.constantFrom(0, 0, 0, 30_000, HOUR_MS),
    settleMs: fc.constantFrom(0, 2_000),
    compression: fc.constantFrom(undefined, undefined, "zstd"),
  })
  .map(({ targetRows, compression, ...rest }) =>
    policyOf({
      ...rest,
      ...(targetRows === undefined ? {} : { targetRows }),
      ...(compression === undefined ? {} : { compression }),
    }),
  );

export const randomInput: fc.Arbitrary<CompactionInput> = fc
  .record({
    files: randomFiles,
    policy: randomPolicy,
    unsupported: fc.constantFrom(new Map<string, string>(), new Map([["b", "x: int96"]])),
    learnedRatio: fc.constantFrom(null, 0.5, 1.5),
  })
  .map(({ files, policy, unsupported, learnedRatio }) =>
    inputOf(files, { policy, unsupportedClasses: unsupported, learnedRatio }),
  );

export function pathOf(file: DataFile): string {
  return file.kind === "readable" ? file.stats.path : file.file.path;
}

export function directoryPath(partition: string, name: string): string {
  return partition === "" ? name : `${partition}/${name}`;
}
