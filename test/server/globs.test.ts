import { describe, expect, it } from "vitest";
import { createExclusion, createGlob, isGlob } from "../../server/src/globs.ts";

const LONG = "a".repeat(250);

describe("a glob", () => {
  it.each([
    ["data/*/facts", ["data/x/facts"], ["data/facts", "data/x/y/facts", "x/data/y/facts"]],
    ["**/facts", ["facts", "a/facts", "a/b/facts"], ["a/facts2"]],
    ["year=201[0-5]", ["year=2013"], ["year=2016"]],
    ["[!a]*", ["b1"], ["a1"]],
    ["*.{parquet,pq}", ["a.parquet", ".b.pq"], ["a.csv", "d/a.pq"]],
    // A name is itself, whatever it holds; as a glob it means what it says too.
    ["odd[1]", ["odd[1]", "odd1"], ["odd"]],
    ["odd\\[1\\]/*", ["odd[1]/x"], ["odd1/x"]],
    ["plain", ["plain"], ["plain/x", "plainer"]],
    // Letters only, for all that a regular expression would make of them.
    ["a(b|c)+/*", ["a(b|c)+/x"], ["ab/x", "abc/x"]],
    ["$a^.x*", ["$a^.x1"], ["a.x1", "$a^1x1"]],
    ["@(a)!(b)*", ["@(a)!(b)c"], ["ac", "a"]],
  ])("%s", (pattern, right, wrong) => {
    const matches = createGlob(pattern);
    expect(right.filter((path) => !matches(path))).toEqual([]);
    expect(wrong.filter(matches)).toEqual([]);
  });

  it.each(["((a+)+)+b*", "[(a+)+]*b", "(a|a)+b*", "*a*a*ab", "**/*a*a*b/**/*a*a*b"])(
    "%s against a long name comes to an end",
    (pattern) => {
      expect(createGlob(pattern)(LONG)).toBe(false);
    },
  );

  it.each([
    ["data/events", false],
    ["a(b)", false],
    ["a*", true],
    ["a?", true],
    ["a[1]", true],
    ["{a,b}", true],
    ["a\\b", true],
  ])("%s is one: %s", (pattern, expected) => {
    expect(isGlob(pattern)).toBe(expected);
  });
});

describe("an exclusion", () => {
  it.each([
    ["tmp/**", ["tmp/a", "tmp/b/c", "tmp/.x"], ["tmpx/a", "x/tmp/a"]],
    ["tmp", ["tmp", "tmp/a/b"], ["tmpx", "x/tmp"]],
    ["tmp/", ["tmp/a/b"], ["tmp", "tmpx/a"]],
    ["./a/b.parquet", ["a/b.parquet"], ["b.parquet"]],
    ["/a", ["a/b.parquet"], ["b/a"]],
    ["year=*/", ["year=1/a", "year=2/m=1/a"], ["month=1/a", "year=1"]],
    ["*", ["a.parquet"], ["d/a.parquet"]],
    ["x[1]", ["x[1]", "x1"], ["x2"]],
  ])("%s", (pattern, out, kept) => {
    const isExcluded = createExclusion([pattern]);
    expect(out.filter((path) => !isExcluded(path))).toEqual([]);
    expect(kept.filter(isExcluded)).toEqual([]);
  });

  it("of no patterns takes nothing, of several what any takes", () => {
    expect(createExclusion([])("a")).toBe(false);
    expect(["a", "b/c", "d"].filter(createExclusion(["a", "b/*"]))).toEqual(["a", "b/c"]);
  });
});
