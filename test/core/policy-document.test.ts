import { describe, expect, it } from "vitest";
import { type PolicyFileProblem, type PolicyScope, readPolicyDocument } from "../../core/src/index.ts";

type Row = readonly [
  name: string,
  value: unknown,
  problems: readonly (readonly [path: string, message: string, entry?: number])[],
  scope?: PolicyScope,
];

const shortly = ({ path, message, entry }: PolicyFileProblem) => [
  path.join("."),
  message,
  entry ?? undefined,
];

describe("what is wrong is told at its place", () => {
  const rows: readonly Row[] = [
    ["nothing", {}, []],
    ["everything", { $schema: "x", defaults: { minFiles: 3 }, datasets: [{ path: "a" }] }, []],
    ["no object", [], [["", "a policy file must be an object, not a list"]]],
    ["null", null, [["", "a policy file must be an object, not null"]]],
    [
      "an unknown name at the top",
      { dataset: [] },
      [["dataset", "there is no dataset here; did you mean datasets?"]],
    ],
    ["$schema", { $schema: 5 }, [["$schema", "$schema must be a text"]]],
    ["defaults", { defaults: 5 }, [["defaults", "defaults must be an object, not a number"]]],
    ["a path in defaults", { defaults: { path: "a" } }, [["defaults.path", "there is no path here"]]],
    ["datasets", { datasets: {} }, [["datasets", "datasets must be a list"]]],
    [
      "an entry",
      { datasets: ["a"] },
      [["datasets.0", "a dataset must be an object with a path, not a string"]],
    ],
    ["no path", { datasets: [{ minFiles: 3 }] }, [["datasets.0", "a dataset must have a path"]]],
    [
      "a path that is none",
      { datasets: [{ path: 5 }] },
      [["datasets.0.path", "path must be a folder or a glob"]],
    ],
    ["an empty path", { datasets: [{ path: "" }] }, [["datasets.0.path", "path must be a folder or a glob"]]],
    [
      "a glob that is too much",
      { datasets: [{ path: "**/a/**/b/**" }] },
      [["datasets.0.path", "path takes at most 3"]],
    ],
    [
      "a misspelled name",
      { datasets: [{ path: "a", minFiels: 3 }] },
      [["datasets.0.minFiels", "did you mean minFiles?", 0]],
    ],
    [
      "a wire name",
      { datasets: [{ path: "a", minAgeMs: 3 }] },
      [["datasets.0.minAgeMs", "write minAge, as a time", 0]],
    ],
    [
      "a wrong value",
      { defaults: { minFiles: "3" } },
      [["defaults.minFiles", "minFiles must be a whole number"]],
    ],
    [
      "a wrong item",
      { datasets: [{ path: "a", exclude: ["b", 1] }] },
      [["datasets.0.exclude.1", "exclude must be a text", 0]],
    ],
    [
      "one path twice",
      { datasets: [{ path: "./data//a/" }, { path: "b" }, { path: "data/x/../a" }] },
      [["datasets.2.path", "data/a has an entry already: datasets[0]", 0]],
    ],
    [
      "defaults that disagree",
      { defaults: { smallFile: "200MiB" }, datasets: [{ path: "a" }] },
      [["defaults.smallFile", "smallFile must not exceed targetSize"]],
    ],
    [
      "an entry that disagrees with the defaults",
      { defaults: { smallFile: "64MiB" }, datasets: [{ path: "a" }, { path: "b", targetSize: "32MiB" }] },
      [["datasets.1.targetSize", "smallFile must not exceed targetSize", 1]],
    ],
    [
      "a relative path of a user",
      { datasets: [{ path: "a" }] },
      [["datasets.0.path", "must be absolute or begin with ~/"]],
      "user",
    ],
    ["paths of a user", { datasets: [{ path: "/a" }, { path: "~/b/*" }] }, [], "user"],
  ];
  it.each(rows.map((row) => [row[0], row] as const))(
    "%s",
    (_name, [, value, expected, scope = "project"]) => {
      const { problems } = readPolicyDocument(value, scope);
      expect(problems.map(shortly)).toEqual(
        expected.map(([path, message, entry]) => [path, expect.stringContaining(message), entry]),
      );
    },
  );
});

describe("what is right is kept beside what is wrong", () => {
  it("values by name, paths in one form", () => {
    const { defaults, datasets } = readPolicyDocument(
      {
        defaults: { minFiles: 3, targetSize: "x" },
        datasets: [
          { path: "./a/./b/../c/", minAge: "1h" },
          7,
          { path: "." },
          { path: "../x" },
          { path: "/abs//y/" },
        ],
      },
      "project",
    );
    expect([...defaults]).toEqual([["minFiles", 3]]);
    expect(datasets.map(({ index, path }) => [index, path])).toEqual([
      [0, "a/c"],
      [2, "."],
      [3, "../x"],
      [4, "/abs/y"],
    ]);
    expect([...(datasets[0]?.values ?? [])]).toEqual([["minAge", 3_600_000]]);
  });

  it("a name of JavaScript's own is unknown like any other", () => {
    const value: unknown = JSON.parse('{ "defaults": { "__proto__": { "minFiles": 3 }, "constructor": 1 } }');
    const { defaults, problems } = readPolicyDocument(value, "project");
    expect(defaults.size).toBe(0);
    expect(problems.map(({ at, path }) => [at, path[1]])).toEqual([
      ["key", "__proto__"],
      ["key", "constructor"],
    ]);
  });
});
