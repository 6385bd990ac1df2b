import { describe, expect, it } from "vitest";
import type { HistoryResult, WireHistoryPoint } from "../../server/src/protocol.ts";
import { MIB, ROOT, rows, run, SUMMARY } from "../support/cli.ts";

const HOUR = 3_600_000;
const NOW = Date.UTC(2026, 2, 1, 12, 0, 7);

const pointAt = (hoursAgo: number, smallFiles: number): WireHistoryPoint => ({
  atMs: NOW - hoursAgo * HOUR,
  files: 1_000 + smallFiles,
  bytes: 1_200 * MIB,
  rows: 9,
  smallFiles,
  score: 90,
  arrivedBytes: (100 - hoursAgo) * MIB,
  rewrittenBytes: 50 * MIB,
});

const HISTORY: HistoryResult = {
  dataset: ROOT,
  points: [pointAt(48, 0), pointAt(24, 50), pointAt(12, 100), pointAt(1, 7)],
  runs: [
    {
      atMs: NOW - HOUR,
      runId: "20260301t110007000abcdef",
      kind: "partly_published",
      filesBefore: 1_100,
      filesAfter: 1_007,
      bytesBefore: 1_300 * MIB,
      bytesAfter: 1_200 * MIB,
      estimatedBytes: 1_250 * MIB,
      rewrittenBytes: 50 * MIB,
    },
  ],
  amplification: 1.5,
};
const EMPTY: HistoryResult = { dataset: ROOT, points: [], runs: [], amplification: null };
const of = (result: HistoryResult, columns = 80) => ({
  columns,
  answers: { "tamp/dataset/history": result },
});
const missing = { "tamp/dataset/open": { ...SUMMARY, state: "missing" } };

describe("history", () => {
  rows([
    {
      line: "history events",
      setting: of(HISTORY),
      code: 0,
      sent: ["dataset/open", "dataset/history"],
      out: [
        "2026-02-27 12:00:07 to 2026-03-01 11:00:07 UTC (1 d 23 h)",
        "7 now, 0 to 100",
        "1.2 GiB all the time",
        "47.0 MiB",
        "1.50 x",
        "Moments: 4",
        "2026-02-28 12:00  1,050     50  1.2 GiB      90",
        "partly published  1,100 → 1,007\n    1.3 GiB → 1.2 GiB (~1.2 GiB)\n",
      ],
    },
    { line: "history events", setting: of(EMPTY), code: 0, out: ["No history of this time."] },
    {
      line: "history events",
      setting: of({ ...HISTORY, points: [pointAt(1, 7)], amplification: null }),
      code: 0,
      out: ["not known: nothing came in", "(0 ms)"],
    },
    {
      line: "history gone",
      setting: { answers: { ...of(HISTORY).answers, ...missing } },
      code: 0,
      out: ["Moments: 4"],
    },
    {
      line: "history gone",
      setting: { answers: { ...of(EMPTY).answers, ...missing } },
      code: 2,
      quiet: true,
      err: ["has no history"],
    },
    { line: "history events --since soon", code: 2, quiet: true, err: ["--since"] },
  ]);

  it("asks for the time that was named, of a dataset whose files may all be gone", async () => {
    const { calls, out } = await run("history events --since 7d --json", of(HISTORY));
    expect(calls.map(({ params }) => params)).toMatchObject([
      { dataset: ROOT, mustExist: false, watch: false },
      { dataset: ROOT, sinceMs: NOW - 7 * 24 * HOUR },
    ]);
    expect(JSON.parse(out)).toEqual(HISTORY);
    expect((await run("history events --json", of(HISTORY))).calls.at(-1)?.params).toEqual({ dataset: ROOT });
  });

  it("draws each time as long as it was, the least low and the most high", async () => {
    const { out } = await run("history events", of(HISTORY));
    const [, picture = ""] = /small files {2}([▁-█]+)\n/.exec(out) ?? [];
    expect(picture).toHaveLength(60);
    expect(picture).toMatch(/^▁+[▄▅]+█+▂$/);
    expect(picture.indexOf("█")).toBe(Math.floor((36 / 47) * 60));
    expect(out).toMatch(/size {9}▁+\n/);
  });

  it("fits the terminal, and shows of many moments the first, the last and some between", async () => {
    const points = Array.from({ length: 500 }, (_, index) => pointAt(500 - index, index));
    for (const columns of [20, 60, 100]) {
      const { out } = await run("history events", of({ ...HISTORY, points }, columns));
      expect(Math.max(...out.split("\n").map((line) => line.length))).toBeLessThanOrEqual(
        Math.max(60, columns),
      );
      expect(out).toContain("Moments: 12 of 500 (all: --json)");
      expect(out.split("\n").filter((line) => /^ {2}2026-.* 90$/.test(line))).toHaveLength(12);
    }
  });
});
