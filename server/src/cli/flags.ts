import {
  ALLOWED_CHANGES,
  COMPRESSIONS,
  DEFAULT_OVERLAP_MS,
  formatDuration,
  POLICY_OPTIONS,
} from "@tamp/core";
import { TampError } from "../errors.ts";
import type { WirePolicy } from "../protocol.ts";
import { quote } from "./text.ts";
import { UsageError } from "./usage-error.ts";

/** Flags as they were given; a flag that was not given is not there. */
export interface CliFlags {
  readonly json?: boolean;
  readonly yes?: boolean;
  readonly dryRun?: boolean;
  readonly out?: string;
  readonly run?: string;
  readonly all?: boolean;
  readonly execute?: boolean;
  readonly workspace?: string;
  readonly partition?: readonly string[];
  readonly engine?: string;
  readonly memoryLimit?: string;
  readonly overlap?: number;
  readonly targetSize?: string;
  readonly targetRows?: number;
  readonly minFiles?: number;
  readonly smallFile?: string;
  readonly minAge?: number;
  readonly minBytes?: string;
  readonly rowGroupFactor?: number;
  readonly tierFactor?: number;
  readonly cooldown?: number;
  readonly rowsPerGroup?: number;
  readonly compression?: string;
  readonly allow?: readonly string[];
  readonly settle?: number;
  readonly maxBytes?: string;
  readonly maxGroups?: number;
  readonly retention?: number;
  readonly maxRetained?: string;
  readonly since?: number;
  readonly format?: string;
  readonly schema?: boolean;
  readonly revoke?: boolean;
  readonly list?: boolean;
}

export type FlagName = keyof CliFlags;

export interface Flag {
  readonly long: string;
  /** Placeholder of the value; none: the flag is a switch. */
  readonly value?: string;
  /** A duration is given to the command in milliseconds. */
  readonly takes: "switch" | "text" | "whole number" | "duration" | "list";
  readonly help: string;
}

/** Names that policies know and no rewrite carries out yet. */
const NOT_YET: readonly string[] = ["schema-union"];
const AVAILABLE = ALLOWED_CHANGES.filter((name) => !NOT_YET.includes(name));

const { targetSize, targetRows, rowsPerGroup, minFiles, minAgeMs, settleMs, retentionMs } = POLICY_OPTIONS;
const { rowGroupFactor, tierFactor, cooldownMs } = POLICY_OPTIONS;

/** `7d`: as a flag takes it, in one word. */
const timeText = (ms: number): string => formatDuration(ms).replace(" ", "");

export const FLAGS: { readonly [N in FlagName]: Flag } = {
  json: {
    long: "--json",
    takes: "switch",
    help: "one JSON object on stdout and nothing else; asks nothing",
  },
  yes: { long: "--yes", takes: "switch", help: "do not ask; needed off a terminal unless --json is given" },
  dryRun: { long: "--dry-run", takes: "switch", help: "show what would be done and do not do it" },
  out: {
    long: "--out",
    value: "FILE",
    takes: "text",
    help: "also write the plan to FILE, which must be new, for tamp execute",
  },
  run: { long: "--run", value: "ID", takes: "text", help: "this run, whose id tamp runs shows" },
  execute: {
    long: "--execute",
    takes: "switch",
    help: "run by itself what the policy file says to execute",
  },
  all: { long: "--all", takes: "switch", help: "the originals of every run, however young" },
  workspace: {
    long: "--workspace",
    value: "DIR",
    takes: "text",
    help: "folder for staging, journal and originals (default: beside the dataset)",
  },
  partition: {
    long: "--partition",
    value: "K=V[/K=V]",
    takes: "list",
    help: "only what lies under this partition; repeat it for several",
  },
  engine: { long: "--engine", value: "NAME", takes: "text", help: "auto or duckdb (default: auto)" },
  memoryLimit: {
    long: "--memory-limit",
    value: "SIZE",
    takes: "text",
    help: "memory that the engine may hold (default: 1GiB)",
  },
  overlap: {
    long: "--overlap",
    value: "TIME",
    takes: "duration",
    help: `wait between adding outputs and retiring originals (default: ${timeText(DEFAULT_OVERLAP_MS)})`,
  },
  targetSize: {
    long: "--target-size",
    value: "SIZE",
    takes: "text",
    help: `${targetSize.meaning}, e.g. 128MB or 128MiB (default: 128MiB)`,
  },
  targetRows: { long: "--target-rows", value: "N", takes: "whole number", help: targetRows.meaning },
  minFiles: {
    long: "--min-files",
    value: "N",
    takes: "whole number",
    help: `${minFiles.meaning} (default: ${minFiles.default})`,
  },
  smallFile: {
    long: "--small-file",
    value: "SIZE",
    takes: "text",
    help: "smaller files are small files (default: 0.75 x target)",
  },
  minAge: {
    long: "--min-age",
    value: "TIME",
    takes: "duration",
    help: `${minAgeMs.meaning}; 0: what a run published does not rest (default: ${timeText(minAgeMs.default)})`,
  },
  minBytes: {
    long: "--min-bytes",
    value: "SIZE",
    takes: "text",
    help: "bytes of small files in a partition that pay for a rewrite (default: 1 x target)",
  },
  cooldown: {
    long: "--cooldown",
    value: "TIME",
    takes: "duration",
    help: `${cooldownMs.meaning} (default: none)`,
  },
  tierFactor: {
    long: "--tier-factor",
    value: "N",
    takes: "whole number",
    help: `${tierFactor.meaning} (default: ${tierFactor.default})`,
  },
  rowGroupFactor: {
    long: "--row-group-factor",
    value: "N",
    takes: "whole number",
    help: `${rowGroupFactor.meaning} (default: ${rowGroupFactor.default})`,
  },
  rowsPerGroup: {
    long: "--rows-per-group",
    value: "N",
    takes: "whole number",
    help: `${rowsPerGroup.meaning} (default: ${rowsPerGroup.default})`,
  },
  compression: {
    long: "--compression",
    value: "CODEC",
    takes: "text",
    help: `${COMPRESSIONS.join(", ")} (default: what the files have)`,
  },
  allow: {
    long: "--allow",
    value: "NAME",
    takes: "list",
    help: `a change that a rewrite may make; repeatable: ${AVAILABLE.join(", ")}, metadata:KEY`,
  },
  settle: {
    long: "--settle",
    value: "TIME",
    takes: "duration",
    help: `${settleMs.meaning}: wait this long for them, once (default: ${timeText(settleMs.default)})`,
  },
  maxBytes: { long: "--max-bytes", value: "SIZE", takes: "text", help: "most input bytes of one run" },
  maxGroups: { long: "--max-groups", value: "N", takes: "whole number", help: "most file groups of one run" },
  retention: {
    long: "--retention",
    value: "TIME",
    takes: "duration",
    help: `${retentionMs.meaning} (default: ${timeText(retentionMs.default)})`,
  },
  maxRetained: {
    long: "--max-retained",
    value: "SIZE",
    takes: "text",
    help: `${POLICY_OPTIONS.maxRetained.meaning}: the oldest go first (default: no limit)`,
  },
  since: {
    long: "--since",
    value: "TIME",
    takes: "duration",
    help: "only the last TIME, e.g. 7d (default: all)",
  },
  format: {
    long: "--format",
    value: "NAME",
    takes: "text",
    help: "text, json, github, sarif or junit (default: text)",
  },
  schema: {
    long: "--schema",
    takes: "switch",
    help: "print the JSON schema of tamp.jsonc instead, for editors",
  },
  revoke: { long: "--revoke", takes: "switch", help: "trust it no longer" },
  list: { long: "--list", takes: "switch", help: "show which files are trusted" },
};

const POLICY_KEYS = {
  targetSize: "targetSize",
  targetRows: "targetRows",
  minFiles: "minFiles",
  smallFile: "smallFile",
  minAge: "minAgeMs",
  minBytes: "minBytes",
  cooldown: "cooldownMs",
  tierFactor: "tierFactor",
  rowGroupFactor: "rowGroupFactor",
  rowsPerGroup: "rowsPerGroup",
  compression: "compression",
  allow: "allow",
  settle: "settleMs",
  maxBytes: "maxRunBytes",
  maxGroups: "maxRunGroups",
  retention: "retentionMs",
  maxRetained: "maxRetained",
} as const satisfies Partial<Record<FlagName, keyof WirePolicy>>;

export const POLICY_FLAGS = Object.keys(POLICY_KEYS) as readonly (keyof typeof POLICY_KEYS)[];

/** The thresholds that were given, as the protocol names them; the daemon checks them. */
export function policyOf(flags: CliFlags): WirePolicy {
  checkAllow(flags);
  const names = POLICY_FLAGS.filter((name) => flags[name] !== undefined);
  return Object.fromEntries(names.map((name) => [POLICY_KEYS[name], flags[name]]));
}

function checkAllow({ allow = [] }: CliFlags): void {
  const wrong = allow.find((name) => !AVAILABLE.some((known) => known === name) && !/^metadata:./.test(name));
  if (wrong === undefined) return;
  const why = NOT_YET.includes(wrong) ? "is not available yet" : "is no change that can be allowed";
  throw new UsageError(`--allow ${wrong} ${why}`, `give one of ${AVAILABLE.join(", ")}, metadata:KEY`);
}

const FLAG_OF: ReadonlyMap<string, FlagName> = new Map([
  ...POLICY_FLAGS.map((name) => [POLICY_KEYS[name], name] as const),
  ["memoryLimit", "memoryLimit"],
  ["overlapMs", "overlap"],
  ["partitionFilter", "partition"],
]);

/** A message about thresholds as the protocol names them, for people who gave flags. */
export function inFlags(text: string): string {
  return text
    .replace(/\b[a-z]+(?:[A-Z][a-z]+)+\b|\b(?:compression|allow)(?= must\b)/g, (word) => {
      const name = FLAG_OF.get(word);
      return name === undefined ? word : FLAGS[name].long;
    })
    .replace(/\b1 (byte|row|file|group)s\b/g, "1 $1");
}

const ENGINES = ["auto", "duckdb"] as const;

export function checkEngine({ engine }: CliFlags): void {
  if (engine === undefined || ENGINES.some((name) => name === engine)) return;
  throw new TampError("EngineUnavailable", `there is no engine ${engine}`, {
    hint: `give --engine one of ${ENGINES.join(", ")}`,
    notDone: "nothing was read or changed",
  });
}

/** A command line with the dataset, or the arguments, given that keeps the flags named: it means the same. */
export function commandLine(
  command: string,
  args: string | readonly string[],
  flags: CliFlags,
  keep: readonly FlagName[],
): string {
  const words = keep.flatMap((name) => {
    const value = flags[name];
    if (value === true) return [FLAGS[name].long];
    const values = Array.isArray(value) ? value : value === undefined ? [] : [value];
    const { long, takes } = FLAGS[name];
    return values.flatMap((item) => [long, takes === "duration" ? timeText(item) : quote(String(item))]);
  });
  const named = typeof args === "string" ? [args] : args;
  return ["tamp", command, ...named.map(quote), ...words].join(" ");
}
