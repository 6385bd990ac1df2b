import { describe, expect, it } from "vitest";
import { parsePolicyFile } from "../../server/src/policy-file.ts";

/** Each problem as `line:column text-at-that-place message`. */
function told(text: string): readonly string[] {
  return parsePolicyFile(text, "project").problems.map(
    ({ line, column, offset, length, message }) =>
      `${line}:${column} ${text.slice(offset, offset + length)} ${message}`,
  );
}

describe("a text", () => {
  it("has comments, trailing commas and a byte order mark", () => {
    const text = '\uFEFF{\n // one\n "defaults": { /* two */ "minFiles": 3, },\n}\n';
    const { document, problems, rangeOf } = parsePolicyFile(text, "project");
    expect(problems).toEqual([]);
    expect(document?.defaults.get("minFiles")).toBe(3);
    expect(rangeOf(["defaults", "minFiles"])).toEqual({
      offset: text.indexOf("3"),
      length: 1,
      line: 3,
      column: 38,
    });
  });

  it.each([
    [
      '{\n  "defaults": { "minFiels": 3 }\n}',
      ['2:17 "minFiels" there is no minFiels here; did you mean minFiles?'],
    ],
    ['{"defaults":{"minFiles":"x"}}', ['1:25 "x" minFiles must be a whole number, not "x"']],
    ['{"datasets":[\r\n{"path":"a","exclude":["b",\r\n7]}]}', ["3:1 7 exclude must be a text, not 7"]],
    ['{"datasets":[\n{}]}', ["2:1 {} a dataset must have a path"]],
    ['{"defaults":{"minFiles":3,\n"minFiles":4}}', ['2:1 "minFiles" minFiles is given twice in one object']],
    ['{"datasets":[{"path":"ü"},{"path":"ü"}]}', ['1:35 "ü" ü has an entry already: datasets[0]']],
    [
      '{"defaults":{"smallFile":"1GiB"}}',
      ['1:26 "1GiB" smallFile must not exceed targetSize: outputs would qualify again'],
    ],
    ["5", ["1:1 5 a policy file must be an object, not a number"]],
  ])("%j has its problems where they are", (text, expected) => {
    expect(told(text)).toEqual(expected);
    expect(parsePolicyFile(text, "project").document).not.toBeNull();
  });

  it.each([
    ["", "1:1  a value is expected here"],
    ["   ", "a value is expected here"],
    ['{\n  "defaults": {', "a } is missing"],
    ['{ "a": }', "1:8 } a value is expected here"],
    ['{ "a" 5 }', "1:7 5 a colon is expected here"],
    ['{ "$schema": "x" "defaults": {} }', '1:18 "defaults" a comma is expected here'],
    ["{ a: 5 }", "1:3 a this is no value: texts need double quotes"],
    ["{} {}", "1:4 { nothing may stand after the end of the object"],
    ['{ "$schema": "x\n }', "this text does not end on its line"],
    ["{} /* x", "this comment does not end"],
    ["[".repeat(200_000), "nested too deeply"],
  ])("%.20j is no document: nothing of it is taken", (text, expected) => {
    const { document } = parsePolicyFile(text, "project");
    expect(document).toBeNull();
    expect(told(text).join("\n")).toContain(expected);
  });
});
