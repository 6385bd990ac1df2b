import { describe, expect, it } from "vitest";
import {
  environmentName,
  isHeldBack,
  type OptionValue,
  optionNamed,
  POLICY_FILE_OPTIONS,
  POLICY_OPTIONS,
  type PolicyOption,
  parseQuietHours,
  plannerInput,
  readOption,
  readOptionText,
  resolvePolicy,
} from "../../core/src/index.ts";

function option(name: string): PolicyOption {
  const found = optionNamed(name);
  if (found === null) throw new Error(`there is no option ${name}`);
  return found;
}

describe("the options", () => {
  it("hold every threshold of the planner, times without their unit", () => {
    const inputs = POLICY_FILE_OPTIONS.map(({ input }) => input);
    expect(inputs).toEqual(expect.arrayContaining([...Object.keys(POLICY_OPTIONS), "compression", "allow"]));
    const names = POLICY_FILE_OPTIONS.map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
    expect(names.filter((name) => name.endsWith("Ms"))).toEqual([]);
  });

  it("have defaults that are read as themselves, and that the planner takes", () => {
    const given = POLICY_FILE_OPTIONS.filter((known) => known.default !== null);
    for (const known of given)
      expect(readOption(known, known.default), known.name).toEqual({ kind: "ok", value: known.default });
    const values = new Map(given.map((known) => [known.name, known.default as OptionValue]));
    expect(resolvePolicy(plannerInput(values)).kind).toBe("ok");
  });

  it("have a variable each", () => {
    expect(environmentName(option("targetSize"))).toBe("TAMP_TARGET_SIZE");
    expect(environmentName(option("minAge"))).toBe("TAMP_MIN_AGE");
    expect(environmentName(option("allow"))).toBe("TAMP_ALLOW");
  });

  it.each([
    ["onThreshold", "execute", true],
    ["onThreshold", "off", false],
    ["engine", "auto", true],
    ["workspace", "w", true],
    ["minFiles", 2, false],
  ] as const)("%s %s needs trust: %s", (name, value, expected) => {
    expect(isHeldBack(option(name), value)).toBe(expected);
  });
});

describe("a value", () => {
  it.each([
    ["targetSize", "128MiB", 2 ** 27],
    ["targetSize", 5000, 5000],
    ["minAge", "7d", 7 * 86_400_000],
    ["minAge", 250, 250],
    ["retention", 0, 0],
    ["minFiles", 2, 2],
    ["allow", ["int96", "metadata:k"], ["int96", "metadata:k"]],
    ["quietHours", ["22:00-06:00"], ["22:00-06:00"]],
    ["exclude", ["tmp/**", "a{b,c}", "[x]", "!".padStart(2, "\\")], ["tmp/**", "a{b,c}", "[x]", "\\!"]],
    ["compression", "zstd", "zstd"],
  ] as const)("%s takes %j", (name, given, value) => {
    expect(readOption(option(name), given)).toEqual({ kind: "ok", value });
  });

  it.each([
    [
      "targetSize",
      "128 Mebi",
      'targetSize must be a size such as 128MiB, or bytes, not "128 Mebi"',
      undefined,
    ],
    ["targetSize", 0, "targetSize must be at least 1 byte, not 0", undefined],
    ["targetSize", null, "targetSize must be a size", undefined],
    ["minAge", "7 weeks", "minAge must be a time such as 7d", undefined],
    ["minAge", -1, "minAge must be at least 0 ms, not -1", undefined],
    ["minFiles", "20", 'minFiles must be a whole number, not "20"', undefined],
    ["minFiles", 2.5, "minFiles must be a whole number, not 2.5", undefined],
    ["minFiles", 1, "minFiles must be at least 2, not 1", undefined],
    ["onThreshold", "run", 'onThreshold must be one of off, notify, execute, not "run"', undefined],
    ["compression", 5, "compression must be one of zstd", undefined],
    ["allow", ["int96", "speed"], "allow must name one of", 1],
    ["allow", "int96", "allow must be a list of texts", undefined],
    ["quietHours", ["08:00-18:00", "9-5"], 'quietHours must hold times such as 22:00-06:00, not "9-5"', 1],
    ["exclude", ["ok", "!keep"], "exclude takes no negated glob", 1],
    ["exclude", ["a{1..3}"], "exclude takes no range in braces", 0],
    ["exclude", ["*a*a*a*b"], "exclude takes at most 3 wildcards in a name", 0],
    ["exclude", ["**/a/**/b/**"], "exclude takes at most 3 wildcards in a name and 2 **", 0],
    ["exclude", ["{a,b}".repeat(5)], "exclude takes at most 4 braces", 0],
    ["exclude", [7], "exclude must be a text, not 7", 0],
    ["workspace", " ", "workspace must be a path", undefined],
  ] as const)("%s refuses %j", (name, given, message, index) => {
    const read = readOption(option(name), given);
    expect(read).toMatchObject({ kind: "wrong", message: expect.stringContaining(message) });
    expect("index" in read ? read.index : undefined).toBe(index);
  });

  it.each([
    ["minFiles", "20", 20],
    ["targetSize", " 64MiB ", 2 ** 26],
    ["minAge", "1h", 3_600_000],
    ["allow", "int96, nan-payload", ["int96", "nan-payload"]],
    ["exclude", "tmp/**,a.{b,c}", ["tmp/**", "a.{b,c}"]],
    ["onThreshold", "off", "off"],
  ] as const)("%s takes the text %j", (name, text, value) => {
    expect(readOptionText(option(name), text)).toEqual({ kind: "ok", value });
  });

  it("of an endless length is cut in the message", () => {
    const read = readOption(option("targetSize"), "x".repeat(10_000));
    expect(read.kind === "wrong" && read.message.length < 200).toBe(true);
  });
});

describe("quiet hours", () => {
  it.each([
    ["08:00-18:00", { fromMinute: 480, toMinute: 1080 }],
    [" 22:30 - 6:05 ", { fromMinute: 1350, toMinute: 365 }],
    ["00:00-24:00", { fromMinute: 0, toMinute: 1440 }],
    ["24:00-06:00", null],
    ["08:00-08:00", null],
    ["08:60-09:00", null],
    ["08:00-24:01", null],
    ["8-18", null],
    ["", null],
  ])("%j", (text, hours) => {
    expect(parseQuietHours(text)).toEqual(hours);
  });
});
