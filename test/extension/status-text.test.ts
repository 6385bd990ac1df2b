import { expect, test } from "vitest";
import { type StatusInput, statusView } from "../../extension/src/status-text.ts";
import { summaryOf } from "./wire-values.ts";

const HEALTHY = { smallFileCount: 0, health: { score: 100, reasons: [] } };
const IDLE: StatusInput = { daemon: "running", datasets: [], problems: [], runs: [] };

interface Expected {
  readonly text: string;
  readonly label: string;
  readonly isVisible: boolean;
}

const rows: readonly (readonly [string, Partial<StatusInput>, Partial<Expected>])[] = [
  ["no dataset: nothing is shown", {}, { isVisible: false }],
  [
    "the lowest health and the backlog of all datasets",
    { datasets: [summaryOf("/a", HEALTHY), summaryOf("/b"), summaryOf("/c", { smallFileCount: 804 })] },
    {
      isVisible: true,
      text: "$(database) Tamp 38 · 3 datasets · 1,204 small files",
      label: "Tamp: health 38 of 100, 3 datasets, 1,204 small files",
    },
  ],
  ["nothing to do", { datasets: [summaryOf("/a", HEALTHY)] }, { text: "$(database) Tamp 100 · 1 dataset" }],
  [
    "a missing dataset has no say in health",
    { datasets: [summaryOf("/a", HEALTHY), summaryOf("/b", { state: "missing" })] },
    { text: "$(database) Tamp 100 · 2 datasets" },
  ],
  [
    "only missing ones",
    { datasets: [summaryOf("/b", { state: "missing" })] },
    { text: "$(database) Tamp no data files" },
  ],
  [
    "the first scan",
    { datasets: [summaryOf("/a"), summaryOf("/b", { state: "scanning" })] },
    { text: "$(sync~spin) Tamp scanning · 2 datasets" },
  ],
  [
    "a run",
    { datasets: [summaryOf("/lake/a")], runs: [{ dataset: "/lake/a", percentage: 41.7 }] },
    { text: "$(sync~spin) Tamp 42 % · a", label: "Tamp: compacting, a, 42 %" },
  ],
  [
    "two runs show the one that has longest to go",
    {
      runs: [
        { dataset: "/a", percentage: 90 },
        { dataset: "/b", percentage: 10 },
      ],
    },
    { text: "$(sync~spin) Tamp 10 % · 2 runs", isVisible: true },
  ],
  [
    "a dataset that could not be opened",
    { problems: [{ path: "/a", message: "no" }] },
    { isVisible: true, text: "$(warning) Tamp 1 dataset not opened" },
  ],
  ["a dead daemon", { daemon: "failed" }, { text: "$(error) Tamp stopped", isVisible: true }],
];

test.each(rows)("%s", (_, input, expected) => {
  expect(statusView({ ...IDLE, ...input })).toMatchObject(expected);
});

test("only a dead daemon colours the item", () => {
  const unwell = { ...IDLE, datasets: [summaryOf("/a", { health: { score: 0, reasons: [] } })] };
  expect(statusView(unwell).isError).toBe(false);
  expect(statusView({ ...IDLE, daemon: "failed" }).isError).toBe(true);
});

test("the tooltip links each dataset to its commands and cannot be broken out of", () => {
  const { tooltip } = statusView({ ...IDLE, datasets: [summaryOf("/lake/a) [x](command:evil")] });
  const links = [...tooltip.matchAll(/(?<!\\)\]\(command:([\w.]+)\??([^)]*)\)/g)];
  expect(links.map((link) => link[1])).toEqual([
    "tamp.showStatistics",
    "tamp.previewCompaction",
    "tamp.compact",
    "tamp.showLog",
  ]);
  expect(JSON.parse(decodeURIComponent(links[0]?.[2] ?? ""))).toEqual(["/lake/a) [x](command:evil"]);
});

test("the tooltip offers no compaction where nothing is to be done, and tells warnings", () => {
  const datasets = [
    summaryOf("/a", {
      ...HEALTHY,
      warnings: ["clock runs backwards"],
      watch: { kind: "degraded", reason: "limit" },
    }),
  ];
  const { tooltip } = statusView({ ...IDLE, datasets });
  expect(tooltip).not.toContain("tamp.compact");
  expect(tooltip).toContain("clock runs backwards");
  expect(tooltip).toContain("Watching is degraded\\. Limit\\.");
});

test.each([
  [{ watch: { kind: "polling", reason: "no watches left" } } as const, "Changes are found by looking\\. No"],
  [{ quarantinedCount: 2 }, "2 files cannot be read or rewritten"],
  [
    {
      automation: { onThreshold: "execute", state: "waiting", reason: "quiet hours", untilMs: 0 },
    } as const,
    "Quiet hours\\.",
  ],
])("the tooltip tells %j", (change, text) => {
  const { tooltip } = statusView({ ...IDLE, datasets: [summaryOf("/a", change)] });
  expect(tooltip).toContain(text);
  expect(statusView({ ...IDLE, datasets: [summaryOf("/a")] }).tooltip).not.toContain(text);
});
