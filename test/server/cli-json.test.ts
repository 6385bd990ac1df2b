import { DEFAULT_OVERLAP_MS, formatDuration, POLICY_FILE_OPTIONS } from "@tamp/core";
import { describe, expect, it } from "vitest";
import {
  locked,
  NOTHING,
  PLAN,
  PURGE,
  planFile,
  planOf,
  RESULT,
  ROOT,
  RUN,
  rows,
  run,
  type Setting,
  STATS,
  UNDONE,
} from "../support/cli.ts";

describe("machine output", () => {
  const lines: readonly (readonly [string, unknown, Setting?])[] = [
    ["stats events --json", STATS],
    ["plan events --json", PLAN],
    ["compact events --json --dry-run", PLAN],
    ["compact events --json", RESULT],
    ["execute p.json --json", RESULT, { files: planFile }],
    ["runs events --json", { runs: [RUN] }],
    ["undo events --json", UNDONE],
    ["recover events --json", { kind: "nothing_to_do", groups: [] }],
    ["purge events --json --dry-run", PURGE],
    ["purge events --json", { ...PURGE, dryRun: false }],
    ["version --json", { version: "1.2.3" }],
  ];

  it.each(lines.map((row) => ({ line: row[0], row })))("$line prints one object alone", async ({ row }) => {
    const [line, expected, setting] = row;
    for (const tty of [false, true]) {
      const outcome = await run(line, { ...setting, tty });
      expect(outcome.code).toBe(0);
      expect(JSON.parse(outcome.out)).toEqual(expected);
      expect(outcome.out.indexOf("\n")).toBe(outcome.out.length - 1);
      expect(outcome.questions).toEqual([]);
    }
  });

  const failures: readonly (readonly [string, string, Setting?])[] = [
    ["stats events --json", "Locked", { answers: { "tamp/dataset/open": locked } }],
    ["compact events --json", "Locked", { answers: { "tamp/execute": locked } }],
    ["stats events --json", "InternalError", { answers: { "tamp/dataset/stats": new Error("boom") } }],
    ["plan events --json --engine x", "EngineUnavailable"],
    ["execute q.json --json", "IoError"],
    ["stats --json", "Usage"],
    ["stats  --json", "Usage"],
    ["plan events --json --out /data/events/p", "Usage"],
    ["plan events --json --out p", "IoError", { files: { "/data/p": "mine" } }],
    ["plan events --json --allow schema-union", "Usage"],
    ["stats events --json --wrong", "Usage"],
    ["purge events --json --run r1 --all", "Usage"],
    ["purge events --json --retention soon", "Usage"],
    ["purge events --json", "Locked", { answers: { "tamp/purge": locked } }],
    ["nothing --json", "Usage"],
    ["plan events --json --target-rows many", "Usage"],
  ];

  it.each(failures.map((row) => ({ line: row[0], row })))("$line fails as JSON", async ({ row }) => {
    const [line, expected, setting] = row;
    const { code, out, err } = await run(line, setting);
    const { error } = JSON.parse(out) as { error: Record<string, string> };
    expect(code).toBe(2);
    expect(error.code).toBe(expected);
    expect(Object.keys(error)).toEqual(["code", "message", "hint", "notDone"]);
    expect(err).toBe("");
  });

  it("runs a plan without groups too, so that its result is a run's", async () => {
    const { calls } = await run("compact events --json", planOf(NOTHING));
    expect(calls.at(-1)).toEqual({
      method: "tamp/execute",
      params: { dataset: ROOT, planId: PLAN.planId },
    });
  });
});

describe("flags", () => {
  it("turns thresholds into the policy of the dataset", async () => {
    const line =
      "plan events --target-size 128MB --target-rows 9 --min-files 3 --small-file 1MiB --min-age 0 " +
      "--rows-per-group 4096 --compression zstd --allow int96 --allow metadata:x --settle 0 " +
      "--max-bytes 1GB --max-groups 2 --retention 12h --max-retained 5GB --workspace ws --partition day=1 --partition day=2/hour=3";
    const [open, , plan] = (await run(line)).calls;
    expect(open?.params).toEqual({
      dataset: ROOT,
      watch: false,
      mustExist: true,
      workspace: "/data/ws",
      policy: {
        targetSize: "128MB",
        targetRows: 9,
        minFiles: 3,
        smallFile: "1MiB",
        minAgeMs: 0,
        rowsPerGroup: 4096,
        compression: "zstd",
        allow: ["int96", "metadata:x"],
        settleMs: 0,
        maxRunBytes: "1GB",
        maxRunGroups: 2,
        retentionMs: 43_200_000,
        maxRetained: "5GB",
      },
    });
    expect(plan?.params).toEqual({
      dataset: ROOT,
      operation: "compact",
      sync: true,
      partitionFilter: ["day=1", "day=2/hour=3"],
    });
  });

  it("hands limits of a run to execute, and leaves bad thresholds to the daemon", async () => {
    const { calls } = await run(
      "compact events --yes --memory-limit 512MB --overlap 0 --target-rows -5 --min-age -1",
    );
    expect(calls.at(-1)?.params).toEqual({
      dataset: ROOT,
      planId: PLAN.planId,
      memoryLimit: "512MB",
      overlapMs: 0,
    });
    expect(calls[0]?.params).toMatchObject({ policy: { targetRows: -5, minAgeMs: -1 } });
  });

  it.each([
    ["90", 90],
    ["0", 0],
    ["250ms", 250],
    ["1.5s", 1500],
    ["30min", 1_800_000],
    ["1h", 3_600_000],
    ["7d", 604_800_000],
  ])("takes %s for a time", async (text, ms) => {
    const line = `compact events --yes --min-age ${text} --settle ${text} --retention ${text} --overlap ${text}`;
    const { calls } = await run(line);
    expect(calls[0]?.params).toMatchObject({ policy: { minAgeMs: ms, settleMs: ms, retentionMs: ms } });
    expect(calls.at(-1)?.params).toMatchObject({ overlapMs: ms });
  });

  rows([
    { line: "--version", code: 0, out: ["tamp 1.2.3"] },
    { line: "version", code: 0, out: ["tamp 1.2.3"] },
    { line: "--help", code: 0, out: ["Examples:", "Exit codes:", "--yes"] },
    { line: "watch --help", code: 0, out: ["one JSON object a line", "the exit code is 130"] },
    { line: "stats --help", code: 0, out: ["one JSON object on stdout"] },
    {
      line: "trust --help",
      code: 0,
      out: [
        'onThreshold "execute"',
        ...POLICY_FILE_OPTIONS.flatMap(({ name, needsTrust }) => (needsTrust === "never" ? [] : [name])),
      ],
    },
    { line: "undo --help", code: 0, out: ["--run <ID>", "is finished or taken back before the undo"] },
    {
      line: "purge --help",
      code: 0,
      out: ["--run <ID>", "--all", "--retention <TIME>", "--max-retained", "also with --dry-run and where"],
    },
    { line: "plan events --settle 2x", code: 2, sent: [], err: ["It must be a time such"] },
    { line: "stats", code: 2, quiet: true, err: ["missing required argument 'DIR'", "tamp stats --help"] },
    { line: "stat events", code: 2, quiet: true, err: ["Did you mean stats?"] },
    { line: "stats events more", code: 2, quiet: true, err: ["too many arguments"] },
    { line: "stats ", code: 2, quiet: true, sent: [], err: ["a directory is missing"] },
    { line: "execute  --yes", code: 2, quiet: true, sent: [], err: ["a plan file is missing"] },
    {
      line: "plan events --allow schema-union",
      code: 2,
      quiet: true,
      err: ["schema-union is not available yet"],
    },
    { line: "plan events --allow everything", code: 2, quiet: true, err: ["no change that can be allowed"] },
    {
      line: "compact --help",
      code: 0,
      out: [
        "(default: 1GiB)",
        `(default: ${formatDuration(DEFAULT_OVERLAP_MS).replace(" ", "")})`,
        "(default: 1h)",
        "(default: 2s)",
        "(default: 7d)",
        "a bare number is bytes; MB = 10^6 bytes, MiB = 2^20 bytes",
        "a bare number is milliseconds",
      ],
    },
    { line: "serve", code: 2, quiet: true, err: ["tamp serve needs --stdio"] },
    { line: "serve --node-ipc", code: 2, quiet: true, err: ["stdin and stdout only"] },
    { line: "serve --stdio --socket=6000", code: 2, quiet: true, err: ["stdin and stdout only"] },
  ]);

  it("serves with what an editor's client appends", async () => {
    const outcome = await run("serve --stdio --clientProcessId=4711");
    expect(outcome).toMatchObject({
      code: 7,
      out: "",
      err: "",
      served: [{ stdio: true, clientProcessId: 4711 }],
    });
  });
});
