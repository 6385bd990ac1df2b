import { describe, expect, it } from "vitest";
import { optionNamed, POLICY_FILE_OPTIONS, policySchema, readOption } from "../../core/src/index.ts";

interface Schema {
  readonly properties: Readonly<Record<string, Schema>>;
  readonly items: Schema;
  readonly description: string;
  readonly additionalProperties: boolean;
  readonly required?: readonly string[];
  readonly anyOf?: readonly Schema[];
  readonly pattern?: string;
  readonly minimum?: number;
  readonly enum?: readonly string[];
  readonly default?: unknown;
  readonly examples?: readonly unknown[];
}

const schema = policySchema() as unknown as Schema;
const defaults = schema.properties.defaults as Schema;
const entry = (schema.properties.datasets as Schema).items;
const names = POLICY_FILE_OPTIONS.map(({ name }) => name);

describe("the schema", () => {
  it("is JSON", () => {
    expect(JSON.parse(JSON.stringify(schema))).toEqual(schema);
  });

  it("knows what files may hold, and nothing else", () => {
    expect(Object.keys(defaults.properties)).toEqual(names);
    expect(Object.keys(entry.properties)).toEqual(["path", ...names]);
    expect(entry.required).toEqual(["path"]);
    for (const object of [schema, defaults, entry]) expect(object.additionalProperties).toBe(false);
  });

  it.each(names)("explains %s, with a default and examples that are read", (name) => {
    const option = optionNamed(name);
    const { description, default: value, examples = [] } = defaults.properties[name] as Schema;
    if (option === null) throw new Error("no option");
    expect(description.toLowerCase()).toContain(option.meaning.toLowerCase());
    expect(value === undefined).toBe(option.default === null);
    if (value !== undefined) expect(readOption(option, value)).toEqual({ kind: "ok", value: option.default });
    for (const example of examples) expect(readOption(option, example).kind).toBe("ok");
  });

  it.each([
    ["targetSize", ["128MiB", "1.5 GB", "7", "12kb", "12b"], ["x", "5 XB", "MiB", "5 i"]],
    ["minAge", ["7d", "1.5h", "30 min", "5", "90s", "1ms"], ["7 weeks", "d", "5m"]],
  ] as const)("%s has the texts of the reader", (name, right, wrong) => {
    const pattern = new RegExp((defaults.properties[name] as Schema).anyOf?.[1]?.pattern ?? "^$");
    const option = optionNamed(name);
    if (option === null) throw new Error("no option");
    for (const text of [...right, ...wrong]) {
      expect([text, pattern.test(text)]).toEqual([text, readOption(option, text).kind === "ok"]);
    }
    expect(right.every((text) => pattern.test(text))).toBe(true);
    expect(wrong.some((text) => pattern.test(text))).toBe(false);
  });
});
