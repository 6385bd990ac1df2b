import { createHash } from "node:crypto";
import * as fsp from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import {
  amplification,
  HISTORY_STEP_MS,
  type HistoryPoint,
  type HistoryRun,
  inOrder,
  shouldRecord,
} from "@tamp/core";
import { appendHistory, isLong, readHistory, thinHistory } from "./history-file.ts";
import { type HistoryLine, pointsOf, readHistoryLines, runsOf, writeHistoryLine } from "./history-lines.ts";

export interface DatasetHistoryOptions {
  /** The user's state folder, in which `history` is made; null: nothing is kept. */
  readonly folder: string | null;
  readonly root: string;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

export type HistorySample = Omit<HistoryPoint, "atMs" | "arrivedBytes" | "rewrittenBytes">;

export interface HistoryRange {
  /** Milliseconds since the epoch; default: from the beginning. */
  readonly sinceMs?: number;
  /** The newest so many. */
  readonly limit: number;
}

export interface HistoryAnswer {
  /** By time. */
  readonly points: readonly HistoryPoint[];
  readonly runs: readonly HistoryRun[];
  /** Over the time asked for; null where nothing came in. */
  readonly amplification: number | null;
}

/**
 * What became of one dataset over time, a line for each moment in a file of the user's. Nothing rejects: what cannot
 * be written or read is told as `warning`, and the dataset is served without it. Other processes may write the same
 * history at the same time.
 */
export interface DatasetHistory {
  readonly warning: string | null;
  /** New files that no run wrote. Until the first `record`, the growth since the last point stands for them. */
  arrived(bytes: number): void;
  /** The dataset as it is now: becomes a point where it is worth one. */
  record(sample: HistorySample): Promise<void>;
  recordRun(run: Omit<HistoryRun, "atMs">): Promise<void>;
  /** Makes a point of what was recorded last, where something has come in since the last one. */
  flush(): Promise<void>;
  read(range: HistoryRange): Promise<HistoryAnswer>;
}

interface State {
  readonly options: DatasetHistoryOptions;
  file: string | null;
  loaded: boolean;
  /** This process has seen the dataset: what comes from now on is new. */
  begun: boolean;
  last: HistoryPoint | null;
  /** Not in the file yet. */
  sample: HistorySample | null;
  /** A run has ended since the last point. */
  due: boolean;
  arrivedBytes: number;
  rewrittenBytes: number;
  warning: string | null;
}

export function createDatasetHistory(options: DatasetHistoryOptions): DatasetHistory {
  const state: State = {
    options,
    file: null,
    loaded: false,
    begun: false,
    last: null,
    sample: null,
    due: false,
    arrivedBytes: 0,
    rewrittenBytes: 0,
    warning: null,
  };
  let queue: Promise<unknown> = Promise.resolve();
  const inTurn = <T>(work: () => Promise<T>, otherwise: T): Promise<T> => {
    if (options.folder === null) return Promise.resolve(otherwise);
    const done = queue.then(work).catch((error: unknown) => {
      const text = error instanceof Error ? error.message : String(error);
      state.warning = `the history of ${options.root} is not kept: ${text}`;
      return otherwise;
    });
    queue = done;
    return done;
  };
  return {
    get warning() {
      return state.warning;
    },
    arrived(bytes) {
      if (state.begun) state.arrivedBytes += bytes;
    },
    record(sample) {
      const isFirst = !state.begun;
      state.begun = true;
      return inTurn(() => record(state, sample, isFirst), undefined);
    },
    recordRun: (run) => inTurn(() => recordRun(state, run), undefined),
    flush: () => inTurn(() => flush(state), undefined),
    read: (range) => inTurn(() => read(state, range), NOTHING),
  };
}

const NOTHING: HistoryAnswer = { points: [], runs: [], amplification: null };

async function record(state: State, sample: HistorySample, isFirst: boolean): Promise<void> {
  state.sample = sample;
  // Until the file was read once nobody knows what came before.
  if (!state.loaded) await load(state);
  // Nobody saw the files come.
  if (isFirst) state.arrivedBytes += Math.max(0, sample.bytes - (state.last?.bytes ?? 0));
  if (state.due || shouldRecord(state.last, pointOf(state, sample))) await append(state, sample);
}

async function flush(state: State): Promise<void> {
  const { sample, last, arrivedBytes } = state;
  if (sample !== null && arrivedBytes > (last?.arrivedBytes ?? 0)) await append(state, sample);
}

async function append(state: State, sample: HistorySample): Promise<void> {
  const text = await load(state);
  const point = pointOf(state, sample);
  await appendLine(state, text, { kind: "point", point });
  state.last = point;
  state.sample = null;
  state.due = false;
}

async function recordRun(state: State, run: Omit<HistoryRun, "atMs">): Promise<void> {
  const text = await load(state);
  state.rewrittenBytes += run.rewrittenBytes;
  state.due = true;
  // It is of the dataset before the run.
  state.sample = null;
  await appendLine(state, text, { kind: "run", run: { ...run, atMs: state.options.now() } });
}

function pointOf({ options, arrivedBytes, rewrittenBytes }: State, sample: HistorySample): HistoryPoint {
  return { atMs: options.now(), ...sample, arrivedBytes, rewrittenBytes };
}

/**
 * The file as it is. What other processes counted in it counts here too: they saw the same files arrive, and what
 * their runs wrote is known from nowhere else.
 */
async function load(state: State): Promise<string> {
  const text = await readHistory(await fileOf(state));
  const lines = readHistoryLines(text);
  const { arrivedBytes, rewrittenBytes } = sumsOf(lines);
  // What this process counted before it first read the file came after everything in it.
  state.arrivedBytes = state.loaded
    ? Math.max(arrivedBytes, state.arrivedBytes)
    : arrivedBytes + state.arrivedBytes;
  state.rewrittenBytes = Math.max(rewrittenBytes, state.rewrittenBytes);
  state.last ??= pointsOf(lines).at(-1) ?? null;
  state.loaded = true;
  return text;
}

/** At the end of a file, where a run may stand behind the last point. */
function sumsOf(lines: readonly HistoryLine[]): Pick<HistoryPoint, "arrivedBytes" | "rewrittenBytes"> {
  let arrivedBytes = 0;
  let rewrittenBytes = 0;
  for (const line of lines) {
    if (line.kind === "point") {
      arrivedBytes = Math.max(arrivedBytes, line.point.arrivedBytes);
      rewrittenBytes = Math.max(rewrittenBytes, line.point.rewrittenBytes);
    } else rewrittenBytes += line.run.rewrittenBytes;
  }
  return { arrivedBytes, rewrittenBytes };
}

async function read(state: State, { sinceMs = 0, limit }: HistoryRange): Promise<HistoryAnswer> {
  const lines = readHistoryLines(await readHistory(await fileOf(state)));
  // A clock that was ahead, and was set back, left moments that have not come yet.
  const untilMs = state.options.now() + HISTORY_STEP_MS;
  const points = inOrder(pointsOf(lines)).filter(({ atMs }) => atMs <= untilMs);
  const runs = runsOf(lines).filter(({ atMs }) => atMs <= untilMs);
  const before = points.filter(({ atMs }) => atMs < sinceMs).at(-1) ?? null;
  return {
    points: points.filter(({ atMs }) => atMs >= sinceMs).slice(-limit),
    runs: [...runs]
      .sort((a, b) => a.atMs - b.atMs)
      .filter(({ atMs }) => atMs >= sinceMs)
      .slice(-limit),
    amplification: amplification(before, points.at(-1) ?? null),
  };
}

/** Named after the real root, as long as there is one. */
async function fileOf(state: State): Promise<string> {
  if (state.file !== null) return state.file;
  const { folder, root } = state.options;
  const real = await fsp.realpath(root).catch(() => null);
  const parent = real === null ? await fsp.realpath(dirname(root)).catch(() => dirname(root)) : "";
  const hash = createHash("sha256").update(real ?? join(parent, basename(root)));
  const file = join(folder ?? "", "history", `${hash.digest("hex").slice(0, 32)}.jsonl`);
  if (real !== null) state.file = file;
  return file;
}

/** `text` is what the file held a moment ago: a line that a crash cut off must not take this one with it. */
async function appendLine(state: State, text: string, line: HistoryLine): Promise<void> {
  const file = await fileOf(state);
  const added = `${text === "" || text.endsWith("\n") ? "" : "\n"}${writeHistoryLine(line)}\n`;
  await appendHistory(file, added);
  state.warning = null;
  if (isLong(text)) await thinHistory(file, state.options.now());
}
