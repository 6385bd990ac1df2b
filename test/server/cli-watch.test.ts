import { describe, expect, it } from "vitest";
import type { ServerNotifications } from "../../server/src/protocol.ts";
import { HEALTH, PLAN, RESULT, ROOT, run, type Setting, SUMMARY } from "../support/cli.ts";

type Changed = ServerNotifications["tamp/dataset/changed"];
type Tell = Parameters<NonNullable<Setting["meanwhile"]>>[0];

const changed = (params: Partial<Changed>, summary: Partial<Changed["summary"]> = {}): Changed => ({
  dataset: ROOT,
  generation: 4,
  added: 0,
  changed: 0,
  removed: 0,
  ...params,
  summary: { ...SUMMARY, ...summary },
});
const crossed: ServerNotifications["tamp/dataset/thresholdCrossed"] = {
  dataset: ROOT,
  generation: 4,
  health: HEALTH,
  plan: PLAN,
  action: "notify",
  crossings: ["day=1", "day=2", "", "day=4"].map((partition) => ({
    partition,
    trigger: "count",
    files: 45,
    bytes: 3,
    limit: 12,
    value: 45,
  })),
  crossingCount: 30,
};
const CHANGED = "tamp/dataset/changed";
const CROSSED = "tamp/dataset/thresholdCrossed";

/** Lets what was told be printed. */
const pause = () => new Promise<void>((resolve) => setTimeout(resolve, 0));

const early = {
  "tamp/dataset/open": ({ listeners }: { listeners: Map<string, (params: unknown) => void> }) => {
    listeners.get(CHANGED)?.(changed({ added: 1234 }));
    return SUMMARY;
  },
};

describe("watch, for people", () => {
  const status = "12:00:07 UTC   1,234 files  1,100 small  1.2 GiB  health 41";
  const told: readonly (readonly [string, (tell: Tell) => void, readonly string[]])[] = [
    ["begins with what there is", () => {}, [status]],
    [
      "tells changes",
      (tell) => tell(CHANGED, changed({ added: 2, changed: 3 })),
      [status, `${status}  (+2, 3 changed)`],
    ],
    ["says nothing twice", (tell) => tell(CHANGED, changed({})), [status]],
    [
      "tells what is not judged, and a root that is gone",
      (tell) => tell(CHANGED, changed({}, { state: "missing", unsettledCount: 1234 })),
      [status, `${status.replace("health 41", "not judged yet")}  1,234 unsettled  the directory is missing`],
    ],
    [
      "tells a crossed threshold, also while it pauses",
      (tell) => tell(CROSSED, crossed),
      [
        status,
        "12:00:07 UTC threshold crossed: health 41 of 100",
        "  day=1: 45 small files; the limit is 12",
        "  day=2: 45 small files; the limit is 12",
        "  (root): 45 small files; the limit is 12",
        "  … and 27 more partitions (all: tamp check)",
        "  plan ready: rewrites 4 files (20.0 MiB) in 1 group",
        "  files 1,234 → ~1,231, size 1.2 GiB → ~1.2 GiB",
        "  run it: tamp compact /data/events --min-files 5",
      ],
    ],
  ];

  it.each(told)("%s", async (_name, meanwhile, lines) => {
    for (const waits of [false, true]) {
      const { code, out, err, calls, closed } = await run("watch events --min-files 5", {
        answers: early,
        meanwhile: async (tell) => {
          if (waits) await pause();
          meanwhile(tell);
          if (waits) await pause();
        },
      });
      expect(code).toBe(0);
      expect(closed).toBe(1);
      expect(calls[0]?.params).toMatchObject({ watch: true, mustExist: false, policy: { minFiles: 5 } });
      expect(err).toBe("Watching /data/events (watching); Ctrl-C ends\n");
      expect(out.trimEnd().split("\n")).toEqual(lines);
    }
  });

  it("tells changes that come while it pauses in one line", async () => {
    const { out } = await run("watch events", {
      meanwhile: (tell) => {
        tell(CHANGED, changed({ added: 2 }));
        tell(CHANGED, changed({ removed: 1, changed: 3 }));
      },
    });
    expect(out.trimEnd().split("\n")).toEqual([status, `${status}  (+2, -1, 3 changed)`]);
  });

  it("tells what the watch has come to", async () => {
    const watch = { kind: "polling", reason: "no inotify watches left", remedy: "raise the limit" } as const;
    const { err } = await run("watch events", {
      meanwhile: async (tell) => {
        await pause();
        tell(CHANGED, changed({}, { watch }));
      },
    });
    expect(err).toContain("Now polling: no inotify watches left (raise the limit)\n");
  });
});

const warned = (...warnings: readonly string[]) => changed({}, { warnings });

describe("warnings of watch, for people", () => {
  const appear = "warning: a\\u{a}b\n";
  const many = Array.from({ length: 7 }, (_, index) => `w${index}`);
  it.each<readonly [string, readonly string[], readonly Changed[], readonly string[]]>([
    ["those at the start", ["a\nb"], [], [appear]],
    ["those that come, once", [], [warned("a\nb"), warned("a\nb", "c")], [appear, "warning: c\n"]],
    ["those that go", ["a\nb", "c"], [warned("c")], [appear, "warning: c\n", "resolved: a\\u{a}b\n"]],
    [
      "those that come again",
      ["c"],
      [warned(), warned("c")],
      ["warning: c\n", "resolved: c\n", "warning: c\n"],
    ],
    [
      "no more than a few of many",
      many,
      [warned()],
      [
        ...many.slice(0, 5).map((text) => `warning: ${text}\n`),
        "… and 2 more warnings (all: tamp stats)\n",
        ...many.slice(0, 5).map((text) => `resolved: ${text}\n`),
        "… and 2 more warnings resolved\n",
      ],
    ],
  ])("%s", async (_name, warnings, later, expected) => {
    const { err } = await run("watch events", {
      answers: { "tamp/dataset/open": { ...SUMMARY, warnings } },
      meanwhile: async (tell) => {
        await pause();
        for (const params of later) {
          tell(CHANGED, params);
          await pause();
        }
      },
    });
    expect(err).toBe(["Watching /data/events (watching); Ctrl-C ends\n", ...expected].join(""));
  });
});

describe("what watch says at the start", () => {
  const missing = { "tamp/dataset/open": { ...SUMMARY, state: "missing" } };
  const held = { severity: "held", concerns: true, path: ["datasets", 0, "onThreshold"] };
  const policy = { valid: true, onThreshold: "notify", file: "/data/tamp.jsonc", problems: [] };
  const asked = (answer: object) => ({ "tamp/policy": { ...policy, ...answer } });
  const executing = { ...SUMMARY, automation: { onThreshold: "execute", state: "idle" } };
  const NOTHING = "Nothing will be executed: ";
  it.each<readonly [string, NonNullable<Setting["answers"]>, string]>([
    ["", missing, "/data/events does not exist or is no directory: it is waited for"],
    [" --execute", asked({}), `${NOTHING}no policy says "execute" for onThreshold, but "notify"`],
    [" --execute", asked({ valid: false, problems: [held] }), `${NOTHING}the policy is not valid`],
    [" --execute", asked({ problems: [held] }), `${NOTHING}the policy file /data/tamp.jsonc is not trusted`],
    [" --execute", asked({ problems: [{ ...held, path: [] }] }), "is not trusted"],
    [" --execute", asked({ problems: [{ ...held, path: ["defaults", "engine"] }] }), "no policy says"],
    [" --execute", asked({ problems: [{ ...held, concerns: false }] }), "no policy says"],
  ])("watch%s with %j", async (flags, answers, text) => {
    for (const json of ["", " --json"]) {
      const { err } = await run(`watch events${flags}${json}`, { answers, columns: 100 });
      expect(err).toContain(text);
    }
  });

  it.each([
    ["", {}],
    [" --execute", { "tamp/dataset/open": executing, "tamp/dataset/list": { datasets: [executing] } }],
  ])("nothing more where all is well: watch%s", async (flags, answers) => {
    const { err, calls } = await run(`watch events${flags}`, { answers });
    expect(err).toBe("Watching /data/events (watching); Ctrl-C ends\n");
    expect(calls.map(({ method }) => method)).not.toContain("tamp/policy");
  });
});

describe("watch --execute, interrupted", () => {
  const atWork = (running: boolean) => ({
    ...SUMMARY,
    running,
    automation: { onThreshold: "execute", state: "running" },
  });
  type Kind = ServerNotifications["tamp/run/finished"]["result"]["kind"];
  const interrupted = (running: boolean, kind: Kind | null, late = false): Setting => {
    let opened = 0;
    return {
      answers: {
        "tamp/dataset/open": () => {
          opened += 1;
          return { ...atWork(false), fileCount: opened === 1 ? 80 : 30 };
        },
        "tamp/dataset/list": { datasets: [{ ...SUMMARY, dataset: "/other" }, atWork(running)] },
        "tamp/dataset/close": ({ listeners }: { listeners: Map<string, (params: unknown) => void> }) => {
          const tell = () =>
            listeners.get("tamp/run/finished")?.({ dataset: ROOT, result: { ...RESULT, kind } });
          if (late) setTimeout(tell, 0);
          else if (kind !== null) tell();
          return null;
        },
      },
    };
  };

  it.each<readonly [string, boolean, Kind | null, number]>([
    ["a run that was cancelled", true, "cancelled", 130],
    ["one that was published in part", true, "partly_published", 130],
    ["one that was past cancelling", true, "published", 0],
    ["one whose outcome is not known", true, "unknown", 2],
    ["a plan that was being made", false, null, 0],
  ])("%s comes before the end, and gives the exit code", async (_name, running, kind, expected) => {
    const { code, out, err, calls } = await run("watch events --execute --json", interrupted(running, kind));
    expect(code).toBe(expected);
    expect(err).toContain("Cancelling: the run under way is rolled back or finished first\n");
    expect(calls.map(({ method }) => method.replace("tamp/dataset/", ""))).toEqual([
      "open",
      "list",
      "close",
      "open",
    ]);
    expect(calls.at(-1)?.params).toMatchObject({ automate: false });
    const lines = out
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(lines.map((line) => line.kind)).toEqual(["open", ...(kind === null ? [] : ["run"]), "end"]);
    expect(lines.at(-1)).toMatchObject({ fileCount: 30, added: 0, changed: 0, removed: 50 });
  });

  it("waits for a run that is told late", async () => {
    const { code, out } = await run("watch events --execute --json", {
      ...interrupted(true, "cancelled", true),
      meanwhile: pause,
    });
    expect(code).toBe(130);
    expect(out.trimEnd().split("\n")[1]).toContain('"kind":"run"');
  });

  it("tells people of the run, then what is on disk", async () => {
    const { code, out } = await run("watch events --execute", interrupted(true, "cancelled"));
    expect(code).toBe(130);
    expect(out).toMatch(/ 80 files .*\n.* run 20260301t120007000abcdef cancelled\n(.*\n)+.* 30 files /);
  });

  it("ends nothing where no run is under way, nor without --execute", async () => {
    for (const [flags, listed] of [
      ["", []],
      [" --execute", [{ ...SUMMARY, automation: { onThreshold: "execute", state: "waiting" } }]],
    ] as const) {
      const { code, calls } = await run(`watch events${flags}`, {
        answers: { "tamp/dataset/open": { ...atWork(false) }, "tamp/dataset/list": { datasets: listed } },
      });
      expect(code).toBe(0);
      expect(calls.map(({ method }) => method)).not.toContain("tamp/dataset/close");
    }
  });
});

describe("watch --json", () => {
  const at = "2026-03-01T12:00:07.000Z";
  const none = { added: 0, changed: 0, removed: 0 };

  it("prints one object a line, from open to end", async () => {
    let opened = 0;
    const { code, out, calls } = await run("watch events --json", {
      answers: {
        "tamp/dataset/open": ({ listeners }: { listeners: Map<string, (params: unknown) => void> }) => {
          opened += 1;
          if (opened === 1) listeners.get(CROSSED)?.(crossed);
          listeners.get(CHANGED)?.(changed({ added: opened }));
          if (opened === 2) listeners.get(CROSSED)?.(crossed);
          return { ...SUMMARY, generation: opened === 1 ? 3 : 9 };
        },
      },
      meanwhile: (tell) => {
        tell(CHANGED, changed({ added: 2, removed: 1 }, { generation: 4 }));
        tell(CHANGED, changed({}, { generation: 4, watch: { kind: "polling" } }));
        tell(CHANGED, changed({}, { generation: 4, watch: { kind: "polling" } }));
        tell(CROSSED, crossed);
        tell("tamp/run/finished", { dataset: ROOT, result: RESULT });
      },
    });
    expect(code).toBe(0);
    expect(calls.map(({ method }) => method)).toEqual(["tamp/dataset/open", "tamp/dataset/open"]);
    expect(calls[1]?.params).toEqual(calls[0]?.params);
    const lines = out.trimEnd().split("\n");
    expect(lines.map((line) => JSON.parse(line))).toEqual([
      { kind: "open", at, ...none, ...SUMMARY, generation: 3 },
      { kind: "crossed", at, ...crossed },
      { kind: "change", at, ...SUMMARY, generation: 4, added: 2, changed: 0, removed: 1 },
      { kind: "state", at, ...none, ...SUMMARY, generation: 4, watch: { kind: "polling" } },
      { kind: "crossed", at, ...crossed },
      { kind: "run", at, dataset: ROOT, result: RESULT },
      { kind: "end", at, ...SUMMARY, generation: 9, added: 2, changed: 0, removed: 0 },
    ]);
  });

  it.each<readonly [string, readonly Changed[], readonly object[]]>([
    ["alone", [changed({ generation: 3, added: 1234 })], []],
    [
      "alone, with something else",
      [changed({ generation: 3, added: 1234 }, { unsettledCount: 2 })],
      [{ kind: "state", ...none }],
    ],
    [
      "with what came next",
      [changed({ added: 1236, removed: 1 }, { fileCount: 1235 }), changed({ added: 1 }, { fileCount: 1236 })],
      [
        { kind: "change", ...none, added: 2, removed: 1 },
        { kind: "change", ...none, added: 1 },
      ],
    ],
  ])("does not count again what open shows: told late, %s", async (_name, told, expected) => {
    const { out } = await run("watch events --json", {
      meanwhile: (tell) => {
        for (const params of told) tell(CHANGED, params);
      },
    });
    const lines = out.trimEnd().split("\n");
    expect(lines.slice(1, -1).map((line) => JSON.parse(line))).toMatchObject(expected);
    const people = await run("watch events", {
      meanwhile: (tell) => tell(CHANGED, changed({ generation: 3, added: 1234 })),
    });
    expect(people.out).not.toContain("+1,234");
  });

  it("prints lines in the order of their times", async () => {
    let ms = Date.UTC(2026, 2, 1);
    const { out } = await run("watch events --json", {
      now: () => (ms += 1_000),
      answers: {
        "tamp/dataset/open": ({ listeners }: { listeners: Map<string, (params: unknown) => void> }) => {
          listeners.get(CROSSED)?.(crossed);
          return SUMMARY;
        },
      },
    });
    const times = out
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line).at);
    expect(times.length).toBeGreaterThan(2);
    expect(times).toEqual([...times].sort());
  });

  it("has the statistics under the names that tamp stats --json gives them", async () => {
    const watched = await run("watch events --json");
    const counted = await run("stats events --json");
    const end = JSON.parse(watched.out.trimEnd().split("\n").at(-1) ?? "");
    const stats = JSON.parse(counted.out);
    const keys = [
      "fileCount",
      "totalBytes",
      "totalRows",
      "smallFileCount",
      "unsettledCount",
      "quarantinedCount",
      "health",
    ];
    const of = (value: Record<string, unknown>) => keys.map((key) => [key, value[key]]);
    expect(of(end)).toEqual(of(stats));
  });
});
