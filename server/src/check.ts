import { TampError } from "./errors.ts";

/** Reads typed fields out of untrusted params; every problem names the field. */
export interface ParamReader {
  string(name: string): string;
  optionalString(name: string): string | undefined;
  optionalNumber(name: string): number | undefined;
  optionalBoolean(name: string): boolean | undefined;
  strings(name: string): readonly string[];
  optionalObject(name: string): object | undefined;
  /** A size as text or bytes. */
  optionalSize(name: string): string | number | undefined;
  /** A progress token. */
  optionalToken(name: string): string | number | undefined;
}

export function readParams(params: unknown): ParamReader {
  const fields: unknown = params ?? {};
  if (!isObject(fields)) throw invalid("params must be an object");
  const optional = <T>(name: string, is: (value: unknown) => value is T, what: string): T | undefined => {
    const value = fields[name];
    if (value === undefined || value === null) return undefined;
    if (is(value)) return value;
    throw invalid(`${name} must be ${what}`);
  };
  return {
    string(name) {
      const value = optional(name, isString, "a string");
      if (value === undefined || value === "") throw invalid(`${name} is missing`);
      return value;
    },
    optionalString: (name) => optional(name, isString, "a string"),
    optionalNumber: (name) => optional(name, isCount, "a whole number of at least 0"),
    optionalBoolean: (name) => optional(name, isBoolean, "true or false"),
    strings: (name) => optional(name, isStrings, "a list of strings") ?? [],
    optionalObject: (name) => optional(name, isObject, "an object"),
    optionalSize: (name) => optional(name, isTextOrNumber, "a size such as 512MB"),
    optionalToken: (name) => optional(name, isTextOrNumber, "a string or a number"),
  };
}

export function invalid(message: string): TampError {
  return new TampError("InvalidParams", message, { hint: "see protocol.md for the params of this method" });
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isString(value: unknown): value is string {
  return typeof value === "string";
}

function isTextOrNumber(value: unknown): value is string | number {
  return typeof value === "string" || typeof value === "number";
}

function isBoolean(value: unknown): value is boolean {
  return typeof value === "boolean";
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isStrings(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every(isString);
}
