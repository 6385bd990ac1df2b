import type {
  DatasetStats,
  DatasetSummary,
  PlanSummary,
  PurgeResult,
  RunResult,
  WireCanonicalStats,
  WireEstimate,
  WireGroup,
  WireRun,
} from "../../server/src/protocol.ts";

/** Complete wire values that a test changes where it cares. */

export const STATS: WireCanonicalStats = {
  beforeFileCount: 412,
  afterFileCount: 10,
  beforeTotalBytes: 40_000_000,
  afterTotalBytes: 36_000_000,
  compactedFileCount: 408,
  rewrittenBytes: 39_000_000,
  compressionCodec: "zstd",
  dryRun: true,
  clusterColumns: [],
  plannedGroups: [],
};

export const ESTIMATE: WireEstimate = {
  basis: "inputs",
  ratio: 1,
  neededBytes: 39_000_000,
  freeBytes: 100_000_000,
  retainedBytes: 39_000_000,
  purgeBytes: 0,
};

export function summaryOf(dataset: string, changes: Partial<DatasetSummary> = {}): DatasetSummary {
  return {
    dataset,
    state: "ready",
    generation: 1,
    fileCount: 412,
    totalBytes: 40_000_000,
    totalRows: 4_000_000,
    smallFileCount: 400,
    unsettledCount: 0,
    quarantinedCount: 0,
    health: { score: 38, reasons: [{ kind: "small_files", files: 400, bytes: 39_000_000, partitions: 3 }] },
    watch: { kind: "watching" },
    automation: { onThreshold: "notify", state: "idle" },
    running: false,
    interruptedGroups: 0,
    recovered: [],
    warnings: [],
    ...changes,
  };
}

export function planOf(changes: Partial<PlanSummary> = {}): PlanSummary {
  return {
    kind: "planned",
    planId: "3f2a",
    dataset: "/lake/events",
    generation: 7,
    operation: "compact",
    engine: "duckdb",
    partitionFilter: [],
    stats: STATS,
    groupCount: 3,
    skippedCount: 0,
    skippedByReason: {},
    estimate: ESTIMATE,
    benefit: { filesBefore: 408, filesAfter: 6, rowGroupsBefore: 408, rowGroupsAfter: 6 },
    health: summaryOf("/lake/events").health,
    notes: [],
    ...changes,
  };
}

export function groupOf(partition: string, inputs: number): WireGroup {
  return {
    partition,
    schemaClass: "a",
    inputs: Array.from({ length: inputs }, (_, index) => ({
      path: `${partition}/part-${index}.parquet`,
      sizeBytes: 2048,
      rows: 100,
      mtimeNs: "1",
      inode: String(index),
    })),
    outputRows: [inputs * 100],
    codec: "zstd",
    reasons: ["small_files", "row_groups"],
    inputBytes: inputs * 2048,
    estimatedOutputBytes: inputs * 2000,
    rowGroupsBefore: inputs,
    rowGroupsAfter: 1,
  };
}

export function resultOf(changes: Partial<RunResult> = {}): RunResult {
  return {
    kind: "published",
    runId: "r-1",
    dataset: "/lake/events",
    planId: "3f2a",
    engine: "duckdb",
    stats: { ...STATS, dryRun: false },
    groups: [
      {
        partition: "day=1",
        kind: "published",
        inputs: 136,
        inputBytes: 13_000_000,
        outputs: [
          { path: "day=1/compacted-r-1-0001.parquet", sizeBytes: 12_000_000, rows: 13_600, rowGroups: 1 },
        ],
      },
    ],
    validation: { level: "V2", rowsCompared: 40_800, groupsPassed: 3, groupsFailed: 0, durationMs: 40 },
    durationMs: 4210,
    phases: { pin: 1, rewrite: 2000, validate: 40, sync: 12, publish: 3 },
    duplicateWindowMs: 2,
    estimate: ESTIMATE,
    recovered: [],
    purged: [],
    ...changes,
  };
}

export function runOf(runId: string, changes: Partial<WireRun> = {}): WireRun {
  return {
    runId,
    state: "published",
    operation: "compact",
    startedAt: "2026-01-01T00:00:00Z",
    engine: "duckdb",
    groups: 3,
    inputFiles: 408,
    inputBytes: 39_000_000,
    outputFiles: 6,
    outputBytes: 35_000_000,
    rows: 40_800,
    partitions: ["day=1"],
    retainedBytes: 39_000_000,
    stateSince: "2026-01-01T00:00:09Z",
    duplicateWindowMs: 2,
    folder: "/lake/.events.tamp/runs/r-1",
    ...changes,
  };
}

/** What a purge of two runs tells. */
export function purgeOf(changes: Partial<PurgeResult> = {}): PurgeResult {
  return {
    kind: "purged",
    dryRun: false,
    runs: [
      { runId: "r-1", files: 408, bytes: 39_000_000, lostOutputs: [], lostRows: 0 },
      { runId: "r-2", files: 2, bytes: 1_000_000, lostOutputs: [], lostRows: 0 },
    ],
    kept: [],
    purgedFiles: 410,
    purgedBytes: 40_000_000,
    retainedBytes: 0,
    recovered: [],
    ...changes,
  };
}

export function statsOf(changes: Partial<DatasetStats> = {}): DatasetStats {
  return {
    dataset: "/lake/events",
    generation: 7,
    fileCount: 412,
    totalBytes: 40_000_000,
    totalRows: 41_200,
    partitionCount: 3,
    rowGroupCount: 412,
    smallFileCount: 400,
    smallFileBytes: 39_000_000,
    schemaClassCount: 1,
    uncompressedBytes: 90_000_000,
    quarantinedCount: 1,
    unsettledCount: 2,
    codecs: { snappy: 12, zstd: 400 },
    sizeHistogram: [
      { belowBytes: 2 ** 20, files: 400 },
      { belowBytes: 2 ** 27, files: 12 },
      { belowBytes: null, files: 0 },
    ],
    partitions: [
      {
        partition: "day=1",
        keys: [{ key: "day", value: "1" }],
        files: 137,
        smallFiles: 136,
        bytes: 13_000_000,
      },
    ],
    health: summaryOf("/lake/events").health,
    watch: {
      kind: "degraded",
      reason: "the inotify limit is reached",
      remedy: "raise fs.inotify.max_user_watches",
    },
    warnings: [],
    ...changes,
  };
}
