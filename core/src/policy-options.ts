import { parseDuration } from "./duration.ts";
import { assertNever } from "./invariant.ts";
import { ALLOWED_CHANGES, COMPRESSIONS, POLICY_OPTIONS, type PolicyInput, resolvePolicy } from "./policy.ts";
import { parseQuietHours } from "./quiet-hours.ts";
import { parseSize } from "./size.ts";

export const ON_THRESHOLD = ["off", "notify", "execute"] as const;
export type OnThreshold = (typeof ON_THRESHOLD)[number];

export const ENGINE_CHOICES = ["auto", "duckdb"] as const;
export type EngineChoice = (typeof ENGINE_CHOICES)[number];

/** A value after it was read: bytes and milliseconds as numbers. */
export type OptionValue = string | number | readonly string[];

export type OptionKind = "size" | "duration" | "count" | "choice" | "changes" | "globs" | "hours" | "path";

/** One thing that a policy may say. */
export interface PolicyOption {
  /** As a policy file writes it. */
  readonly name: string;
  readonly kind: OptionKind;
  readonly meaning: string;
  /** Null: not set. */
  readonly default: OptionValue | null;
  /** The planner's name for it; null where the planner does not know it. */
  readonly input: keyof PolicyInput | null;
  /** Of numbers. */
  readonly minimum: number;
  /** Of a choice, and the changes that may be allowed. */
  readonly choices: readonly string[];
  /** Values that a file may give only once its user trusts it. */
  readonly needsTrust: "never" | "execute" | "always";
}

export type OptionReading =
  | { readonly kind: "ok"; readonly value: OptionValue }
  /** `index` of the item that is wrong, in a list. */
  | { readonly kind: "wrong"; readonly message: string; readonly index?: number };

const PLAIN = { default: null, input: null, minimum: 0, choices: [], needsTrust: "never" } as const;

/** The next run, or purge, deletes originals by them. */
const ENDS_UNDO: ReadonlySet<string> = new Set(["retentionMs", "maxRetained"]);

/** What is said beside the planner's thresholds. */
const OTHER_OPTIONS: readonly PolicyOption[] = [
  {
    ...PLAIN,
    name: "compression",
    kind: "choice",
    meaning: "codec to write; not given: what the files have",
    choices: COMPRESSIONS,
    input: "compression",
  },
  {
    ...PLAIN,
    name: "allow",
    kind: "changes",
    meaning: "changes that a rewrite may make; only from a file that is trusted",
    default: [],
    needsTrust: "always",
    choices: ALLOWED_CHANGES,
    input: "allow",
  },
  {
    ...PLAIN,
    name: "onThreshold",
    kind: "choice",
    meaning: "what happens when a threshold is crossed; execute only from a file that is trusted",
    default: "notify",
    choices: ON_THRESHOLD,
    needsTrust: "execute",
  },
  {
    ...PLAIN,
    name: "quietHours",
    kind: "hours",
    meaning: "local times, such as 08:00-18:00 or 22:00-06:00, at which nothing is executed",
    default: [],
  },
  {
    ...PLAIN,
    name: "dailyBudget",
    kind: "size",
    meaning: "most bytes that are rewritten by themselves on one local day",
    minimum: 1,
  },
  {
    ...PLAIN,
    name: "exclude",
    kind: "globs",
    meaning: "files, relative to the dataset, that are never rewritten",
    default: [],
  },
  {
    ...PLAIN,
    name: "engine",
    kind: "choice",
    meaning: "what rewrites; only from a file that is trusted",
    default: "auto",
    choices: ENGINE_CHOICES,
    needsTrust: "always",
  },
  {
    ...PLAIN,
    name: "workspace",
    kind: "path",
    meaning: "folder for staging, journal and originals; only from a file that is trusted",
    needsTrust: "always",
  },
];

/**
 * Every option in the order in which it is shown. A policy file writes the planner's names without `Ms`, and takes
 * for them a time as text (`7d`) or in milliseconds.
 */
export const POLICY_FILE_OPTIONS: readonly PolicyOption[] = [...plannerOptions(), ...OTHER_OPTIONS];

export function optionNamed(name: string): PolicyOption | null {
  return POLICY_FILE_OPTIONS.find((option) => option.name === name) ?? null;
}

/** `minAge` → `TAMP_MIN_AGE`. */
export function environmentName({ name }: Pick<PolicyOption, "name">): string {
  return `TAMP_${name.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`;
}

/** Reads what a file gives for an option. */
export function readOption(option: PolicyOption, given: unknown): OptionReading {
  switch (option.kind) {
    case "size":
    case "duration":
    case "count":
      return readNumber(option, given);
    case "choice":
      return typeof given === "string" && option.choices.includes(given)
        ? { kind: "ok", value: given }
        : wrong(`${option.name} must be one of ${option.choices.join(", ")}${instead(given)}`);
    case "path":
      return typeof given === "string" && given.trim() !== "" && !given.includes("\0")
        ? { kind: "ok", value: given }
        : wrong(`${option.name} must be a path${instead(given)}`);
    case "changes":
    case "globs":
    case "hours":
      return readList(option, given);
    default:
      return assertNever(option.kind);
  }
}

/** Reads a text from outside of JSON, as an environment variable has it: items of a list are parted by commas. */
export function readOptionText(option: PolicyOption, text: string): OptionReading {
  switch (option.kind) {
    case "count":
      return readOption(option, /^\d+$/.test(text.trim()) ? Number(text) : text);
    case "changes":
    case "globs":
    case "hours":
      return readOption(option, listOf(text));
    case "size":
    case "duration":
    case "choice":
    case "path":
      return readOption(option, text.trim());
    default:
      return assertNever(option.kind);
  }
}

/** Whether a file that nobody trusts may say this. */
export function isHeldBack({ needsTrust }: PolicyOption, value: OptionValue): boolean {
  return needsTrust === "always" || (needsTrust === "execute" && value === "execute");
}

function plannerOptions(): readonly PolicyOption[] {
  return Object.entries(POLICY_OPTIONS).map(([input, { unit, meaning, minimum, default: value }]) => ({
    ...PLAIN,
    name: unit === "ms" ? input.replace(/Ms$/, "") : input,
    kind: unit === "bytes" ? "size" : unit === "ms" ? "duration" : "count",
    meaning,
    default: value,
    input: input as keyof typeof POLICY_OPTIONS,
    minimum,
    needsTrust: ENDS_UNDO.has(input) ? "always" : "never",
  }));
}

const FORMS = {
  size: "a size such as 128MiB, or bytes",
  duration: "a time such as 7d, 12h, 30min or 90s, or milliseconds",
  count: "a whole number",
} as const;

function readNumber(option: PolicyOption, given: unknown): OptionReading {
  const { name, minimum } = option;
  const kind = option.kind as keyof typeof FORMS;
  const parse = kind === "size" ? parseSize : kind === "duration" ? parseDuration : () => null;
  const value = typeof given === "string" ? parse(given) : given;
  if (typeof value !== "number" || !Number.isSafeInteger(value))
    return wrong(`${name} must be ${FORMS[kind]}${instead(given)}`);
  if (value >= minimum) return { kind: "ok", value };
  const unit = kind === "size" ? (minimum === 1 ? " byte" : " bytes") : kind === "duration" ? " ms" : "";
  return wrong(`${name} must be at least ${minimum}${unit}${instead(given)}`);
}

function readList({ name, kind }: PolicyOption, given: unknown): OptionReading {
  if (!Array.isArray(given)) return wrong(`${name} must be a list of texts${instead(given)}`);
  const items: readonly unknown[] = given;
  const texts: string[] = [];
  for (const [index, item] of items.entries()) {
    const message = typeof item === "string" ? itemProblem(kind, item) : `must be a text${instead(item)}`;
    if (message !== null) return { ...wrong(`${name} ${message}`), index };
    texts.push(String(item));
  }
  return { kind: "ok", value: texts };
}

function itemProblem(kind: OptionKind, text: string): string | null {
  if (kind === "hours")
    return parseQuietHours(text) === null ? `must hold times such as 22:00-06:00${instead(text)}` : null;
  if (kind === "globs") return globProblem(text);
  const result = resolvePolicy({ allow: [text] });
  return result.kind === "ok" ? null : (result.problems[0]?.message.replace(/^allow /, "") ?? null);
}

/**
 * Why a glob is not taken, or null. Wildcards are few, because matching many of them against a long name takes
 * hours, and a file that nobody trusts may hold both.
 */
export function globProblem(glob: string): string | null {
  if (glob.trim() === "" || glob.includes("\0") || glob.length > 1_000)
    return "must hold globs such as tmp/**";
  if (/^!/.test(glob)) return `takes no negated glob${instead(glob)}; begin with \\! where the name does`;
  if (/\{[^}]*\.\.[^}]*\}/.test(glob)) return `takes no range in braces${instead(glob)}; write {1,2,3}`;
  const runs = (text: string): number => [...text.matchAll(/\*+/g)].length;
  if (glob.split("/").some((part) => runs(part) > 3) || (glob.match(/\*\*/g) ?? []).length > 2)
    return `takes at most 3 wildcards in a name and 2 ** in a glob${instead(glob)}`;
  return (glob.match(/\{/g) ?? []).length > 4 ? `takes at most 4 braces in a glob${instead(glob)}` : null;
}

/** Commas inside braces belong to a glob. */
function listOf(text: string): readonly string[] {
  const items = text.match(/(?:\{[^}]*\}|[^,])+/g) ?? [];
  return items.map((item) => item.trim()).filter((item) => item !== "");
}

function wrong(message: string): { readonly kind: "wrong"; readonly message: string } {
  return { kind: "wrong", message };
}

/** `, not 7`: a long value is cut. */
function instead(given: unknown): string {
  const text = JSON.stringify(given) ?? "nothing";
  return `, not ${text.length > 60 ? `${text.slice(0, 60)}…` : text}`;
}
