import { describe, expect, it } from "vitest";
import { TampError } from "../../server/src/errors.ts";
import type { RunGroup, RunResult } from "../../server/src/protocol.ts";
import {
  cancelled,
  locked,
  MIB,
  NOTHING,
  PLAN,
  PLANNING,
  PURGE,
  planFile,
  planOf,
  RECOVERED,
  REFUSED,
  RESULT,
  ROOT,
  rows,
  run,
  runOf,
  type Setting,
  STATS,
  SUMMARY,
} from "../support/cli.ts";

const invalidPolicy = new TampError(
  "InvalidPolicy",
  "targetSize must be at least 1 bytes, not 0; compression must be one of zstd",
  { hint: "correct the threshold and try again" },
);

describe("stats", () => {
  rows([
    {
      line: "stats events",
      code: 0,
      sent: ["dataset/open", "dataset/stats"],
      out: [
        "data files      1,234",
        "1.2 GiB (2.9 GiB uncompressed)",
        "rows            12,345,678",
        "1,100 (89 % of files), 300 MiB",
        "snappy in 1,200 files, zstd in 34 files",
        "Health 41 of 100",
        "1,100 files in 2 partitions, 300 MiB",
        "day=1              590    600  200 MiB",
        "shown: 1 of 3",
        "3 s ahead",
      ],
    },
    {
      line: "stats events",
      setting: {
        answers: {
          "tamp/dataset/stats": {
            ...STATS,
            fileCount: 0,
            unsettledCount: 0,
            quarantinedCount: 2,
            codecs: {},
          },
        },
      },
      code: 0,
      out: ["2 files without usable file stats", "codecs          none"],
    },
    {
      line: "stats events",
      setting: {
        answers: {
          "tamp/dataset/stats": {
            ...STATS,
            fileCount: 60,
            smallFileCount: 60,
            health: { score: 100, reasons: [] },
          },
        },
      },
      code: 0,
      out: [
        "Health 100 of 100: nothing that a compaction could do now",
        "60 small files cannot be rewritten now: see tamp plan",
      ],
    },
    {
      line: "stats events",
      setting: { answers: { "tamp/dataset/open": invalidPolicy } },
      code: 2,
      err: ["--target-size must be at least 1 byte, not 0; --compression must be", "correct the flag"],
    },
  ]);

  it("draws the histogram in eighths, and nothing for nothing", async () => {
    const { out } = await run("stats events");
    const bars = out
      .split("\n")
      .filter((line) => / {2}(under|\d.* to|1.0 GiB and)/.test(line))
      .map((line) => line.trim());
    expect(bars).toEqual([
      "under 1.0 MiB      1  ▏",
      `1.0 MiB to 128 MiB  1,000  ${"█".repeat(40)}`,
      `128 MiB to 1.0 GiB    250  ${"█".repeat(10)}`,
      "1.0 GiB and more      0",
    ]);
  });

  it("waits once for files that may still be written, then asks again", async () => {
    const setting = { answers: { "tamp/dataset/stats": { ...STATS, unsettledCount: 3 } } };
    const waited = await run("stats events --settle 500", setting);
    expect(waited.slept).toEqual([500]);
    expect(waited.err).toContain("3 files may still be written: waiting 500 ms once");
    expect(waited.calls.filter(({ method }) => method === "tamp/dataset/stats")).toHaveLength(2);
    expect((await run("stats events", setting)).slept).toEqual([2000]);
    expect((await run("stats events --settle 0", setting)).slept).toEqual([]);
    expect((await run("stats events")).slept).toEqual([]);
  });
});

const withSkipped = (count: number): Setting => {
  const detail = "dec: a decimal of width 16";
  const skipped = Array.from({ length: count }, (_, index) => {
    return { path: `f-${index}.parquet`, reason: "unsupported", detail };
  });
  return planOf({ ...PLAN, skipped });
};
const unreadable = ["9", "10", "11", "12", "13", "14"].map((day) => `day=${day} cannot be read: EACCES`);
const warned: Setting = { answers: { "tamp/dataset/open": { ...SUMMARY, warnings: unreadable } } };

describe("plan", () => {
  rows([
    {
      line: "plan events",
      code: 0,
      sent: PLANNING,
      out: [
        "Rewrites 4 files (20.0 MiB) in 1 group to 1 file.",
        "files         1,234    ~1,231",
        "size        1.2 GiB  ~1.2 GiB",
        "row groups    5,000    ~4,990",
        "outputs 0.50 x their inputs",
        "needs ~12.0 MiB, 100 MiB free",
        "20.0 MiB of originals, for 7 d",
        "4 files, 20.0 MiB → 1 file, ~10.0 MiB: small files, too many row groups",
        "a.parquet, b.parquet, c.parquet … 1 more",
        "Not rewritten: 1,230 files",
        "1,200  at target    inside the size band: nothing to gain",
        "1  brand new",
        "1 file: unsupported: column a is a VARIANT",
        "    day=2/\\u{1b}[31mred.parquet",
        "page indexes are not written",
        "plan 0123456789abcdef",
      ],
      err: ["Dry run: nothing was changed."],
    },
    {
      line: "plan events",
      setting: planOf({
        ...PLAN,
        estimate: { ...PLAN.estimate, freeBytes: 10 * MIB, purgeBytes: MIB },
        policy: { ...PLAN.policy, retentionMs: 0, maxRetainedBytes: 19 * MIB },
      }),
      code: 0,
      out: [
        "Not enough free space: needs ~12.0 MiB, 10.0 MiB free. A run is refused before",
        "needs ~12.0 MiB, 10.0 MiB free; not enough",
        "20.0 MiB of originals, until the next run",
        "1.0 MiB of earlier runs' originals, whose undo ends",
        "Too many originals to keep: 20.0 MiB, and --max-retained allows 19.0 MiB.",
      ],
    },
    { line: "compact events --dry-run", code: 0, sent: PLANNING, err: ["Dry run"], asked: 0 },
    { line: "plan events", setting: planOf(NOTHING), code: 0, out: ["Nothing to do"] },
    {
      line: "plan events",
      setting: planOf(REFUSED),
      code: 2,
      out: ["Refused: the dataset belongs to Delta Lake."],
      err: ["tamp: the dataset belongs to Delta Lake", "not done   no plan was made"],
    },
    { line: "plan events --json", setting: planOf(REFUSED), code: 2, out: ['"kind":"refused"'] },
    { line: "plan events --engine auto", code: 0 },
    {
      line: "plan events",
      setting: withSkipped(60),
      code: 0,
      out: ["60 files: unsupported: dec: a decimal of width 16", "f-2.parquet", "… 57 more"],
    },
    {
      line: "plan events",
      setting: warned,
      code: 0,
      err: ["warning: day=9 cannot be read: EACCES", "… and 1 more warning"],
    },
    { line: "compact events --yes", setting: warned, code: 0, err: ["warning: day=9 cannot be read"] },
    {
      line: "plan events --out /data/events/p.json",
      code: 2,
      sent: ["dataset/open"],
      err: ["inside the dataset"],
    },
    {
      line: "plan events --out /link/events/p.json",
      code: 2,
      sent: ["dataset/open"],
      err: ["inside the dataset"],
    },
    { line: "plan events --out .events.tamp/p", code: 2, sent: ["dataset/open"], err: ["a Tamp workspace"] },
    {
      line: "plan events --workspace ws --out ws/p",
      code: 2,
      sent: ["dataset/open"],
      err: ["its workspace"],
    },
    {
      line: "plan events --out p.json",
      setting: { files: { "/data/p.json": "mine" } },
      code: 2,
      err: ["/data/p.json cannot be written", "with that name already", "the plan was not written"],
    },
    {
      line: "plan events --engine polars",
      code: 2,
      sent: [],
      quiet: true,
      err: ["there is no engine polars", "auto, duckdb"],
    },
  ]);

  it("lists partitions in the order of their numbers", async () => {
    const groups = ["month=10", "month=2"].flatMap((partition) =>
      PLAN.groups.map((group) => ({ ...group, partition })),
    );
    const { out } = await run("plan events", planOf({ ...PLAN, groups }));
    expect(out.indexOf("month=2")).toBeLessThan(out.indexOf("month=10"));
  });

  it("writes the plan that execute reads", async () => {
    const { written, err } = await run("plan events --out p.json");
    expect(JSON.parse(written["/data/p.json"] ?? "")).toEqual(PLAN);
    expect(err).toContain("tamp execute p.json");
    expect((await run("plan events --out p.json", planOf(REFUSED))).written).toEqual({});
  });
});

const cancelledGroups: RunResult["groups"] = Array.from({ length: 12 }, (_, index) => ({
  partition: `day=${index}`,
  kind: "cancelled",
  reason:
    index === 0 ? "The engine was stopped; staged files may be incomplete." : "cancelled before it began",
  inputs: 4,
  inputBytes: 1,
  outputs: [],
}));

const groupAs = (kind: RunGroup["kind"], day: number, reason: string): RunGroup => {
  const outputs = kind === "published" ? (RESULT.groups[0]?.outputs ?? []) : [];
  const group = { partition: `day=${day}`, kind, inputs: 4, inputBytes: 20 * MIB, outputs };
  return reason === "" ? group : { ...group, reason };
};

/** A plan's second run: two groups were published by the first, one is published now, one fails again. */
const resumed: readonly RunGroup[] = [
  groupAs("skipped", 1, "published by run r0"),
  groupAs("skipped", 2, "published by run r0"),
  groupAs("published", 3, ""),
  groupAs("rolled_back", 4, "row 3 differs"),
];

describe("compact and execute", () => {
  rows([
    {
      line: "compact events",
      setting: { tty: true },
      code: 0,
      asked: 1,
      sent: [...PLANNING, "execute"],
      out: [
        "Published run 20260301t120007000abcdef in 3.2 s",
        "files    1,234     ~1,231          1,231",
        "1 of 1 published",
        "4 files, 20.0 MiB → 1 file, 4.0 MiB",
        "40 rows compared with the originals, in order",
        "for at most 52 ms",
        "pin 1 ms, rewrite 2.0 s, validate 12 ms, publish 60 ms",
        "tamp undo /data/events",
      ],
    },
    {
      line: "compact events",
      setting: { tty: true, confirm: false },
      code: 130,
      asked: 1,
      sent: PLANNING,
      err: ["Not executed: nothing was changed."],
    },
    { line: "compact events --yes", setting: { tty: true }, code: 0, asked: 0 },
    { line: "compact events --yes", code: 0, asked: 0, err: ["50 %  1 of 1 groups"] },
    { line: "compact events", code: 2, sent: [], quiet: true, err: ["add --yes"] },
    { line: "execute p.json", code: 2, sent: [], quiet: true, err: ["add --yes"] },
    { line: "compact events --yes", setting: planOf(NOTHING), code: 0, sent: PLANNING },
    { line: "compact events --yes", setting: planOf(REFUSED), code: 2, sent: PLANNING, quiet: true },
    { line: "compact events --yes", setting: runOf("nothing_to_do", []), code: 0 },
    {
      line: "compact events --yes",
      setting: runOf("rolled_back", [
        {
          partition: "",
          kind: "rolled_back",
          reason: "row 3 differs",
          inputs: 4,
          inputBytes: 1,
          outputs: [],
        },
      ]),
      code: 2,
      out: ["nothing was published", "(root): rolled back, 4 files as before", "    row 3 differs"],
      err: ["tamp: nothing was published: row 3 differs", "not done   all files stay as they were"],
    },
    {
      line: "compact events --yes --partition day=1 --retention 12h --overlap 0 --engine duckdb",
      setting: runOf("cancelled"),
      code: 130,
      err: [
        "next step  tamp compact /data/events --partition day=1 --retention 12h",
        "--engine duckdb --overlap 0ms --yes begins again",
      ],
    },
    {
      line: "execute p.json --yes --memory-limit 2GB",
      setting: { files: planFile, ...runOf("partly_published", resumed) },
      code: 2,
      out: [
        "groups      1 of 4 published, 2 published before",
        "Published before by a run of this plan: 2",
        "  2 groups (day=1, day=2): published by run r0",
        "Groups not published: 1\n  day=4: rolled back, 4 files as before\n    row 3 differs",
      ],
      err: [
        "tamp: 1 group not published: row 3 differs",
        "tamp execute p.json --memory-limit 2GB --yes goes on with what",
      ],
    },
    {
      line: "execute p.json --yes",
      setting: { files: planFile, ...runOf("published", resumed.slice(0, 3)) },
      code: 0,
      out: ["Published run", "1 of 3 published, 2 published before"],
    },
    {
      line: "compact events --yes",
      setting: { answers: { "tamp/execute": { ...RESULT, recovered: RECOVERED, purged: PURGE.runs } } },
      code: 0,
      out: [
        "Recovered first, from an interrupted run",
        "  Run r0, group 1\n    finished: the outputs stand\n    2 sources retired",
        "at most 2 h 5 min",
        "  Run r0, group 2\n    quarantined: left as it is",
        "Purged first: 1,204 originals (320 MiB) of 2 runs; their undo has ended",
        "  r2       1,200   300 MiB",
      ],
    },
    {
      line: "compact events --yes",
      setting: runOf("partly_published"),
      code: 2,
      err: ["0 groups not published"],
    },
    {
      line: "compact events --yes",
      setting: runOf("cancelled", cancelledGroups),
      code: 130,
      out: [
        "Groups not published: 12",
        "  12 groups (day=0, day=1, day=2, …): cancelled, 48 files as before",
      ],
      err: ["tamp: the run was cancelled"],
    },
    { line: "compact events --yes", setting: runOf("unknown"), code: 2, err: ["tamp recover /data/events"] },
    { line: "compact events --yes", setting: runOf("refused", []), code: 2, err: ["tamp: row 3 differs"] },
    {
      line: "compact events --yes",
      setting: { answers: { "tamp/execute": locked } },
      code: 2,
      err: ["tamp: held by process 7", "not done   the plan was not run", "next step  wait"],
    },
    {
      line: "compact events --yes",
      setting: { answers: { "tamp/plan": cancelled } },
      code: 130,
      quiet: true,
    },
    {
      line: "compact events --yes --workspace ws",
      code: 0,
      out: ["tamp undo /data/events --workspace ws"],
    },
    {
      line: "execute p.json --yes",
      setting: { files: planFile },
      code: 0,
      sent: ["dataset/open", "execute"],
    },
    {
      line: "execute q.json --yes",
      code: 2,
      quiet: true,
      sent: [],
      err: ["ENOENT", "tamp plan DIR --out FILE"],
    },
    {
      line: "execute p.json --yes",
      setting: { files: { "/data/p.json": "{}" } },
      code: 2,
      sent: [],
      err: ["/data/p.json is not a Tamp plan"],
    },
  ]);

  it("takes the plan's own dataset, or the one that is given", async () => {
    const roots = async (line: string): Promise<unknown> =>
      (await run(line, { files: planFile })).calls.map(
        ({ params }) => (params as { dataset: string }).dataset,
      );
    expect(await roots("execute p.json --yes")).toEqual([ROOT, ROOT]);
    expect(await roots("execute p.json copy --yes")).toEqual(["/data/copy", "/data/copy"]);
  });

  it("tells its progress off a terminal in one line", async () => {
    expect((await run("compact events --yes")).err).toBe("50 %  1 of 1 groups\n");
  });

  it("never tells how the engine of a cancelled group ended", async () => {
    for (const kind of ["cancelled", "partly_published"] as const) {
      const reason = cancelledGroups[0]?.reason;
      const result = { ...RESULT, kind, groups: cancelledGroups, reason };
      const { out, err } = await run("compact events --yes", { answers: { "tamp/execute": result } });
      expect(`${out}${err}`).not.toMatch(/engine was stopped|before it began/);
      expect(err).toContain("the run was cancelled");
    }
  });

  it("exits with 130 where Ctrl-C ended a run with a part of it published", async () => {
    const answer = ({ abort }: { abort: AbortController }): RunResult => {
      abort.abort();
      return { ...RESULT, kind: "partly_published" };
    };
    const outcome = await run("compact events --yes", { answers: { "tamp/execute": answer } });
    expect(outcome.code).toBe(130);
    expect(outcome.err).toContain("Cancelling");
  });

  it("takes a prompt that was aborted for a cancellation", async () => {
    const abort = new AbortController();
    const line = "stats events";
    const aborted = Object.assign(new Error("Aborted with Ctrl+C"), { name: "AbortError" });
    const outcome = await run(line, { answers: { "tamp/dataset/stats": aborted } }, abort);
    expect(outcome.code).toBe(130);
    expect(outcome.err).toContain("nothing was changed");
  });
});

const LINES = [
  "stats events",
  "plan events",
  "compact events --yes",
  "runs events",
  "purge events --dry-run",
  "purge --help",
  "--help",
];

describe("compact after an interrupted run", () => {
  const left = (groups = RECOVERED): Setting => ({
    answers: {
      "tamp/dataset/open": { ...SUMMARY, interruptedGroups: 2, warnings: ["2 wait for `tamp recover x`"] },
      "tamp/recover": { kind: "recovered", groups },
      "tamp/execute": { ...RESULT, recovered: RECOVERED.slice(1) },
    },
  });
  const recoveringFirst = ["dataset/open", "recover", ...PLANNING.slice(1)];
  rows([
    {
      line: "compact events --yes",
      setting: left(),
      code: 0,
      sent: [...recoveringFirst, "execute"],
      out: ["Recovered first, from an interrupted run\n  Run r0, group 1\n    finished", "next step: bring"],
    },
    {
      line: "compact events",
      setting: { tty: true, confirm: false, ...left() },
      code: 130,
      sent: recoveringFirst,
      err: ["Not executed: nothing more was changed."],
    },
    { line: "compact events --dry-run", setting: left(), code: 0, sent: PLANNING, err: ["2 wait for"] },
    {
      line: "compact events --yes",
      setting: { answers: { ...left().answers, "tamp/recover": locked } },
      code: 2,
      sent: ["dataset/open", "recover"],
      err: ["held by process 7"],
    },
    {
      line: "compact events --yes",
      setting: { answers: { ...left().answers, ...runOf("refused", []).answers } },
      code: 2,
      err: ["next step  tamp plan /data/events"],
    },
    {
      line: "compact events --yes",
      setting: {
        answers: { "tamp/execute": { ...RESULT, kind: "refused", groups: [], recovered: RECOVERED } },
      },
      code: 2,
      err: ["next step  deal with the groups that were left alone, as told above; tamp plan /data/events"],
    },
  ]);

  it("tells each group once, to people and to machines", async () => {
    const told = await run("compact events --yes", left());
    expect(told.out.split("Run r0, group 2")).toHaveLength(2);
    expect(told.err).not.toContain("2 wait for");
    const { out, calls } = await run("compact events --json", left());
    expect(JSON.parse(out)).toEqual({ ...RESULT, recovered: RECOVERED });
    expect(calls.map(({ method }) => method)).toContain("tamp/recover");
  });
});

describe("width", () => {
  it.each([60, 80])("everything fits %i columns", async (columns) => {
    const long = `region=${"x".repeat(120)}`;
    const partitions = STATS.partitions.map((partition) => ({ ...partition, partition: long }));
    const groups = PLAN.groups.map((group) => ({ ...group, partition: long }));
    const setting: Setting = {
      columns,
      answers: {
        "tamp/dataset/stats": { ...STATS, partitions },
        "tamp/plan/document": { ...PLAN, groups },
      },
    };
    for (const line of LINES) {
      const { out, err } = await run(line, { ...setting, tty: true });
      // A progress bar is drawn over itself.
      const lines = `${out}${err}`.split("\n").flatMap((text) => text.split("\u001b[0K"));
      const widest = lines.filter((text) => [...text].length > Math.max(columns, 80));
      expect(widest, line).toEqual([]);
    }
  });
});
