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
