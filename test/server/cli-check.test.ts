import { describe, expect, it } from "vitest";
import { escapeData, escapeProperty } from "../../server/src/cli/check-formats/github.ts";
import { renderJunit } from "../../server/src/cli/check-formats/junit.ts";
import { renderSarif } from "../../server/src/cli/check-formats/sarif.ts";
import { explainCrossing } from "../../server/src/cli/crossings.ts";
import type { CheckResult, WireCrossing } from "../../server/src/protocol.ts";
import { HEALTH, MIB, ROOT, rows, run } from "../support/cli.ts";

const CROSSING: WireCrossing = {
  partition: "day=1",
  trigger: "count",
  files: 45,
  bytes: 3 * MIB,
  limit: 12,
  value: 45,
};
const CLEAN: CheckResult = {
  dataset: ROOT,
  generation: 3,
  crossed: false,
  crossings: [],
  health: { score: 100, reasons: [] },
  counts: {
    fileCount: 1234,
    totalBytes: 1200 * MIB,
    partitionCount: 3,
    smallFileCount: 7,
    unsettledCount: 0,
    quarantinedCount: 0,
  },
  quarantined: [],
  warnings: [],
};
const UNSEEN = "day=9 cannot be listed (EACCES): its files are not seen";
const WARNED: CheckResult = { ...CLEAN, warnings: ["the clock is\n3 s ahead"] };
const PARTIAL: CheckResult = { ...CLEAN, incomplete: UNSEEN, warnings: [UNSEEN, ...WARNED.warnings] };
const OVER: CheckResult = {
  ...CLEAN,
  crossed: true,
  crossings: [CROSSING, { ...CROSSING, partition: "", trigger: "age", limit: 3_600_000, value: 7_200_000 }],
  health: HEALTH,
};
const BROKEN: CheckResult = {
  ...CLEAN,
  counts: { ...CLEAN.counts, quarantinedCount: 1, unsettledCount: 2 },
  quarantined: [{ path: "day=2/a.parquet", detail: "no magic\nat the end" }],
};
const NASTY: CheckResult = {
  ...OVER,
  dataset: '/data/a "b"<&>',
  crossings: [{ ...CROSSING, partition: "k=100%,a:b\n::error::x/é\u0000\ufffe]]>" }],
  quarantined: [{ path: "x y#?.parquet", detail: "<\u001b[31m>" }],
};
const [REASON = { files: 1, bytes: 1, partitions: 1 }] = HEALTH.reasons;
const FOREIGN: CheckResult = { ...CLEAN, refused: "the dataset belongs to Delta Lake" };

const of = (result: CheckResult, columns = 80) => ({ columns, answers: { "tamp/check": result } });

describe("check", () => {
  rows([
    {
      line: "check events",
      setting: of(CLEAN),
      code: 0,
      out: ["No threshold is crossed.", "Health 100"],
      sent: ["dataset/open", "dataset/stats", "check"],
    },
    {
      line: "check events --min-files 5 --partition day=1",
      setting: of(OVER),
      code: 1,
      out: [
        "2 partitions over a threshold.",
        "  day=1\n    45 small files; the limit is 12\n    45 files, 3.0 MiB to rewrite\n",
        "  (root)\n    small files have waited for 2 h 0 min; the limit is 1 h 0 min\n",
        "next step: tamp compact /data/events --partition day=1 --min-files 5\n",
      ],
    },
    {
      line: "check broken",
      setting: of(BROKEN),
      code: 0,
      out: [
        "Cannot be read: 1 file (crosses no threshold)",
        "no magic\\u{a}at the end",
        "2 files may still be written",
      ],
    },
    {
      line: "check foreign",
      setting: of(FOREIGN),
      code: 2,
      quiet: true,
      err: ["belongs to Delta Lake", "no threshold was checked"],
    },
    {
      line: "check events",
      setting: of({ ...FOREIGN, health: { score: 0, reasons: [{ ...REASON, kind: "foreign_format" }] } }),
      code: 2,
      err: ["use the table format's own maintenance"],
    },
    {
      line: "check events",
      setting: of({ ...CLEAN, refused: "tamp.jsonc:3:1: a comma is missing", warnings: ["another"] }),
      code: 2,
      quiet: true,
      err: ["warning: another\n", "tamp: tamp.jsonc:3:1: a comma is missing", "mend it and check again"],
    },
    { line: "check events", setting: of(WARNED), code: 0, err: ["warning: the clock is\\u{a}3 s ahead\n"] },
    {
      line: "check events",
      setting: of(PARTIAL),
      code: 2,
      out: ["Not everything could be checked."],
      err: [`tamp: ${UNSEEN}\n`, "warning: the clock"],
    },
    {
      line: "check events",
      setting: of({ ...OVER, incomplete: UNSEEN }),
      code: 1,
      out: ["2 partitions over a threshold."],
      err: [UNSEEN],
    },
    { line: "check events --json", setting: of(PARTIAL), code: 2, out: [`"incomplete":"${UNSEEN}"`] },
    { line: "check events --format github", setting: of(PARTIAL), code: 2, err: [UNSEEN] },
    {
      line: "check foreign --format github",
      setting: of(FOREIGN),
      code: 2,
      out: ["::error title=Tamp%3A not everything could be checked::the dataset belongs to Delta Lake\n"],
    },
    { line: "check foreign --format junit", setting: of(FOREIGN), code: 2, out: ['errors="1"'] },
    { line: "check foreign --format sarif", setting: of(FOREIGN), code: 2, out: ["belongs to Delta Lake"] },
    { line: "check foreign --json", setting: of(FOREIGN), code: 2, out: ['"refused":"the dataset'] },
    {
      line: "check events --format yaml",
      code: 2,
      quiet: true,
      err: ["--format yaml is not known", "text, json, github, sarif, junit"],
    },
    { line: "check events --format sarif --json", code: 2, out: ["exclude each other"] },
    {
      line: "check events",
      setting: { answers: { "tamp/dataset/open": new Error("gone") } },
      code: 2,
      err: ["gone"],
    },
  ]);

  it.each(["--json", "--format json"])("%s prints the result alone", async (flag) => {
    const { code, out } = await run(`check events ${flag}`, of(OVER));
    expect(code).toBe(1);
    expect(JSON.parse(out)).toEqual(OVER);
  });

  it.each([WARNED, PARTIAL])("says nothing of %j on stderr where the answer is JSON", async (result) => {
    const { out, err } = await run("check events --json", of(result));
    expect(JSON.parse(out)).toEqual(result);
    expect(err).toBe("");
  });

  it("tells a reason once, and claims nothing", async () => {
    const { out, err } = await run("check events", of(PARTIAL));
    expect(err.split(UNSEEN)).toHaveLength(2);
    expect(out).not.toContain("No threshold is crossed");
  });

  it("asks of the partitions that were named, and of no others", async () => {
    const { calls } = await run("check events --partition day=1", of(OVER));
    expect(calls[0]?.params).toMatchObject({ mustExist: true, watch: false });
    expect(calls.at(-1)).toEqual({
      method: "tamp/check",
      params: { dataset: ROOT, partitionFilter: ["day=1"] },
    });
  });

  it("tells the first twenty partitions, and how many more there are, in any width", async () => {
    const many = Array.from({ length: 25 }, (_, day) => ({
      ...CROSSING,
      partition: `day=${"9".repeat(80)}${day}`,
    }));
    for (const columns of [20, 60, 100]) {
      const { out } = await run("check events", of({ ...OVER, crossings: many }, columns));
      expect(out).toContain("… and 5 more partitions");
      const text = out.slice(0, out.indexOf("next step"));
      expect(Math.max(...text.split("\n").map((line) => line.length))).toBeLessThanOrEqual(
        Math.max(60, columns),
      );
    }
  });
});

describe("what a crossing means", () => {
  const texts: readonly (readonly [Partial<WireCrossing>, string])[] = [
    [{ trigger: "count", value: 1204, limit: 50 }, "1,204 small files; the limit is 50"],
    [
      { trigger: "bytes", value: 300 * MIB, limit: 128 * MIB },
      "small files of 300 MiB together; the limit is 128 MiB",
    ],
    [
      { trigger: "age", value: 90_000, limit: 60_000 },
      "small files have waited for 1 min 30 s; the limit is 1 min 0 s",
    ],
    [
      { trigger: "row_groups", value: 3.21, limit: 2 },
      "3.2 times the row groups that the rows need; the limit is 2",
    ],
    [{ trigger: "oversize", value: 400 * MIB, limit: 230 * MIB }, "a file of 400 MiB; the limit is 230 MiB"],
    [{ trigger: "codec", files: 1 }, "1 file with another codec than the one asked for"],
  ];

  it.each(texts)("%j: %s", (changes, text) => {
    expect(explainCrossing({ ...CROSSING, ...changes })).toBe(text);
  });
});

describe("--format github", () => {
  const lines = async (result: CheckResult) =>
    (await run("check e --format github", of(result))).out.split("\n");

  it("warns of crossings, and notes files that cannot be read", async () => {
    expect(await lines(OVER)).toEqual([
      "::warning title=Tamp%3A threshold crossed::/data/events, day=1: 45 small files; the limit is 12 (45 files, 3.0 MiB to rewrite)",
      "::warning title=Tamp%3A threshold crossed::/data/events, (root): small files have waited for 2 h 0 min; the limit is 1 h 0 min (45 files, 3.0 MiB to rewrite)",
      "",
    ]);
    expect(await lines(BROKEN)).toEqual([
      "::notice title=Tamp%3A file cannot be read::/data/events/day=2/a.parquet: no magic\\u{a}at the end",
      "No threshold is crossed in /data/events.",
      "",
    ]);
  });

  it("tells warnings, and that not everything could be checked", async () => {
    const clock = "::warning title=Tamp%3A warning::the clock is\\u{a}3 s ahead";
    expect(await lines(WARNED)).toEqual([clock, "No threshold is crossed in /data/events.", ""]);
    expect(await lines(PARTIAL)).toEqual([
      `::warning title=Tamp%3A warning::${UNSEEN}`,
      clock,
      `::error title=Tamp%3A not everything could be checked::${UNSEEN}`,
      "",
    ]);
  });

  it("lets no name begin a command of its own", async () => {
    const found = await lines(NASTY);
    expect(found).toHaveLength(3);
    expect(found[0]).toContain("k=100%25,a:b\\u{a}::error::x/é\\u{0}");
    expect(found.filter((line) => line !== "" && !/^::(warning|notice) title=/.test(line))).toEqual([]);
  });

  it.each([
    ["100%\r\n", "100%25%0D%0A", "100%25%0D%0A"],
    ["a:b,c", "a:b,c", "a%3Ab%2Cc"],
    ["%0A", "%250A", "%250A"],
  ])("escapes %j as GitHub's toolkit does", (text, data, property) => {
    expect(escapeData(text)).toBe(data);
    expect(escapeProperty(text)).toBe(property);
  });
});

describe("--format junit", () => {
  /** Tags by depth; throws where they do not nest. */
  function tagsOf(xml: string): readonly string[] {
    const open: string[] = [];
    const seen: string[] = [];
    for (const [, closing, name = "", self] of xml.matchAll(/<(\/)?([a-z-]+)(?: [a-z]+="[^"<>]*")*(\/)?>/g)) {
      if (closing !== undefined) expect(open.pop()).toBe(name);
      else seen.push(`${open.length} ${name}`);
      if (closing === undefined && self === undefined) open.push(name);
    }
    expect(open).toEqual([]);
    return seen;
  }
  const xmlOf = (...rest: readonly string[]) => ["0 testsuites", "1 testsuite", ...rest];

  it.each([
    ["a test that passed", CLEAN, ["2 testcase"], 'tests="1" failures="0" errors="0" skipped="0"'],
    [
      "a failure for each crossing",
      OVER,
      ["2 testcase", "3 failure", "2 testcase", "3 failure"],
      'tests="2" failures="2" errors="0" skipped="0"',
    ],
    [
      "a skipped test for each broken file",
      BROKEN,
      ["2 testcase", "2 testcase", "3 skipped"],
      'tests="2" failures="0" errors="0" skipped="1"',
    ],
    [
      "a test in error where not everything could be checked, and warnings",
      PARTIAL,
      ["2 testcase", "3 error", "2 system-err"],
      'tests="1" failures="0" errors="1" skipped="0"',
    ],
    [
      "the same of any name",
      NASTY,
      ["2 testcase", "3 failure", "2 testcase", "3 skipped"],
      'tests="2" failures="1" errors="0" skipped="1"',
    ],
  ] as const)("has %s", (_name, result, tags, counts) => {
    const xml = renderJunit(result);
    expect(tagsOf(xml)).toEqual(xmlOf(...tags));
    expect(xml.split(counts)).toHaveLength(3);
    expect(xml).toMatch(/^<\?xml version="1.0" encoding="UTF-8"\?>\n/);
    // What XML 1.0 forbids, and what would end an attribute or a text.
    expect(xml.replaceAll("\n", "")).not.toMatch(/[\p{Cc}\uFFFE\uFFFF]|&(?!(amp|lt|gt|quot);)/u);
    expect(xml.replace(/<[^<>]*>/g, "")).not.toMatch(/[<>]/);
  });
});

interface SarifResult {
  readonly ruleId: string;
  readonly ruleIndex: number;
  readonly level: string;
  readonly locations: readonly [
    { physicalLocation: { artifactLocation: { uri: string; uriBaseId: string } } },
  ];
}

describe("--format sarif", () => {
  const logOf = (result: CheckResult) => JSON.parse(renderSarif(result));
  const placeOf = ({ locations: [{ physicalLocation }] }: SarifResult) => physicalLocation.artifactLocation;

  it("places crossings in directories and broken files in files of the dataset", () => {
    const { version, runs } = logOf({ ...OVER, quarantined: BROKEN.quarantined });
    expect(version).toBe("2.1.0");
    expect(runs).toHaveLength(1);
    expect(runs[0].tool.driver.name).toBe("tamp");
    expect(runs[0].tool.driver.rules.map(({ id }: { id: string }) => id)).toEqual([
      "count",
      "age",
      "unreadable",
    ]);
    expect(runs[0].originalUriBaseIds).toEqual({ DATASET: { uri: "file:///data/events/" } });
    const facts = runs[0].results.map((result: SarifResult) => [
      result.ruleId,
      result.ruleIndex,
      result.level,
      placeOf(result),
    ]);
    const at = (uri: string) => ({ uri, uriBaseId: "DATASET" });
    expect(facts).toEqual([
      ["count", 0, "warning", at("day%3D1/")],
      ["age", 1, "warning", at("./")],
      ["unreadable", 2, "note", at("day%3D2/a.parquet")],
    ]);
  });

  it("has no results where nothing was found", () => {
    expect(logOf(CLEAN).runs[0].results).toEqual([]);
    expect(logOf(CLEAN).runs[0].tool.driver.rules).toEqual([]);
  });

  it.each([
    [CLEAN, true, []],
    [WARNED, true, ["warning"]],
    [PARTIAL, false, ["warning", "warning", "error"]],
  ])("notifies of warnings, and of what could not be checked: %#", (result, successful, levels) => {
    const [{ executionSuccessful, toolExecutionNotifications }] = logOf(result).runs[0].invocations;
    expect(executionSuccessful).toBe(successful);
    expect(toolExecutionNotifications.map(({ level }: { level: string }) => level)).toEqual(levels);
    for (const { message } of toolExecutionNotifications) expect(message.text).toMatch(/^[^\n]+$/);
  });

  it("has addresses that can be read back, whatever the names", () => {
    const { runs } = logOf(NASTY);
    const base = runs[0].originalUriBaseIds.DATASET.uri;
    const uris = runs[0].results.map((result: SarifResult) => placeOf(result).uri);
    const paths = uris.map((uri: string) => decodeURIComponent(new URL(uri, base).pathname));
    expect(paths).toEqual([
      `${NASTY.dataset}/${NASTY.crossings[0]?.partition}/`,
      `${NASTY.dataset}/x y#?.parquet`,
    ]);
  });
});
