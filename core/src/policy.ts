import { nearestName } from "./nearest-name.ts";
import { parseSize } from "./size.ts";

/** The closed list of changes that a policy may allow by name; `metadata:KEY` stands beside it. */
export const ALLOWED_CHANGES = [
  "nullability",
  "field-ids",
  "int96",
  "time-unit",
  "enum",
  "fixed-binary",
  "decimal-width",
  "bloom-filter",
  "page-index",
  "sorting-columns",
  "signed-zero",
  "nan-payload",
  "schema-union",
] as const;

export const COMPRESSIONS = ["zstd", "snappy", "gzip", "uncompressed"] as const;
export type Compression = (typeof COMPRESSIONS)[number];

/** All limits of one plan after validation. Sizes in bytes, times in milliseconds. */
export interface Policy {
  readonly targetBytes: number;
  /** A data file smaller than this is a small file. */
  readonly smallFileBytes: number;
  /** A data file larger than this is split. */
  readonly oversizeBytes: number;
  /** Hard bound on the rows of one output file; null where there is none. */
  readonly targetRows: number | null;
  readonly rowsPerGroup: number;
  readonly minFiles: number;
  readonly minAgeMs: number;
  /** Bytes of small files in a partition that pay for a rewrite, whatever their number. */
  readonly minBytes: number;
  /** Row groups per needed one from which a file is ill-grouped. */
  readonly rowGroupFactor: number;
  /** A tier of sizes spans this factor: what a run published is rewritten where that lifts it into the next tier. */
  readonly tierFactor: number;
  /** Least time between two rewrites of a partition. */
  readonly cooldownMs: number;
  readonly settleMs: number;
  /** Codec to write; null keeps what the sources use. */
  readonly compression: Compression | null;
  readonly allow: readonly string[];
  readonly maxRunBytes: number | null;
  readonly maxRunGroups: number | null;
  /** Originals of a run that is older than this are deleted before the next run, and by purge. */
  readonly retentionMs: number;
  /** Where originals take more than this, those of the oldest runs are deleted first; null where there is no cap. */
  readonly maxRetainedBytes: number | null;
}

/** What a user gives: any subset, sizes as text or bytes. */
export interface PolicyInput {
  readonly targetSize?: string | number;
  readonly smallFile?: string | number;
  readonly targetRows?: number;
  readonly rowsPerGroup?: number;
  readonly minFiles?: number;
  readonly minAgeMs?: number;
  readonly minBytes?: string | number;
  readonly rowGroupFactor?: number;
  readonly tierFactor?: number;
  readonly cooldownMs?: number;
  readonly settleMs?: number;
  readonly compression?: string;
  readonly allow?: readonly string[];
  readonly maxRunBytes?: string | number;
  readonly maxRunGroups?: number;
  readonly retentionMs?: number;
  readonly maxRetained?: string | number;
}

export interface PolicyProblem {
  /** As it was given: a name that there is no threshold of, too. */
  readonly threshold: string;
  readonly message: string;
}

export type PolicyResult =
  | { readonly kind: "ok"; readonly policy: Policy }
  | { readonly kind: "invalid"; readonly problems: readonly PolicyProblem[] };

interface NumberOption {
  readonly unit: "bytes" | "rows" | "files" | "ms" | "groups" | "times";
  readonly meaning: string;
  readonly minimum: number;
  readonly default: number | null;
}

/**
 * Every numeric threshold: unit, meaning, smallest value, default (null: not set). Times may be 0,
 * which asks for no wait and for no retention; every other threshold is at least 1.
 */
export const POLICY_OPTIONS = {
  targetSize: { unit: "bytes", minimum: 1, default: 128 * 2 ** 20, meaning: "size an output file aims at" },
  smallFile: {
    unit: "bytes",
    minimum: 1,
    default: null,
    meaning: "smaller files are candidates (0.75 x target)",
  },
  targetRows: { unit: "rows", minimum: 1, default: null, meaning: "most rows of one output file" },
  rowsPerGroup: { unit: "rows", minimum: 2048, default: 122_880, meaning: "rows of one row group" },
  minFiles: {
    unit: "files",
    minimum: 2,
    default: 8,
    meaning: "small files in a partition that pay for a rewrite",
  },
  minAgeMs: { unit: "ms", minimum: 0, default: 3_600_000, meaning: "age at which fewer small files suffice" },
  minBytes: {
    unit: "bytes",
    minimum: 1,
    default: null,
    meaning: "bytes of small files in a partition that pay for a rewrite (1 x target)",
  },
  rowGroupFactor: {
    unit: "times",
    minimum: 2,
    default: 2,
    meaning: "a file with so many times the row groups it needs is ill-grouped",
  },
  tierFactor: {
    unit: "times",
    minimum: 2,
    default: 5,
    meaning: "sizes that one tier of published files spans; they wait for the next tier",
  },
  cooldownMs: {
    unit: "ms",
    minimum: 0,
    default: 0,
    meaning: "least time between two rewrites of a partition",
  },
  settleMs: { unit: "ms", minimum: 0, default: 2_000, meaning: "younger files may still be written" },
  maxRunBytes: { unit: "bytes", minimum: 1, default: null, meaning: "most input bytes of one run" },
  maxRunGroups: { unit: "groups", minimum: 1, default: null, meaning: "most groups of one run" },
  retentionMs: {
    unit: "ms",
    minimum: 0,
    default: 7 * 86_400_000,
    meaning: "originals of older runs are deleted before the next run, and by purge",
  },
  maxRetained: {
    unit: "bytes",
    minimum: 1,
    default: null,
    meaning: "most bytes of originals to keep for undo",
  },
} as const satisfies Record<string, NumberOption>;

type NumberOptionName = keyof typeof POLICY_OPTIONS;

const LOWER_SHARE = 0.75;
const UPPER_SHARE = 1.8;

/** Checks every value and every pair of values that must agree; all problems are told at once. */
export function resolvePolicy(input: PolicyInput): PolicyResult {
  const problems: PolicyProblem[] = [...unknownNames(input)];
  const number = (name: NumberOptionName): number | null => readNumber(name, input[name], problems);
  const targetBytes = number("targetSize") ?? POLICY_OPTIONS.targetSize.default;
  const policy: Policy = {
    targetBytes,
    smallFileBytes: number("smallFile") ?? Math.max(1, Math.floor(targetBytes * LOWER_SHARE)),
    oversizeBytes: Math.ceil(targetBytes * UPPER_SHARE),
    targetRows: number("targetRows"),
    rowsPerGroup: number("rowsPerGroup") ?? POLICY_OPTIONS.rowsPerGroup.default,
    minFiles: number("minFiles") ?? POLICY_OPTIONS.minFiles.default,
    minAgeMs: number("minAgeMs") ?? POLICY_OPTIONS.minAgeMs.default,
    // Enough for a whole output file: to wait for more would bring nothing.
    minBytes: number("minBytes") ?? targetBytes,
    rowGroupFactor: number("rowGroupFactor") ?? POLICY_OPTIONS.rowGroupFactor.default,
    tierFactor: number("tierFactor") ?? POLICY_OPTIONS.tierFactor.default,
    cooldownMs: number("cooldownMs") ?? POLICY_OPTIONS.cooldownMs.default,
    settleMs: number("settleMs") ?? POLICY_OPTIONS.settleMs.default,
    compression: readCompression(input.compression, problems),
    allow: readAllow(input.allow ?? [], problems),
    maxRunBytes: number("maxRunBytes"),
    maxRunGroups: number("maxRunGroups"),
    retentionMs: number("retentionMs") ?? POLICY_OPTIONS.retentionMs.default,
    maxRetainedBytes: number("maxRetained"),
  };
  const sound = !problems.some(({ threshold }) => threshold === "smallFile" || threshold === "targetSize");
  if (sound && policy.smallFileBytes > policy.targetBytes) {
    problems.push({
      threshold: "smallFile",
      message: "smallFile must not exceed targetSize: outputs would qualify again",
    });
  }
  return problems.length === 0 ? { kind: "ok", policy } : { kind: "invalid", problems };
}

const NAMES: readonly string[] = [...Object.keys(POLICY_OPTIONS), "compression", "allow"];

/** A threshold that is spelled wrong would be none at all without a word. */
function unknownNames(input: PolicyInput): readonly PolicyProblem[] {
  const unknown = Object.keys(input).filter((name) => !NAMES.includes(name));
  return unknown.map((name) => {
    const nearest = nearestName(name, NAMES);
    const hint = nearest === null ? `those there are: ${NAMES.join(", ")}` : `did you mean ${nearest}?`;
    return { threshold: name, message: `there is no threshold ${name}; ${hint}` };
  });
}

function readNumber(
  name: NumberOptionName,
  value: string | number | undefined,
  problems: PolicyProblem[],
): number | null {
  const option: NumberOption = POLICY_OPTIONS[name];
  if (value === undefined) return option.default;
  const parsed = typeof value === "number" ? value : parseSize(value);
  if (parsed === null || !Number.isSafeInteger(parsed)) {
    problems.push({
      threshold: name,
      message: `${name} must be a whole number of ${option.unit}, not ${String(value)}`,
    });
    return option.default;
  }
  if (parsed < option.minimum) {
    problems.push({
      threshold: name,
      message: `${name} must be at least ${withUnit(option)}, not ${parsed}`,
    });
  }
  return parsed;
}

/** `1 byte`, `2 files`; units are plural, but for `ms`. */
function withUnit({ minimum, unit }: NumberOption): string {
  return `${minimum} ${minimum === 1 ? unit.replace(/s$/, "") : unit}`;
}

function readCompression(value: string | undefined, problems: PolicyProblem[]): Compression | null {
  if (value === undefined) return null;
  const found = COMPRESSIONS.find((name) => name === value);
  if (found === undefined) {
    problems.push({
      threshold: "compression",
      message: `compression must be one of ${COMPRESSIONS.join(", ")}, not ${value}`,
    });
  }
  return found ?? null;
}

function readAllow(names: readonly string[], problems: PolicyProblem[]): readonly string[] {
  for (const name of names) {
    if (isAllowName(name)) continue;
    const list = [...ALLOWED_CHANGES, "metadata:KEY"].join(", ");
    problems.push({ threshold: "allow", message: `allow must name one of ${list}, not ${name}` });
  }
  return [...new Set(names)].sort();
}

function isAllowName(name: string): boolean {
  return (ALLOWED_CHANGES as readonly string[]).includes(name) || /^metadata:.+/.test(name);
}
