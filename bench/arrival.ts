/**
 * Files arrive in one partition and every plan that is not empty is run at once: how many bytes do the rewrites
 * write for each byte that arrived (the arrival itself is not counted), and how many small files stand there,
 * averaged over time? One JSON line per scenario and way of triggering. Fails where ours writes more than 3 bytes per
 * byte, or leaves more than 8 small files on average where that is asked for.
 */
import { type DataFile, drain, type Policy, planCompaction, publishedName, resolvePolicy } from "@tamp/core";
import { packNeighbours } from "../core/src/pack.ts";

const SECOND_MS = 1_000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;
const START_MS = 1_700_000_000_000;
const MOST_AMPLIFICATION = 3;
const MOST_SMALL_FILES = 8;

interface Arrival {
  readonly atMs: number;
  readonly sizeBytes: number;
}

interface Scenario {
  readonly name: string;
  readonly arrivals: readonly Arrival[];
  /** Output bytes per input byte, of what comes from outside and of what a run wrote. */
  readonly shrink?: { readonly raw: number; readonly published: number };
  /** False: the mean of small files is told, and no bound. */
  readonly boundsSmallFiles?: boolean;
}

interface Held {
  readonly name: string;
  readonly sizeBytes: number;
  readonly changedMs: number;
  readonly raw: boolean;
}

interface State {
  files: readonly Held[];
  arrivedBytes: number;
  readBytes: number;
  writtenBytes: number;
  runs: number;
}

/** Which of the files are rewritten now, and when to look again though nothing comes. */
type Trigger = (
  state: State,
  nowMs: number,
) => { readonly groups: readonly (readonly Held[])[]; readonly dueMs: number | null };

const resolved = resolvePolicy({});
if (resolved.kind !== "ok") throw new Error("the default policy is invalid");
const { targetBytes, oversizeBytes, smallFileBytes } = resolved.policy;

function byCount(least: number): Trigger {
  return ({ files }) => {
    const small = files.filter(isSmall);
    if (small.length < least) return { groups: [], dueMs: null };
    const weighed = small.map((file) => ({ file, sizeBytes: file.sizeBytes, rows: 1 }));
    const bins = drain(packNeighbours(weighed, { targetBytes, mostBytes: oversizeBytes, mostRows: null }));
    const groups = bins.filter((bin) => bin.length > 1).map((bin) => bin.map(({ file }) => file));
    return { groups, dueMs: null };
  };
}

function ours(policy: Policy): Trigger {
  return ({ files, readBytes, writtenBytes }, nowMs) => {
    const byName = new Map(files.map((file) => [file.name, file]));
    const plan = planCompaction({
      partitions: [{ partition: "", files: files.map(dataFile) }],
      policy,
      nowMs,
      unsupportedClasses: new Map(),
      filters: [],
      learnedRatio: readBytes === 0 ? null : writtenBytes / readBytes,
    });
    const groups = plan.groups.map(({ inputs }) => inputs.flatMap(({ path }) => byName.get(path) ?? []));
    return { groups, dueMs: plan.nextDueMs };
  };
}

function dataFile({ name, sizeBytes, changedMs }: Held): DataFile {
  return {
    kind: "readable",
    stats: {
      path: name,
      sizeBytes,
      mtimeNs: String(changedMs),
      inode: "none",
      otherDevice: false,
      changedMs,
      rows: 1 + Math.round(sizeBytes / 2_000),
      rowGroupCount: 1,
      compressedBytes: sizeBytes,
      uncompressedBytes: sizeBytes,
      codecs: ["zstd"],
      createdBy: "bench",
      schemaClass: "a",
    },
  };
}

const isSmall = (file: Held): boolean => file.sizeBytes < smallFileBytes;

/** What is found out about one way of triggering. */
function simulate(scenario: Scenario, trigger: Trigger) {
  const state: State = { files: [], arrivedBytes: 0, readBytes: 0, writtenBytes: 0, runs: 0 };
  const waiting = [...scenario.arrivals];
  const lastMs = waiting.at(-1)?.atMs ?? 0;
  let nowMs = waiting[0]?.atMs ?? 0;
  let weighted = 0;
  let peak = 0;
  let afterMs = 0;
  for (;;) {
    while (waiting[0] !== undefined && waiting[0].atMs <= nowMs) arrive(state, waiting.shift());
    peak = Math.max(peak, state.files.filter(isSmall).length);
    const { groups, dueMs } = trigger(state, nowMs);
    for (const group of groups) rewrite(state, group, nowMs, scenario.shrink);
    if (groups.length > 0) afterMs = Math.max(0, nowMs - lastMs);
    // A plan that has just been run is asked again: it knows when its outputs may be rewritten.
    const next = groups.length > 0 ? trigger(state, nowMs).dueMs : dueMs;
    const nextMs = Math.min(waiting[0]?.atMs ?? Infinity, next ?? Infinity);
    if (nextMs === Infinity) break;
    const countedMs = Math.min(nextMs, lastMs) - Math.min(nowMs, lastMs);
    weighted += countedMs * state.files.filter(isSmall).length;
    nowMs = nextMs;
  }
  return {
    amplification: state.writtenBytes / state.arrivedBytes,
    meanSmallFiles: weighted / Math.max(1, lastMs - (scenario.arrivals[0]?.atMs ?? 0)),
    peakSmallFiles: peak,
    runs: state.runs,
    smallFilesInTheEnd: state.files.filter(isSmall).length,
    hoursUntilTheEnd: afterMs / HOUR_MS,
  };
}

function arrive(state: State, arrival: Arrival | undefined): void {
  if (arrival === undefined) return;
  const { atMs, sizeBytes } = arrival;
  const name = `part-${String(state.arrivedBytes).padStart(15, "0")}.parquet`;
  state.files = [...state.files, { name, sizeBytes, changedMs: atMs, raw: true }];
  state.arrivedBytes += sizeBytes;
}

function rewrite(
  state: State,
  group: readonly Held[],
  nowMs: number,
  shrink: Scenario["shrink"] = { raw: 1, published: 1 },
): void {
  const gone = new Set(group);
  let sizeBytes = 0;
  for (const file of group) sizeBytes += file.sizeBytes * (file.raw ? shrink.raw : shrink.published);
  sizeBytes = Math.ceil(sizeBytes);
  state.runs += 1;
  const name = publishedName("compact", `r${String(state.runs).padStart(6, "0")}`, 1);
  state.files = [
    ...state.files.filter((file) => !gone.has(file)),
    { name, sizeBytes, changedMs: nowMs, raw: false },
  ];
  state.readBytes += group.reduce((sum, file) => sum + file.sizeBytes, 0);
  state.writtenBytes += sizeBytes;
}

/** Numbers in [0, 1) from a fixed seed. */
function dice(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 48_271) % 2_147_483_647;
    return state / 2_147_483_647;
  };
}

const TICKS = 2_000;
const MB = 1_000_000;

function stream(
  everyMs: number,
  sizeOf: () => number = () => 2 * MB,
  gap: () => number = () => 1,
): readonly Arrival[] {
  let atMs = START_MS;
  return Array.from({ length: TICKS }, () => {
    const arrival = { atMs: Math.round(atMs), sizeBytes: Math.ceil(sizeOf()) };
    atMs += everyMs * gap();
    return arrival;
  });
}

function bursts(): readonly Arrival[] {
  return stream(0).map(({ sizeBytes }, index) => ({
    sizeBytes,
    atMs: START_MS + Math.floor(index / 100) * HOUR_MS + (index % 100),
  }));
}

const TIMES = [
  ["1 s", SECOND_MS],
  ["1 min", MINUTE_MS],
  ["10 min", 10 * MINUTE_MS],
  ["1 h", HOUR_MS],
  ["6 h", 6 * HOUR_MS],
] as const;

const RANDOM_TIMES = [
  ...TIMES,
  ["90 min", 90 * MINUTE_MS],
  ["1 d", 24 * HOUR_MS],
  ["7 d", 7 * 24 * HOUR_MS],
] as const;

function scenarios(): readonly Scenario[] {
  const wide = (seed: number): (() => number) => {
    const roll = dice(seed);
    return () => MB * (0.1 + 19.9 * roll());
  };
  const atRandom = (seed: number): (() => number) => {
    const roll = dice(seed);
    return () => -Math.log(1 - roll());
  };
  return [
    ...TIMES.map(([name, everyMs]) => ({ name: `2 MB every ${name}`, arrivals: stream(everyMs) })),
    ...TIMES.map(([name, everyMs]) => ({
      name: `0.1-20 MB every ${name}`,
      arrivals: stream(everyMs, wide(7)),
    })),
    ...TIMES.map(([name, everyMs]) => ({
      name: `2 MB every ${name}, each rewrite leaves 60 %`,
      arrivals: stream(everyMs),
      shrink: { raw: 0.6, published: 0.6 },
    })),
    ...TIMES.map(([name, everyMs]) => ({
      name: `2 MB every ${name}, the first rewrite leaves 60 %`,
      arrivals: stream(everyMs),
      shrink: { raw: 0.6, published: 1 },
    })),
    { name: "100 x 2 MB at once, then nothing for an hour", arrivals: bursts(), boundsSmallFiles: false },
    ...RANDOM_TIMES.map(([name, everyMs], index) => ({
      name: `2 MB at random times, every ${name} on average`,
      arrivals: stream(everyMs, () => 2 * MB, atRandom(11 + index)),
    })),
    { name: "2 MB every 90 min", arrivals: stream(90 * MINUTE_MS) },
    { name: "2 MB every 1 d", arrivals: stream(24 * HOUR_MS) },
    { name: "20 kB every 1 min", arrivals: stream(MINUTE_MS, () => 20_000), boundsSmallFiles: false },
    { name: "200 kB every 1 min", arrivals: stream(MINUTE_MS, () => 200_000), boundsSmallFiles: false },
  ];
}

const TRIGGERS: readonly (readonly [string, Trigger])[] = [
  ["every tick", byCount(2)],
  ["5 small files", byCount(5)],
  ["12 small files", byCount(12)],
  ["50 small files", byCount(50)],
  ["ours", ours(resolved.policy)],
];

for (const scenario of scenarios()) {
  for (const [trigger, decide] of TRIGGERS) {
    const found = simulate(scenario, decide);
    const rounded = Object.entries(found).map(([name, value]) => [name, Number(value.toPrecision(3))]);
    console.log(
      JSON.stringify({ bench: "arrival", scenario: scenario.name, trigger, ...Object.fromEntries(rounded) }),
    );
    const tooMany = scenario.boundsSmallFiles !== false && found.meanSmallFiles > MOST_SMALL_FILES;
    if (trigger === "ours" && (found.amplification > MOST_AMPLIFICATION || tooMany)) process.exitCode = 1;
  }
}
