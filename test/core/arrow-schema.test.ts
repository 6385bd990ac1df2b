import { comparableKeyValues, outputKeyValues, readArrowSchema, withArrowPandas } from "@tamp/core";
import { describe, expect, it } from "vitest";
import { decodeBase64, encodeBase64 } from "../../core/src/base64.ts";
import { ARROW_SCHEMAS } from "../support/arrow-schemas.ts";

const { rows9, rows10, rows12345, other } = ARROW_SCHEMAS;
const stopOf = (value: string): unknown =>
  JSON.parse(readArrowSchema(value)?.pandas ?? "{}").index_columns[0].stop;
const entry = (value: string) => [{ key: "ARROW:schema", value }];

describe("ARROW:schema", () => {
  it("means the same for frames of different length, and something else for another table", () => {
    const [a, b, c] = [rows9, rows10, rows12345].map((value) => comparableKeyValues(entry(value), []));
    expect(a).toEqual(b);
    expect(b).toEqual(c);
    expect(rows9).not.toBe(rows10);
    expect(comparableKeyValues(entry(other), [])).not.toEqual(a);
  });

  it("tells types apart that Parquet cannot", () => {
    const meaning = readArrowSchema(other)?.meaning ?? "";
    expect(readArrowSchema(other)?.pandas).toBeNull();
    for (const name of ["l", "d", "m", "f", "u"]) expect(meaning).toContain(`["${name}"`);
  });

  it.each([0, 7, 10, 123_456_789])("takes the row count %d of an output and keeps all else", (rows) => {
    for (const value of [rows9, rows12345]) {
      const [output] = outputKeyValues(entry(value), rows, []);
      expect(stopOf(output?.value ?? "")).toBe(rows);
      expect(readArrowSchema(output?.value ?? "")?.meaning).toBe(readArrowSchema(value)?.meaning);
    }
  });

  it("is left alone where it is not understood", () => {
    for (const value of [
      "",
      "no base64!",
      "AAAA",
      rows9.slice(0, 100),
      encodeBase64(new Uint8Array(64).fill(255)),
    ]) {
      expect(readArrowSchema(value)).toBeNull();
      expect(outputKeyValues(entry(value), 5, [])).toEqual(entry(value));
    }
    expect(withArrowPandas(other, "{}")).toBe(other);
  });

  it("never throws, whatever bytes it holds", () => {
    const bytes = decodeBase64(rows9) ?? new Uint8Array();
    for (let at = 0; at < bytes.length; at += 3) {
      const broken = Uint8Array.from(bytes);
      broken[at] = (broken[at] ?? 0) ^ 0xff;
      const text = encodeBase64(broken);
      expect(() => comparableKeyValues(entry(text), [])).not.toThrow();
      expect(() => outputKeyValues(entry(text), 3, [])).not.toThrow();
    }
  });
});

it("base64 goes there and back", () => {
  for (let length = 0; length < 40; length += 1) {
    const bytes = Uint8Array.from({ length }, (_, index) => (index * 37 + length) % 256);
    expect(encodeBase64(bytes)).toBe(Buffer.from(bytes).toString("base64"));
    expect(decodeBase64(encodeBase64(bytes))).toEqual(bytes);
  }
});
