import { expect, it } from "vitest";
import type { DaemonClient } from "../../server/src/cli/client.ts";
import type { CliIo } from "../../server/src/cli/io.ts";
import { runCli } from "../../server/src/cli/program.ts";
import { TampError } from "../../server/src/errors.ts";
import type {
  DatasetStats,
  DatasetSummary,
  PlanDocument,
  PurgeResult,
  RunResult,
  UndoResult,
  WireHealth,
  WireRecovered,
  WireRun,
} from "../../server/src/protocol.ts";
export const MIB = 2 ** 20;
export const ROOT = "/data/events";
export const HEALTH: WireHealth = {
  score: 41,
  reasons: [{ kind: "small_files", files: 1100, bytes: 300 * MIB, partitions: 2 }],
};

export const SUMMARY: DatasetSummary = {
  dataset: ROOT,
  state: "ready",
  generation: 3,
  fileCount: 1234,
  totalBytes: 1200 * MIB,
  totalRows: 12_345_678,
  smallFileCount: 1100,
  unsettledCount: 0,
  quarantinedCount: 0,
  health: HEALTH,
  watch: { kind: "watching" },
  automation: { onThreshold: "notify", state: "idle" },
  running: false,
  interruptedGroups: 0,
  recovered: [],
  warnings: [],
};

export const STATS: DatasetStats = {
  dataset: ROOT,
  generation: 3,
  fileCount: 1234,
  totalBytes: 1200 * MIB,
  totalRows: 12_345_678,
  partitionCount: 3,
  rowGroupCount: 5000,
  smallFileCount: 1100,
  smallFileBytes: 300 * MIB,
  schemaClassCount: 1,
  uncompressedBytes: 3000 * MIB,
  quarantinedCount: 0,
  unsettledCount: 0,
  codecs: { snappy: 1200, zstd: 34 },
  sizeHistogram: [
    { belowBytes: MIB, files: 1 },
    { belowBytes: 128 * MIB, files: 1000 },
    { belowBytes: 1024 * MIB, files: 250 },
    { belowBytes: null, files: 0 },
  ],
  partitions: [
    { partition: "day=1", keys: [{ key: "day", value: "1" }], files: 600, smallFiles: 590, bytes: 200 * MIB },
  ],
  health: HEALTH,
  watch: { kind: "off" },
  warnings: ["the clock of the file server is 3 s ahead"],
};

const input = (path: string) => ({ path, sizeBytes: 5 * MIB, rows: 10, mtimeNs: "1", inode: "2" });

export const PLAN: PlanDocument = {
  tampPlan: 1,
  kind: "planned",
  planId: "0123456789abcdef0123456789abcdef",
  dataset: ROOT,
  generation: 3,
  operation: "compact",
  engine: "duckdb",
  partitionFilter: [],
  stats: {
    beforeFileCount: 1234,
    afterFileCount: 1231,
    beforeTotalBytes: 1200 * MIB,
    afterTotalBytes: 1190 * MIB,
    compactedFileCount: 4,
    rewrittenBytes: 20 * MIB,
    compressionCodec: "zstd",
    dryRun: true,
    clusterColumns: [],
    plannedGroups: [["day=1/a.parquet", "day=1/b.parquet", "day=1/c.parquet", "day=1/d.parquet"]],
  },
  groupCount: 1,
  skippedCount: 1230,
  skippedByReason: { at_target: 1200, unsupported: 29, brand_new: 1 },
  estimate: {
    basis: "runs",
    ratio: 0.5,
    neededBytes: 12 * MIB,
    freeBytes: 100 * MIB,
    retainedBytes: 20 * MIB,
    purgeBytes: 0,
  },
  benefit: { filesBefore: 1234, filesAfter: 1231, rowGroupsBefore: 5000, rowGroupsAfter: 4990 },
  health: HEALTH,
  notes: ["page indexes are not written"],
  policy: {
    targetBytes: 128 * MIB,
    smallFileBytes: 96 * MIB,
    oversizeBytes: 230 * MIB,
    targetRows: null,
    rowsPerGroup: 122_880,
    minFiles: 12,
    minAgeMs: 3_600_000,
    minBytes: 128 * MIB,
    rowGroupFactor: 2,
    tierFactor: 8,
    cooldownMs: 0,
    settleMs: 2000,
    compression: null,
    allow: [],
    maxRunBytes: null,
    maxRunGroups: null,
    retentionMs: 604_800_000,
    maxRetainedBytes: null,
  },
  groups: [
    {
      partition: "day=1",
      schemaClass: "c0",
      inputs: ["a", "b", "c", "d"].map((name) => input(`day=1/${name}.parquet`)),
      outputRows: [40],
      codec: "zstd",
      reasons: ["small_files", "row_groups"],
      inputBytes: 20 * MIB,
      estimatedOutputBytes: 10 * MIB,
      rowGroupsBefore: 11,
      rowGroupsAfter: 1,
    },
  ],
  skipped: [{ path: "day=2/\u001b[31mred.parquet", reason: "unsupported", detail: "column a is a VARIANT" }],
};

export const NOTHING: PlanDocument = { ...PLAN, kind: "nothing_to_do", groups: [], groupCount: 0 };
export const REFUSED: PlanDocument = {
  ...NOTHING,
  kind: "refused",
  reason: "the dataset belongs to Delta Lake",
};

export const RESULT: RunResult = {
  kind: "published",
  runId: "20260301t120007000abcdef",
  dataset: ROOT,
  planId: PLAN.planId,
  engine: "duckdb",
  stats: { ...PLAN.stats, afterTotalBytes: 1184 * MIB, dryRun: false, plannedGroups: [] },
  groups: [
    {
      partition: "day=1",
      kind: "published",
      inputs: 4,
      inputBytes: 20 * MIB,
      outputs: [{ path: "day=1/compacted.parquet", sizeBytes: 4 * MIB, rows: 40, rowGroups: 1 }],
    },
  ],
  validation: { level: "V2", rowsCompared: 40, groupsPassed: 1, groupsFailed: 0, durationMs: 12 },
  durationMs: 3210,
  phases: { pin: 1, rewrite: 2000, validate: 12, sync: 0, publish: 60 },
  duplicateWindowMs: 52,
  estimate: PLAN.estimate,
  recovered: [],
  purged: [],
};

export const RUN: WireRun = {
  runId: RESULT.runId,
  state: "published",
  operation: "compact",
  startedAt: "2026-03-01T12:00:07.000Z",
  engine: "duckdb 1",
  groups: 1,
  inputFiles: 4,
  inputBytes: 20 * MIB,
  outputFiles: 1,
  outputBytes: 4 * MIB,
  rows: 40,
  partitions: ["day=1"],
  retainedBytes: 20 * MIB,
  stateSince: "2026-03-01T12:00:09.000Z",
  duplicateWindowMs: 52,
  folder: "/data/.events.tamp/runs/20260301t120007000abcdef",
};

export const UNDONE: UndoResult = {
  kind: "undone",
  runId: RUN.runId,
  restoredFiles: 4,
  withdrawnFiles: 1,
  duplicateWindowMs: 53,
  recovered: [],
};

/** Two groups of a run that was killed: one was finished, one could not be judged. */
export const RECOVERED: readonly WireRecovered[] = [
  {
    runId: "r0",
    group: 1,
    action: "roll_forward",
    detail: "2 sources retired",
    duplicateWindowMs: 7_500_000,
  },
  { runId: "r0", group: 2, action: "quarantine", detail: "a source was rewritten", duplicateWindowMs: 0 },
];

/** What `--dry-run` says, and what a purge says afterwards but for `dryRun`. */
export const PURGE: PurgeResult = {
  kind: "purged",
  dryRun: true,
  runs: [
    { runId: "r1", files: 4, bytes: 20 * MIB, lostOutputs: [], lostRows: 0 },
    { runId: "r2", files: 1200, bytes: 300 * MIB, lostOutputs: [], lostRows: 0 },
  ],
  kept: [{ runId: "r3", reason: "it was interrupted and is not recovered" }],
  purgedFiles: 1204,
  purgedBytes: 320 * MIB,
  retainedBytes: 5 * MIB,
  recovered: [],
};
/** A run that was named, and whose outputs somebody deleted. */
export const LOSING: PurgeResult = {
  ...PURGE,
  runs: [
    {
      runId: "r1",
      files: 4,
      bytes: 20 * MIB,
      lostOutputs: ["d=1/a.parquet", "d=2/b.parquet", "d=3/c.parquet", "d=4/d.parquet"],
      lostRows: 1234,
    },
  ],
  kept: [],
  purgedFiles: 4,
  purgedBytes: 20 * MIB,
};
export const NO_PURGE: PurgeResult = {
  ...PURGE,
  kind: "nothing_to_do",
  runs: [],
  kept: [],
  purgedFiles: 0,
  purgedBytes: 0,
};

/** An answer of the fake daemon: a value, an error to reject with, or what to do first. */
type Answer = unknown | Error | (() => unknown);

const ANSWERS: Readonly<Record<string, Answer>> = {
  "tamp/dataset/open": SUMMARY,
  "tamp/dataset/stats": STATS,
  "tamp/plan": PLAN,
  "tamp/plan/document": PLAN,
  "tamp/execute": RESULT,
  "tamp/runs": { runs: [RUN] },
  "tamp/undo": UNDONE,
  "tamp/recover": { kind: "nothing_to_do", groups: [] },
  "tamp/purge": ({ params }: { params: { dryRun?: boolean } }) => ({
    ...PURGE,
    dryRun: params.dryRun === true,
  }),
};

export interface Setting {
  readonly tty?: boolean;
  readonly columns?: number;
  readonly confirm?: boolean;
  readonly answers?: Readonly<Record<string, Answer>>;
  readonly files?: Readonly<Record<string, string>>;
  /** Milliseconds since the epoch; default: always the same. */
  readonly now?: () => number;
  /** What the daemon tells while the command waits for its end. */
  readonly meanwhile?: (tell: (name: string, params: unknown) => void) => void | Promise<void>;
}

export interface Outcome {
  readonly code: number;
  readonly out: string;
  readonly err: string;
  readonly calls: readonly { readonly method: string; readonly params: unknown }[];
  readonly questions: readonly string[];
  readonly slept: readonly number[];
  readonly written: Readonly<Record<string, string>>;
  readonly served: readonly unknown[];
  readonly closed: number;
}

/** A process whose SIGINT the test sends: by `abort`, or when a long sleep begins. */
export async function run(
  line: string,
  setting: Setting = {},
  abort = new AbortController(),
): Promise<Outcome> {
  const { tty = false, confirm = true, columns = 80, answers = {}, files = {} } = setting;
  const state = { out: "", err: "", closed: 0 };
  const calls: { method: string; params: unknown }[] = [];
  const questions: string[] = [];
  const slept: number[] = [];
  const written: Record<string, string> = {};
  const served: unknown[] = [];
  const listeners = new Map<string, (params: never) => void>();
  const io: CliIo = {
    out: (text) => {
      state.out += text;
    },
    err: (text) => {
      state.err += text;
    },
    outIsTty: tty,
    errIsTty: tty,
    columns,
    color: false,
    confirm: async (question) => {
      questions.push(question);
      return confirm;
    },
    signal: abort.signal,
    now: setting.now ?? (() => Date.UTC(2026, 2, 1, 12, 0, 7)),
    readFile: async (path) => files[path] ?? Promise.reject(new Error(`ENOENT: ${path}`)),
    createFile: async (path, text) => {
      if (path in files) throw Object.assign(new Error("exists"), { code: "EEXIST" });
      written[path] = text;
    },
    realPath: async (path) => path.replace(/^\/link(?=\/|$)/, "/data"),
    resolvePath: (path) => (path.startsWith("/") ? path : `/data/${path}`),
    sleep: async (ms) => {
      slept.push(ms);
      if (ms <= 10_000) return;
      await setting.meanwhile?.((name, params) => listeners.get(name)?.(params as never));
      abort.abort();
    },
  };
  const client: DaemonClient = {
    request: async (method, params, options) => {
      calls.push({ method, params });
      options?.onProgress?.({ kind: "report", message: "1 of 1 groups", percentage: 50 });
      const given = method in answers ? answers[method] : ANSWERS[method];
      const answer = typeof given === "function" ? given({ listeners, abort, params }) : given;
      if (answer instanceof Error) throw answer;
      return answer;
    },
    onNotification: (name, handler) => {
      listeners.set(name, handler as (params: never) => void);
    },
    close: async () => {
      state.closed += 1;
    },
  };
  const code = await runCli(line.split(" "), {
    io,
    connect: async () => client,
    serve: async (options) => {
      served.push(options);
      return 7;
    },
    version: "1.2.3",
  });
  return { ...state, code, calls, questions, slept, written, served };
}

export interface Row {
  readonly line: string;
  readonly setting?: Setting;
  readonly code: number;
  /** Texts that each stream holds. */
  readonly out?: readonly string[];
  readonly err?: readonly string[];
  /** Methods in the order that they were sent, without `tamp/`. */
  readonly sent?: readonly string[];
  /** True: stdout holds nothing. */
  readonly quiet?: boolean;
  readonly asked?: number;
}

export async function check(row: Row): Promise<void> {
  const outcome = await run(row.line, row.setting);
  expect(outcome.code, outcome.err).toBe(row.code);
  for (const text of row.out ?? []) expect(outcome.out).toContain(text);
  for (const text of row.err ?? []) expect(outcome.err).toContain(text);
  if (row.sent !== undefined)
    expect(outcome.calls.map(({ method }) => method.replace("tamp/", ""))).toEqual(row.sent);
  if (row.quiet === true) expect(outcome.out).toBe("");
  if (row.asked !== undefined) expect(outcome.questions).toHaveLength(row.asked);
  const opened = outcome.calls.length > 0 ? 1 : 0;
  expect(outcome.closed).toBe(opened);
}

/** One test for each row. */
export const rows = (list: readonly Row[]): void => {
  it.each(list.map((row) => [`tamp ${row.line}`, row] as const))("%s", (_name, row) => check(row));
};

export const PLANNING = ["dataset/open", "dataset/stats", "plan", "plan/document"];
export const cancelled = new TampError("Cancelled", "cancelled", { hint: "again", notDone: "nothing" });
export const locked = new TampError("Locked", "held by process 7", {
  hint: "wait",
  notDone: "the plan was not run",
});
export const planFile = { "/data/p.json": JSON.stringify(PLAN) };
export const runOf = (kind: RunResult["kind"], groups = RESULT.groups): Setting => ({
  answers: { "tamp/execute": { ...RESULT, kind, groups, reason: "row 3 differs" } },
});
export const planOf = (document: PlanDocument): Setting => ({ answers: { "tamp/plan/document": document } });
