import { describe, expect, it } from "vitest";
import { TampError } from "../../server/src/errors.ts";
import type { PurgeResult } from "../../server/src/protocol.ts";
import { LOSING, locked, NO_PURGE, PURGE, RECOVERED, ROOT, RUN, rows, run, UNDONE } from "../support/cli.ts";

const unusable = (method: string) => ({
  answers: {
    [`tamp/${method}`]: new TampError("WorkspaceUnusable", "the disk is full", {
      hint: "make room",
      notDone: "no file was rewritten",
    }),
  },
});

describe("runs, undo and recover", () => {
  const quarantined = {
    kind: "quarantined",
    groups: RECOVERED,
  };
  const none = { answers: { "tamp/undo": { ...UNDONE, kind: "nothing_to_do", runId: null } } };
  const refused = { answers: { "tamp/undo": { ...UNDONE, kind: "refused", reason: "rewritten by r2" } } };
  rows([
    {
      line: "runs events",
      code: 0,
      out: [
        "2026-03-01 12:00:07  published       1  4 → 1  20.0 MiB → 4.0 MiB",
        `    run ${RUN.runId}\n    published since 2026-03-01 12:00:09; rows stood twice for at most 52 ms\n`,
        `originals kept: 20.0 MiB in ${RUN.folder}`,
        "Originals kept for undo: 20.0 MiB of 1 run; tamp purge /data/events deletes",
      ],
    },
    {
      line: "runs events",
      setting: {
        answers: {
          "tamp/runs": {
            runs: [
              { ...RUN, state: "quarantined", startedAt: "" },
              { ...RUN, state: "rolled_back", runId: "r7", startedAt: "", reason: "the disk was full" },
              { ...RUN, state: "interrupted", retainedBytes: 0 },
              { ...RUN, state: "running", retainedBytes: 0, duplicateWindowMs: 0 },
              { ...RUN, state: "purged", retainedBytes: 0 },
            ],
          },
        },
      },
      code: 0,
      out: [
        "2026-03-01 12:00:07  quarantined",
        `run ${RUN.runId}`,
        "left alone: bring back what the reason names, then run `tamp recover /data/events` again; or,",
        "    rolled back since",
        "not known            rolled back",
        "nothing was published\n    the disk was full",
        "running since 2026-03-01 12:00:09\n    under way: its groups are published one by one",
        `its folder: ${RUN.folder}\n    tamp recover /data/events finishes it or takes it back`,
        "its originals were deleted: it cannot be undone",
        "Originals kept for undo: 40.0 MiB of 2 runs;",
      ],
    },
    {
      line: "runs events",
      setting: { answers: { "tamp/runs": { runs: [] } } },
      code: 0,
      out: ["No runs yet."],
    },
    { line: "undo events", code: 2, sent: [], err: ["add --yes"] },
    {
      line: "undo events --yes",
      code: 0,
      sent: ["dataset/open", "undo"],
      out: ["4 originals restored, 1 output", "rows stood twice for at most 53 ms"],
    },
    {
      line: "undo events --yes",
      setting: { answers: { "tamp/undo": { ...UNDONE, recovered: RECOVERED } } },
      code: 0,
      out: ["Recovered first, from an interrupted run", "  Run r0, group 2", "Undone: run"],
    },
    {
      line: "undo events",
      setting: { tty: true, answers: { "tamp/runs": { runs: [{ ...RUN, state: "partly_published" }] } } },
      code: 0,
      asked: 1,
      sent: ["dataset/open", "runs", "undo"],
    },
    {
      line: "undo events",
      setting: { tty: true },
      code: 0,
      asked: 1,
      sent: ["dataset/open", "runs", "undo"],
    },
    {
      line: "undo events",
      setting: { tty: true, confirm: false },
      code: 130,
      sent: ["dataset/open", "runs"],
    },
    { line: "undo events --run r9", setting: { tty: true }, code: 2, err: ["there is no run r9"] },
    { line: "undo events --yes", setting: none, code: 0, out: ["Nothing to undo"] },
    {
      line: "undo events --yes",
      setting: refused,
      code: 2,
      quiet: true,
      err: ["cannot be undone: rewritten by r2"],
    },
    { line: "undo events --json", setting: refused, code: 2, out: ['"kind":"refused"'] },
    { line: "recover events", code: 0, out: ["Nothing to recover"] },
    {
      line: "recover events",
      setting: { answers: { "tamp/recover": quarantined } },
      code: 2,
      out: [
        "Run r0, group 1\n  finished: the outputs stand\n  2 sources retired\n  rows stood twice for at most 2 h 5 min",
        "Run r0, group 2\n  quarantined: left as it is\n  a source was rewritten\n",
      ],
      err: [
        "1 group of an interrupted run",
        "  next step  bring back what the reason names, then run `tamp recover /data/events` again; or, once you have",
        "yourself, move the run's folder away (`tamp runs /data/events` names it), which gives up its undo\n",
      ],
    },
    {
      line: "recover events",
      setting: { tty: true, answers: { "tamp/recover": quarantined } },
      code: 2,
      err: [
        "  next step  bring back what the reason names, then run `tamp recover\n             /data/events`",
      ],
    },
    {
      line: "undo events --yes",
      setting: { answers: { "tamp/undo": { ...UNDONE, recovered: RECOVERED.slice(1) } } },
      code: 0,
      out: ["Not recovered: an interrupted run was left alone\n  Run r0, group 2", "  next step: bring back"],
    },
    { line: "undo events --yes", setting: unusable("undo"), code: 2, err: ["nothing was undone"] },
    { line: "recover events", setting: unusable("recover"), code: 2, err: ["nothing was recovered"] },
    {
      line: "recover events --json",
      setting: unusable("recover"),
      code: 2,
      out: ['"notDone":"nothing was recovered"'],
    },
    { line: "purge events --yes", setting: unusable("purge"), code: 2, err: ["nothing was deleted"] },
    { line: "compact events --yes", setting: unusable("execute"), code: 2, err: ["no file was rewritten"] },
    {
      line: "recover events",
      setting: { answers: { "tamp/recover": { ...quarantined, kind: "recovered" } } },
      code: 0,
    },
  ]);

  it("undoes the run that the question was about", async () => {
    const { calls } = await run("undo events", { tty: true });
    expect(calls.at(-1)?.params).toEqual({ dataset: ROOT, runId: RUN.runId });
  });
});

describe("purge", () => {
  const answering = (result: PurgeResult) => ({ answers: { "tamp/purge": result } });
  const once = ["dataset/open", "purge"];
  rows([
    {
      line: "purge events --dry-run",
      code: 0,
      sent: once,
      asked: 0,
      out: [
        "Purge of /data/events\nDeletes 1,204 originals (320 MiB) of 2 runs.\n",
        "After that these runs cannot be undone: nothing brings the originals back.",
        "  r1           4  20.0 MiB\n  r2       1,200   300 MiB",
        "Kept: 1 run\n  run r3\n    it was interrupted and is not recovered",
        "Originals kept for undo after that: 5.0 MiB",
      ],
      err: ["Dry run: nothing was deleted."],
    },
    {
      line: "purge events",
      setting: { tty: true },
      code: 0,
      asked: 1,
      sent: ["dataset/open", "purge", "purge", "purge"],
      out: ["Purged: 2 runs, 1,204 originals deleted, 320 MiB freed", "Originals kept for undo: 5.0 MiB"],
    },
    {
      line: "purge events",
      setting: { tty: true, confirm: false },
      code: 130,
      asked: 1,
      sent: once,
      err: ["Not purged: nothing was deleted."],
    },
    { line: "purge events --yes", setting: { tty: true }, code: 0, asked: 0, sent: [...once, "purge"] },
    {
      line: "purge events",
      code: 2,
      sent: [],
      quiet: true,
      err: ["purge asks before it changes anything", "add --yes"],
    },
    {
      line: "purge events --run r1 --all --yes",
      code: 2,
      sent: [],
      quiet: true,
      err: ["--run and --all exclude each other"],
    },
    {
      line: "purge events --yes",
      setting: answering(NO_PURGE),
      code: 0,
      sent: once,
      out: ["Nothing to purge: no run is past its retention.", "Originals kept for undo: 5.0 MiB"],
    },
    {
      line: "purge events --yes --max-retained 1GB",
      setting: answering(NO_PURGE),
      code: 0,
      out: ["the newest run is never purged for its size."],
    },
    {
      line: "purge events --all --yes",
      setting: answering({ ...NO_PURGE, retainedBytes: 0 }),
      code: 0,
      out: ["Nothing to purge: no run keeps originals", "Originals kept for undo: none"],
    },
    {
      line: "purge events --run r1 --yes",
      setting: answering(NO_PURGE),
      code: 0,
      out: ["Nothing to purge: run r1 keeps no originals."],
    },
    {
      line: "purge events --run r3 --yes",
      setting: answering({ ...NO_PURGE, kind: "refused", kept: PURGE.kept, reason: "run r3 keeps its" }),
      code: 2,
      sent: once,
      quiet: true,
      err: ["tamp: run r3 keeps its", "not done   nothing was deleted", "tamp runs /data/events lists"],
    },
    {
      line: "purge events --yes",
      setting: answering({
        ...NO_PURGE,
        kind: "refused",
        kept: [...PURGE.kept, { runId: "r4", reason: "a.parquet is gone" }],
        reason: "run r3 keeps its originals",
      }),
      code: 2,
      out: ["Kept: 2 runs\n  run r3\n    it was interrupted", "  run r4\n    a.parquet is gone"],
      err: ["next step  tamp purge /data/events --run ID purges one run"],
    },
    {
      line: "purge events --run r1",
      setting: { tty: true, ...answering(LOSING) },
      code: 0,
      asked: 1,
      out: [
        "WARNING: 1,234 rows exist nowhere else and would be lost: these outputs, which\n",
        "  d=1/a.parquet\n  d=2/b.parquet\n  d=3/c.parquet\n  … and 1 more output",
        "WARNING: 1,234 rows went with them that exist nowhere else",
      ],
    },
    { line: "purge events --json", setting: answering({ ...NO_PURGE, kind: "refused" }), code: 2 },
    { line: "purge events --yes", setting: { answers: { "tamp/purge": locked } }, code: 2, quiet: true },
  ]);

  it.each([
    ["--retention 12h --max-retained 1GB", { retentionMs: 43_200_000, maxRetained: "1GB" }, {}],
    ["--run r1", {}, { runId: "r1" }],
    ["--all", {}, { all: true }],
  ])("%s", async (flags, policy, asked) => {
    const [open, preview, purge] = (await run(`purge events --yes ${flags}`)).calls;
    expect(open?.params).toMatchObject({ policy });
    expect(preview?.params).toEqual({ dataset: ROOT, ...asked, dryRun: true });
    expect(purge?.params).toEqual({ dataset: ROOT, ...asked });
  });

  it("purges none but the runs that the question was about", async () => {
    let asked = 0;
    const late = { runId: "r9", files: 1, bytes: 1, lostOutputs: [], lostRows: 0 };
    const answer = (): PurgeResult => {
      asked += 1;
      return asked === 1 ? PURGE : { ...PURGE, runs: [...PURGE.runs, late] };
    };
    const outcome = await run("purge events --all", { tty: true, answers: { "tamp/purge": answer } });
    expect(outcome.code).toBe(2);
    expect(outcome.calls.map(({ params }) => params)).toMatchObject([{}, { dryRun: true }, { dryRun: true }]);
    expect(outcome.err).toContain("tamp purge /data/events --all shows them");
  });

  it("names the rows that it would delete for good, and deletes no others", async () => {
    let told = 0;
    const answer = (): PurgeResult => {
      told += 1;
      const runs = LOSING.runs.map((run) => ({ ...run, lostRows: told }));
      return { ...LOSING, runs };
    };
    const outcome = await run("purge events --run r1", { tty: true, answers: { "tamp/purge": answer } });
    expect(outcome.code).toBe(2);
    expect(outcome.questions).toEqual([
      "Delete 4 originals (20.0 MiB) of 1 run? 1 row exists nowhere else; delete them for good?",
    ]);
    expect(outcome.calls).toHaveLength(3);
  });
});
