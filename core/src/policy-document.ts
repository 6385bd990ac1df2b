import { nearestName } from "./nearest-name.ts";
import { type PolicyInput, resolvePolicy } from "./policy.ts";
import {
  globProblem,
  type OptionValue,
  optionNamed,
  POLICY_FILE_OPTIONS,
  readOption,
} from "./policy-options.ts";

/** Where a value stands in the file, from the top. */
export type JsonPath = readonly (string | number)[];

export interface PolicyFileProblem {
  readonly path: JsonPath;
  /** Whether the name or the value at the path is wrong. */
  readonly at: "key" | "value";
  readonly message: string;
  /** The one entry that it is about; null: it may be about any dataset. */
  readonly entry: number | null;
}

/** Values by the name of their option. */
export type OptionValues = ReadonlyMap<string, OptionValue>;

export interface PolicyEntry {
  /** Its place in `datasets`. */
  readonly index: number;
  /** Normal: no `.`, no `..` but at the start, no slash at the end; `.` is the folder of the file itself. */
  readonly path: string;
  readonly values: OptionValues;
}

export interface PolicyDocument {
  /** For every dataset that the file speaks for. */
  readonly defaults: OptionValues;
  readonly datasets: readonly PolicyEntry[];
  readonly problems: readonly PolicyFileProblem[];
}

/** A file of a project stands above its datasets; the file of a user speaks for the whole machine. */
export type PolicyScope = "project" | "user";

/** Reads the value of a policy file; what is wrong is left out and told, everything at once. */
export function readPolicyDocument(value: unknown, scope: PolicyScope): PolicyDocument {
  const problems: PolicyFileProblem[] = [];
  if (!isObject(value)) {
    problems.push(problemAt([], `a policy file must be an object${hintOf(value)}`));
    return { defaults: new Map(), datasets: [], problems };
  }
  refuseUnknown(value, { path: [], names: TOP_NAMES, entry: null }, problems);
  const { $schema: schema, defaults: given = {}, datasets: list = [] } = value;
  if (schema !== undefined && typeof schema !== "string")
    problems.push(problemAt(["$schema"], "$schema must be a text"));
  const defaults = readValues(given, { path: ["defaults"], names: OPTION_NAMES, entry: null }, problems);
  problems.push(...contradictions(defaults, new Map(), null));
  if (!Array.isArray(list)) problems.push(problemAt(["datasets"], "datasets must be a list"));
  const items: readonly unknown[] = Array.isArray(list) ? list : [];
  const datasets = items.flatMap((item, index) => readEntry(item, { index, scope, defaults }, problems));
  refuseTwins(datasets, problems);
  return { defaults, datasets, problems };
}

const OPTION_NAMES = POLICY_FILE_OPTIONS.map(({ name }) => name);
const TOP_NAMES = ["$schema", "defaults", "datasets"];

interface Place {
  readonly path: JsonPath;
  /** Those that may stand here. */
  readonly names: readonly string[];
  readonly entry: number | null;
}

function readEntry(
  item: unknown,
  { index, scope, defaults }: { index: number; scope: PolicyScope; defaults: OptionValues },
  problems: PolicyFileProblem[],
): readonly PolicyEntry[] {
  const path = ["datasets", index];
  if (!isObject(item)) {
    problems.push(problemAt(path, `a dataset must be an object with a path${hintOf(item)}`));
    return [];
  }
  const { path: given, ...options } = item;
  const place = { path, names: [...OPTION_NAMES, "path"], entry: index };
  const values = readValues(options, place, problems);
  problems.push(...contradictions(defaults, values, index));
  const wrong = given === undefined ? "a dataset must have a path" : pathProblem(given, scope);
  if (wrong === null) return [{ index, path: normalPath(String(given)), values }];
  problems.push(problemAt(given === undefined ? path : [...path, "path"], wrong));
  return [];
}

function pathProblem(given: unknown, scope: PolicyScope): string | null {
  if (typeof given !== "string" || given.trim() === "" || given.includes("\0"))
    return `path must be a folder or a glob, with /${hintOf(given)}`;
  if (scope === "user" && !/^~?\//.test(given))
    return "in the file of a user path must be absolute or begin with ~/";
  const wrong = /[*?[{\\]/.test(given) ? globProblem(given) : null;
  return wrong === null ? null : `path ${wrong}`;
}

/** `./data//events/` → `data/events`. */
function normalPath(path: string): string {
  const parts: string[] = [];
  for (const part of path.split("/")) {
    if (part === "" || part === ".") continue;
    if (part === ".." && parts.length > 0 && parts.at(-1) !== "..") parts.pop();
    else parts.push(part);
  }
  const joined = parts.join("/");
  return path.startsWith("/") ? `/${joined}` : joined || ".";
}

function readValues(given: unknown, place: Place, problems: PolicyFileProblem[]): OptionValues {
  const { path, entry } = place;
  const values = new Map<string, OptionValue>();
  if (!isObject(given)) {
    problems.push({ ...problemAt(path, `${String(path.at(-1))} must be an object${hintOf(given)}`), entry });
    return values;
  }
  refuseUnknown(given, place, problems);
  for (const [name, value] of Object.entries(given)) {
    const option = optionNamed(name);
    if (option === null) continue;
    const read = readOption(option, value);
    if (read.kind === "ok") values.set(name, read.value);
    else {
      const at = read.index === undefined ? [...path, name] : [...path, name, read.index];
      problems.push({ ...problemAt(at, read.message), entry });
    }
  }
  return values;
}

/** What is spelled wrong would be not set at all, without a word. */
function refuseUnknown(given: object, { path, names, entry }: Place, problems: PolicyFileProblem[]): void {
  for (const name of Object.keys(given)) {
    if (names.includes(name)) continue;
    problems.push({ path: [...path, name], at: "key", message: unknownName(name, names), entry });
  }
}

function unknownName(name: string, names: readonly string[]): string {
  const short = name.replace(/Ms$/, "");
  if (short !== name && names.includes(short))
    return `there is no ${name} here: write ${short}, as a time such as 1h or in milliseconds`;
  const nearest = nearestName(name, names);
  return `there is no ${name} here; ${nearest === null ? `those there are: ${names.join(", ")}` : `did you mean ${nearest}?`}`;
}

/** Values that are sound one by one and do not agree; told where the nearer of them stands. */
function contradictions(
  defaults: OptionValues,
  values: OptionValues,
  entry: number | null,
): readonly PolicyFileProblem[] {
  const result = resolvePolicy(plannerInput(new Map([...defaults, ...values])));
  if (result.kind === "ok") return [];
  return result.problems.flatMap(({ threshold, message }) => {
    const name = nameOfInput(threshold);
    const own = [...values.keys()].find((key) => key === name || message.includes(key));
    // Told of the defaults already.
    if (entry !== null && own === undefined) return [];
    const path = entry === null ? ["defaults", name] : ["datasets", entry, own ?? name];
    return [{ ...problemAt(path, inFileNames(message)), entry }];
  });
}

/** What of the values the planner takes, under its own names. */
export function plannerInput(values: OptionValues): PolicyInput {
  const fields = POLICY_FILE_OPTIONS.flatMap(({ name, input }) => {
    const value = values.get(name);
    return input === null || value === undefined ? [] : [[input, value] as const];
  });
  return Object.fromEntries(fields);
}

/** A message about thresholds as the planner names them, for people who wrote a file. */
export function inFileNames(message: string): string {
  return message.replace(/\b[a-z]+(?:[A-Z][a-z]+)+\b/g, nameOfInput);
}

function nameOfInput(input: string): string {
  return POLICY_FILE_OPTIONS.find((option) => option.input === input)?.name ?? input;
}

/** Of two entries for one path nobody knows which is meant. */
function refuseTwins(datasets: readonly PolicyEntry[], problems: PolicyFileProblem[]): void {
  const first = new Map<string, number>();
  for (const { path, index } of datasets) {
    const twin = first.get(path);
    if (twin === undefined) first.set(path, index);
    else {
      const message = `${path} has an entry already: datasets[${twin}]`;
      problems.push({ ...problemAt(["datasets", index, "path"], message), entry: twin });
    }
  }
}

function problemAt(path: JsonPath, message: string): PolicyFileProblem {
  return { path, at: "value", message, entry: null };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function hintOf(given: unknown): string {
  return `, not ${Array.isArray(given) ? "a list" : given === null ? "null" : `a ${typeof given}`}`;
}
