import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { HISTORY_STEP_MS, type HistoryRun } from "@tamp/core";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  createDatasetHistory,
  type DatasetHistory,
  type HistorySample,
} from "../../server/src/dataset-history.ts";

const START = Date.UTC(2026, 2, 1, 12);
const DAY = 86_400_000;
const SAMPLE: HistorySample = { files: 100, bytes: 10_000, rows: 500, smallFiles: 40, score: 70 };
const RUN: Omit<HistoryRun, "atMs"> = {
  runId: "20260301t120007000abcdef",
  kind: "published",
  filesBefore: 100,
  filesAfter: 60,
  bytesBefore: 10_000,
  bytesAfter: 9_000,
  estimatedBytes: 9_500,
  rewrittenBytes: 3_000,
};

let folder: string;
let root: string;
let nowMs: number;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "tamp-history-"));
  root = join(folder, "events");
  mkdirSync(root);
  nowMs = START;
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const open = (at = root): DatasetHistory =>
  createDatasetHistory({ folder: join(folder, "state"), root: at, now: () => nowMs });
const files = (): readonly string[] => readdirSync(join(folder, "state", "history"));
const file = (): string => join(folder, "state", "history", files()[0] ?? "");
const lines = (): readonly string[] => readFileSync(file(), "utf8").trim().split("\n");
const all = (history: DatasetHistory) => history.read({ limit: 10_000 });

describe("a history", () => {
  it("is told as it was recorded, by whoever opens it", async () => {
    const history = open();
    await history.record(SAMPLE);
    history.arrived(4_000);
    nowMs += HISTORY_STEP_MS;
    await history.record({ ...SAMPLE, files: 101 });
    nowMs += 1_000;
    await history.recordRun(RUN);
    await history.record({ ...SAMPLE, files: 101 });
    const sums = { arrivedBytes: 14_000, rewrittenBytes: 0 };
    const expected = {
      points: [
        { ...SAMPLE, atMs: START, arrivedBytes: 10_000, rewrittenBytes: 0 },
        { ...SAMPLE, ...sums, files: 101, atMs: START + HISTORY_STEP_MS },
        { ...SAMPLE, ...sums, files: 101, atMs: nowMs, rewrittenBytes: 3_000 },
      ],
      runs: [{ ...RUN, atMs: nowMs }],
      amplification: 17 / 14,
    };
    expect(await all(history)).toEqual(expected);
    expect(await all(open())).toEqual(expected);
    expect(history.warning).toBeNull();
  });

  it("has no point for what is not worth one, but for one at the end where something came in", async () => {
    const history = open();
    await history.record(SAMPLE);
    nowMs += 1_000;
    await history.record({ ...SAMPLE, files: 101 });
    await history.flush();
    expect(lines()).toHaveLength(1);
    history.arrived(7);
    await history.record({ ...SAMPLE, files: 102 });
    await history.flush();
    await history.flush();
    expect((await all(history)).points.map(({ files, arrivedBytes }) => [files, arrivedBytes])).toEqual([
      [100, 10_000],
      [102, 10_007],
    ]);
  });

  it("belongs to the real root, whatever name leads there", async () => {
    const link = join(folder, "link");
    symlinkSync(root, link);
    await open().record(SAMPLE);
    expect((await all(open(link))).points).toHaveLength(1);
    expect(files()).toHaveLength(1);
    rmSync(root, { recursive: true });
    expect((await all(open())).points).toHaveLength(1);
  });

  it("gives a time, and the newest of it", async () => {
    const history = open();
    for (let step = 0; step < 5; step += 1) {
      history.arrived(step === 0 ? 0 : 100);
      await history.record(SAMPLE);
      nowMs += HISTORY_STEP_MS;
    }
    const since = START + 2 * HISTORY_STEP_MS;
    const times = async (range: { sinceMs?: number; limit: number }) =>
      (await history.read(range)).points.map(({ atMs }) => (atMs - START) / HISTORY_STEP_MS);
    expect(await times({ sinceMs: since, limit: 10 })).toEqual([2, 3, 4]);
    expect(await times({ limit: 2 })).toEqual([3, 4]);
    expect((await history.read({ sinceMs: nowMs, limit: 10 })).amplification).toBeNull();
  });

  it("goes on from the sums of the process before it, and counts what came in between", async () => {
    const first = open();
    await first.record(SAMPLE);
    first.arrived(1_000);
    await first.recordRun(RUN);
    await first.record(SAMPLE);
    await first.recordRun({ ...RUN, runId: "the last thing it did" });
    const second = open();
    // To a process that has just begun every file is new.
    second.arrived(10_500);
    nowMs += HISTORY_STEP_MS;
    await second.record({ ...SAMPLE, bytes: 10_500 });
    expect((await all(second)).points.at(-1)).toMatchObject({ arrivedBytes: 11_500, rewrittenBytes: 6_000 });
    const third = open();
    nowMs += HISTORY_STEP_MS;
    await third.record({ ...SAMPLE, bytes: 500 });
    expect((await all(third)).points.at(-1)).toMatchObject({ arrivedBytes: 11_500, rewrittenBytes: 6_000 });
  });

  it("adds up the runs of two processes, and counts what both saw come in once", async () => {
    const [one, other] = [open(), open()];
    for (const history of [one, other]) await history.record(SAMPLE);
    for (const history of [one, other]) history.arrived(1_000);
    await one.recordRun(RUN);
    nowMs += HISTORY_STEP_MS;
    await one.record(SAMPLE);
    await other.recordRun({ ...RUN, runId: "another" });
    nowMs += HISTORY_STEP_MS;
    await other.record(SAMPLE);
    expect((await all(one)).points.at(-1)).toMatchObject({ arrivedBytes: 11_000, rewrittenBytes: 6_000 });
  });
});

describe("what stands in the way", () => {
  it("lines that are damaged, cut off or unknown are passed over, and nothing is lost behind them", async () => {
    await open().record(SAMPLE);
    appendFileSync(
      file(),
      '{"p":1}\nnull\n["p",1,2]\n["p",1,-2,3,4,5,6,7,8]\n["x",1]\n["r",1,"id","melted",null,1,1,1,1,1]\n["p",17',
    );
    const history = open();
    nowMs += HISTORY_STEP_MS;
    await history.record(SAMPLE);
    await history.recordRun(RUN);
    const { points, runs } = await all(history);
    expect(points.map(({ atMs }) => atMs)).toEqual([START, nowMs]);
    expect(runs).toHaveLength(1);
  });

  it("a clock that was ahead breaks neither the order nor the end", async () => {
    const history = open();
    for (const atMs of [START, START + 400 * DAY, START + 1_000, START - DAY]) {
      nowMs = atMs;
      await history.record(SAMPLE);
    }
    nowMs = START + 2_000;
    expect((await all(history)).points.map(({ atMs }) => atMs - START)).toEqual([-DAY, 0, 1_000]);
  });

  it("a user without a home has no history, and no error", async () => {
    const history = createDatasetHistory({ folder: null, root, now: () => nowMs });
    await history.record(SAMPLE);
    await history.recordRun(RUN);
    await history.flush();
    expect(await all(history)).toEqual({ points: [], runs: [], amplification: null });
    expect(history.warning).toBeNull();
  });

  it("a folder that cannot be made is a warning, until it can", async () => {
    writeFileSync(join(folder, "state"), "in the way");
    const history = open();
    await history.record(SAMPLE);
    expect(await all(history)).toEqual({ points: [], runs: [], amplification: null });
    expect(history.warning).toMatch(/^the history of .*events is not kept: /);
    rmSync(join(folder, "state"));
    await history.record(SAMPLE);
    expect(history.warning).toBeNull();
    expect((await all(history)).points).toHaveLength(1);
  });
});

describe("the file", () => {
  const pointAt = (atMs: number): string => `["p",${atMs},100,10000,500,40,70,0,0]\n`;

  it("stays small for ever", async () => {
    const history = open();
    await history.record(SAMPLE);
    appendFileSync(
      file(),
      Array.from({ length: 2_100 }, (_, step) => pointAt(START + step * 1_000)).join(""),
    );
    nowMs = START + 2_100_000;
    await history.record(SAMPLE);
    // 35 minutes, and the beginning of the next five.
    expect(lines().length).toBeLessThanOrEqual(9);
    expect(files()).toHaveLength(1);
    const texts = Array.from(
      { length: 900 },
      (_, step) => `["r",${START + step},"${"x".repeat(250)}${step}","published",1,1,1,1,1,1]\n`,
    );
    appendFileSync(file(), texts.join(""));
    nowMs += HISTORY_STEP_MS;
    await history.record(SAMPLE);
    expect(lines().length).toBeLessThanOrEqual(210);
    expect(statSync(file()).size).toBeLessThan(200_000);
    expect((await all(history)).runs.at(-1)?.runId).toMatch(/x899$/);
    expect((await all(history)).points.at(-1)?.atMs).toBe(nowMs);
  });

  it("loses nothing where several write and thin at once", async () => {
    // A file that is dated otherwise than now was left behind long ago.
    nowMs = Date.now();
    const writers = Array.from({ length: 4 }, () => open());
    await writers[0]?.record(SAMPLE);
    const runIds: string[] = [];
    for (let round = 0; round < 12; round += 1) {
      appendFileSync(file(), Array.from({ length: 2_100 }, (_, step) => pointAt(START + step)).join(""));
      const ids = Array.from({ length: 16 }, (_, index) => `r${round}-${index}`);
      runIds.push(...ids);
      // In one writer the runs follow each other, so that some are written while another writer thins.
      await Promise.all(ids.map((runId, index) => writers[index % 4]?.recordRun({ ...RUN, runId })));
    }
    const { runs } = await all(open());
    expect(runs.map(({ runId }) => runId).sort()).toEqual(runIds.sort());
    expect(writers.map(({ warning }) => warning)).toEqual([null, null, null, null]);
    expect(lines().length).toBeLessThan(2_000);
  });

  it("is not thinned twice at once, and what a crash left of it goes after a while", async () => {
    const history = open();
    await history.record(SAMPLE);
    const left = `${file()}.thin`;
    writeFileSync(left, "");
    nowMs = statSync(left).mtimeMs + 1_000;
    const many = Array.from({ length: 2_100 }, (_, step) => pointAt(nowMs - step)).join("");
    appendFileSync(file(), many);
    await history.recordRun(RUN);
    expect(lines().length).toBeGreaterThan(2_000);
    nowMs += 11 * 60_000;
    await history.recordRun({ ...RUN, runId: "later" });
    expect(lines().length).toBeLessThan(20);
    expect(files()).toHaveLength(1);
  });
});
