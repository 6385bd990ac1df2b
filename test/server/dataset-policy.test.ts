import { rmSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { type DatasetPolicy, loadDatasetPolicy } from "../../server/src/dataset-policy.ts";
import { nodeFs } from "../../server/src/fs.ts";
import { type LoadMore, policyScene } from "../support/policy-files.ts";

const ROOT = "proj/data/events";
const FOLDER = { [`${ROOT}/`]: null };
const USER = ".config/tamp/tamp.jsonc";

interface Row {
  readonly name: string;
  readonly files: Readonly<Record<string, unknown>>;
  readonly root?: string;
  readonly more?: LoadMore;
  /** Option → value and who said it: `file:line` without the home. */
  readonly says: Readonly<Record<string, readonly [value: unknown, from: string]>>;
}

/** What an option holds and whence. */
function saying(policy: DatasetPolicy, name: string, home: string): readonly [unknown, string] {
  const found = policy.values.find((value) => value.name === name);
  if (found === undefined) throw new Error(`there is no ${name}`);
  const { origin, value } = found;
  if (origin.kind === "environment") return [value, origin.variable];
  if (origin.kind === "file" || origin.kind === "user")
    return [value, `${origin.file.slice(home.length + 1)}:${origin.line}`];
  return [value, origin.kind];
}

const entries = (...datasets: readonly object[]): string =>
  `{"datasets": [\n${datasets.map((entry) => JSON.stringify(entry)).join(",\n")}]}`;

const ROWS: readonly Row[] = [
  {
    name: "nothing is said",
    files: {},
    says: { minFiles: [expect.any(Number), "default"], onThreshold: ["notify", "default"] },
  },
  {
    name: "the flag goes before environment, file, user and default",
    files: {
      "proj/tamp.jsonc": { defaults: { minFiles: 3, minAge: "3s", settle: "3s", cooldown: "3s" } },
      [USER]: { defaults: { minFiles: 2, minAge: "2s", settle: "2s", cooldown: "2s", rowsPerGroup: 5000 } },
    },
    more: {
      client: { minFiles: 9, retentionMs: 9 },
      environment: { TAMP_MIN_FILES: "8", TAMP_MIN_AGE: "8s" },
    },
    says: {
      minFiles: [9, "client"],
      retention: [9, "client"],
      minAge: [8000, "TAMP_MIN_AGE"],
      settle: [3000, "proj/tamp.jsonc:1"],
      cooldown: [3000, "proj/tamp.jsonc:1"],
      rowsPerGroup: [5000, `${USER}:1`],
      targetSize: [2 ** 27, "default"],
    },
  },
  {
    name: "the nearest file goes alone",
    files: {
      "tamp.jsonc": { defaults: { minFiles: 3, settle: 1 } },
      "proj/data/tamp.jsonc": { defaults: { minFiles: 4 } },
    },
    says: { minFiles: [4, "proj/data/tamp.jsonc:1"], settle: [expect.any(Number), "default"] },
  },
  {
    name: "a file in the root itself is the nearest",
    files: {
      [`${ROOT}/tamp.jsonc`]: entries({ path: ".", minFiles: 5 }),
      "proj/tamp.jsonc": { defaults: { minFiles: 3 } },
    },
    says: { minFiles: [5, `${ROOT}/tamp.jsonc:2`] },
  },
  {
    name: "an entry goes before the defaults of its file, which hold beside it",
    files: {
      "proj/tamp.jsonc": {
        defaults: { minFiles: 3, settle: 7 },
        datasets: [{ path: "data/events", minFiles: 6 }],
      },
    },
    says: { minFiles: [6, "proj/tamp.jsonc:1"], settle: [7, "proj/tamp.jsonc:1"] },
  },
  {
    name: "the folder goes before globs, wherever it stands",
    files: {
      "proj/tamp.jsonc": entries({ path: "data/*", minFiles: 3 }, { path: "data/events", minFiles: 4 }),
    },
    says: { minFiles: [4, "proj/tamp.jsonc:3"] },
  },
  {
    name: "the first glob goes",
    files: {
      "proj/tamp.jsonc": entries(
        { path: "other/*", minFiles: 3 },
        { path: "**/events", minFiles: 4 },
        { path: "data/*", minFiles: 5 },
      ),
    },
    says: { minFiles: [4, "proj/tamp.jsonc:3"] },
  },
  {
    name: "other datasets are others",
    files: {
      "proj/tamp.jsonc": entries({ path: "data/events2", minFiles: 3 }, { path: "data", minFiles: 4 }),
    },
    says: { minFiles: [expect.any(Number), "default"] },
  },
  {
    name: "a folder with brackets in its name",
    root: "proj/x[1]/y",
    files: {
      "proj/x[1]/y/": null,
      "proj/tamp.jsonc": entries({ path: "x1/*", minFiles: 3 }, { path: "x[1]/y", minFiles: 4 }),
    },
    says: { minFiles: [4, "proj/tamp.jsonc:3"] },
  },
  {
    name: "a glob with brackets that are a name's",
    root: "proj/x[1]/y",
    files: {
      "proj/x[1]/y/": null,
      "proj/tamp.jsonc": entries({ path: "x[!1]/*", minFiles: 3 }, { path: "x\\[1\\]/*", minFiles: 4 }),
    },
    says: { minFiles: [4, "proj/tamp.jsonc:3"] },
  },
  {
    name: "a root that is named by a link inside the folder",
    root: "proj/link",
    files: {
      ...FOLDER,
      "proj/link -> proj/data/events": null,
      "proj/tamp.jsonc": entries({ path: "data/events", minFiles: 4 }),
    },
    says: { minFiles: [4, "proj/tamp.jsonc:2"] },
  },
  {
    name: "an entry that is a link to the root",
    files: {
      ...FOLDER,
      "proj/link -> proj/data/events": null,
      "proj/tamp.jsonc": entries({ path: "link", minFiles: 4 }),
    },
    says: { minFiles: [4, "proj/tamp.jsonc:2"] },
  },
  {
    name: "a root that is not there yet",
    root: "proj/later/on",
    files: { "proj/tamp.jsonc": entries({ path: "later/on", minFiles: 4 }) },
    says: { minFiles: [4, "proj/tamp.jsonc:2"] },
  },
  {
    name: "the user's own file: paths from home, absolute, execute without trust",
    files: {
      [USER]: entries({ path: "~/proj/data/*", minFiles: 4, onThreshold: "execute", workspace: "~/ws" }),
    },
    says: {
      minFiles: [4, `${USER}:2`],
      onThreshold: ["execute", `${USER}:2`],
      workspace: [expect.stringMatching(/^\/.*\/ws$/), `${USER}:2`],
    },
  },
  {
    name: "all that is not the planner's",
    files: {
      "proj/tamp.jsonc": {
        defaults: {
          quietHours: ["22:00-06:00"],
          dailyBudget: "50GiB",
          exclude: ["tmp/**"],
          onThreshold: "off",
        },
      },
    },
    more: { environment: { TAMP_EXCLUDE: "old/**,x", TAMP_ENGINE: "duckdb" } },
    says: {
      quietHours: [["22:00-06:00"], "proj/tamp.jsonc:1"],
      dailyBudget: [50 * 2 ** 30, "proj/tamp.jsonc:1"],
      exclude: [["old/**", "x"], "TAMP_EXCLUDE"],
      onThreshold: ["off", "proj/tamp.jsonc:1"],
      engine: ["duckdb", "TAMP_ENGINE"],
    },
  },
];

describe("the policy of a dataset", () => {
  it.each(ROWS.map((row) => [row.name, row] as const))(
    "%s",
    async (_name, { files, root = ROOT, more, says }) => {
      const scene = policyScene({ ...FOLDER, ...files });
      const policy = await scene.load(root, more);
      for (const [name, expected] of Object.entries(says))
        expect([name, ...saying(policy, name, scene.home)]).toEqual([name, ...expected]);
      expect(policy.problems).toEqual([]);
      expect(policy).toMatchObject({ valid: true, warnings: [] });
    },
  );

  it("is in the form that the planner and the automation take", async () => {
    const scene = policyScene({
      "proj/tamp.jsonc": {
        defaults: {
          minAge: "1h",
          quietHours: ["22:00-06:00"],
          dailyBudget: "1kB",
          cooldown: "10min",
          exclude: ["tmp"],
        },
      },
    });
    const policy = await scene.load(ROOT, { client: { targetSize: "64MiB" } });
    expect(policy).toMatchObject({
      input: { minAgeMs: 3_600_000, cooldownMs: 600_000, targetSize: "64MiB" },
      quietHours: [{ fromMinute: 1320, toMinute: 360 }],
      dailyBudgetBytes: 1000,
      cooldownMs: 600_000,
      workspace: null,
      engine: "auto",
      source: scene.path("proj/tamp.jsonc"),
    });
    expect(Object.keys(policy.input).sort()).toEqual(["cooldownMs", "minAgeMs", "targetSize"]);
    expect(["tmp/a", "a"].map(policy.isExcluded)).toEqual([true, false]);
    expect(policy.values.find(({ name }) => name === "smallFile")?.value).toBe(48 * 2 ** 20);
  });
});

describe("what is wrong", () => {
  const good = { defaults: { minFiles: 33 } };

  it.each([
    ["a syntax error", '{ "defaults": {', 1, 16],
    ["a wrong value in the defaults", '{ "defaults": { "minFiles": 0 } }', 1, 29],
    ["an unknown name of its entry", '{ "datasets": [\n{ "path": "data/events", "minFile": 3 }] }', 2, 26],
    ["a path that cannot be read", '{ "datasets": [{ "path": 5 }] }', 1, 26],
    [
      "an entry that stands twice",
      '{ "datasets": [{ "path": "data/events" },\n{ "path": "./data/events" }] }',
      2,
      11,
    ],
  ])(
    "%s: the last good policy holds, nothing is executed, and it is told until mended",
    async (_name, text, line, column) => {
      const scene = policyScene({
        ...FOLDER,
        "proj/tamp.jsonc": { defaults: { minFiles: 33, onThreshold: "execute" } },
      });
      await scene.trust("proj/tamp.jsonc");
      const before = await scene.load(ROOT);
      expect(before).toMatchObject({ valid: true, onThreshold: "execute", input: { minFiles: 33 } });
      scene.write({ "proj/tamp.jsonc": text });
      for (const previous of [before, await scene.load(ROOT, { previous: before })]) {
        const policy = await scene.load(ROOT, { previous });
        expect(policy).toMatchObject({ valid: false, onThreshold: "notify", input: { minFiles: 33 } });
        expect(policy.problems).toMatchObject([{ severity: "error", concerns: true, line, column }]);
        expect(policy.warnings).toEqual([expect.stringContaining(`proj/tamp.jsonc:${line}:${column}: `)]);
      }
      expect((await scene.load(ROOT)).input).toEqual({});
      scene.write({ "proj/tamp.jsonc": good });
      expect(await scene.load(ROOT, { previous: before })).toMatchObject({
        valid: true,
        warnings: [],
        onThreshold: "notify",
      });
    },
  );

  it("in another dataset's entry does not concern this one", async () => {
    const text =
      '{ "datasets": [{ "path": "data/events", "minFiles": 33 }, { "path": "x", "minFiles": 1 }] }';
    const scene = policyScene({ "proj/tamp.jsonc": text });
    const policy = await scene.load(ROOT);
    expect(policy).toMatchObject({ valid: true, warnings: [], input: { minFiles: 33 } });
    expect(policy.problems).toMatchObject([
      { severity: "error", concerns: false, path: ["datasets", 1, "minFiles"] },
    ]);
    expect(await scene.load("proj/x")).toMatchObject({ valid: false, input: {} });
  });

  it("in the environment is not passed over", async () => {
    const policy = await policyScene().load(ROOT, {
      environment: { TAMP_TARGET_SIZE: "huge", TAMP_MIN_FILES: "7", TAMP_SETTLE: "" },
    });
    expect(policy).toMatchObject({ valid: false, input: { minFiles: 7 } });
    expect(policy.warnings).toEqual([expect.stringContaining("TAMP_TARGET_SIZE: targetSize must be a size")]);
  });

  it("between two sources names both", async () => {
    const scene = policyScene({ "proj/tamp.jsonc": { defaults: { smallFile: "100MiB" } } });
    const policy = await scene.load(ROOT, { environment: { TAMP_TARGET_SIZE: "64MiB" } });
    expect(policy).toMatchObject({ valid: false, input: {} });
    expect(policy.warnings[0]).toMatch(
      /smallFile is given by .*tamp.jsonc:1; targetSize is given by TAMP_TARGET_SIZE|targetSize is given by TAMP_TARGET_SIZE; smallFile/,
    );
  });

  it.each([
    ["a folder of that name", { "proj/tamp.jsonc/": null }, "it is no regular file"],
    ["a link to nothing", { "proj/tamp.jsonc -> nothing": null }, "ENOENT"],
    ["a file of two megabytes", { "proj/tamp.jsonc": " ".repeat(2_000_000) }, "larger than 1 MB"],
  ])("%s is told, and no file further up is taken for it", async (_name, files, why) => {
    const scene = policyScene({ ...FOLDER, ...files, "tamp.jsonc": good });
    const policy = await scene.load(ROOT);
    expect(policy).toMatchObject({ valid: false, input: {}, source: scene.path("proj/tamp.jsonc") });
    expect(policy.warnings).toEqual([expect.stringContaining(why)]);
  });

  it("is over once the file is gone", async () => {
    const scene = policyScene({ "proj/tamp.jsonc": good });
    const before = await scene.load(ROOT);
    rmSync(scene.path("proj/tamp.jsonc"));
    expect(await scene.load(ROOT, { previous: before })).toMatchObject({
      valid: true,
      input: {},
      source: null,
    });
  });
});

it.each([
  ["EIO", false],
  ["ESTALE", false],
  ["EACCES", true],
])("the nearest file that cannot be looked at for %s lets those above it speak: %s", async (code, speaks) => {
  const scene = policyScene({
    ...FOLDER,
    [USER]: { defaults: { onThreshold: "execute" } },
    "proj/tamp.jsonc": { defaults: { onThreshold: "off" } },
  });
  const lstat: typeof nodeFs.lstat = (path) =>
    path === scene.path("proj/tamp.jsonc")
      ? Promise.reject(Object.assign(new Error(code), { code }))
      : nodeFs.lstat(path);
  const policy = await loadDatasetPolicy({
    fs: { ...nodeFs, lstat },
    user: scene.user,
    root: scene.path(ROOT),
  });
  expect(policy.onThreshold).toBe(speaks ? "execute" : "notify");
  expect(policy.valid).toBe(speaks);
});
