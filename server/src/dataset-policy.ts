import {
  assertNever,
  type EngineChoice,
  environmentName,
  inFileNames,
  type OnThreshold,
  type OptionValue,
  POLICY_FILE_OPTIONS,
  type PolicyInput,
  parseQuietHours,
  plannerInput,
  type QuietHours,
  readOption,
  readOptionText,
  resolvePolicy,
} from "@tamp/core";
import { createExclusion } from "./globs.ts";
import {
  type DatasetPolicyProblem,
  type FileLayer,
  type OriginedValue,
  readFileLayer,
  type ValueOrigin,
} from "./policy-layer.ts";
import { findRoot, type PolicyReader } from "./policy-lookup.ts";
import { readTrustList } from "./trust.ts";
import type { UserSettings } from "./user-settings.ts";

/** One option as it holds, and who said so. */
export interface PolicyValue {
  readonly name: string;
  readonly value: OptionValue | null;
  readonly origin: ValueOrigin;
}

/** All that the user, the environment, the policy files and the client say of one dataset. */
export interface DatasetPolicy {
  /** For the planner: what is set, and nothing of what is not. */
  readonly input: PolicyInput;
  /** Never `execute` while something is wrong. */
  readonly onThreshold: OnThreshold;
  readonly quietHours: readonly QuietHours[];
  readonly dailyBudgetBytes: number | null;
  readonly cooldownMs: number;
  readonly exclude: readonly string[];
  readonly isExcluded: (path: string) => boolean;
  readonly engine: EngineChoice;
  readonly workspace: string | null;
  /** The nearest policy file; null where there is none. */
  readonly source: string | null;
  readonly userSource: string | null;
  /** Whether that file is trusted; true where there is none. */
  readonly trusted: boolean;
  /** False: something is wrong, and what held before, or the defaults, holds in its place. */
  readonly valid: boolean;
  /** Something is wrong, and nothing held before that could hold on: exclusions may be among what was not read. */
  readonly lost: boolean;
  readonly values: readonly PolicyValue[];
  readonly problems: readonly DatasetPolicyProblem[];
  /** The problems that concern this dataset, for people. */
  readonly warnings: readonly string[];
  /** What the next load falls back on. */
  readonly lastGood: LastGood;
}

export interface LastGood {
  readonly project: FileLayer | null;
  readonly user: FileLayer | null;
  readonly environment: Layer;
}

type Layer = ReadonlyMap<string, OriginedValue>;

export interface LoadPolicyRequest {
  readonly fs: PolicyReader;
  readonly user: UserSettings;
  /** Absolute. */
  readonly root: string;
  /** What a client sent, or flags said: goes before everything else. */
  readonly client?: PolicyInput;
  /** What held until now: it goes on to hold in place of a file that is wrong. */
  readonly previous?: DatasetPolicy | null;
}

/**
 * Reads everything that is said of one dataset. Never rejects for what a file holds: what is wrong is a problem of
 * the answer, and nothing is executed by itself until it is mended. What the client sent is passed on unchecked.
 */
export async function loadDatasetPolicy(request: LoadPolicyRequest): Promise<DatasetPolicy> {
  const { fs, user, client = {}, previous = null } = request;
  const root = await findRoot(fs, request.root);
  const trust = await readTrustList(fs, user.configFolder);
  const context = { fs, root, trust, user };
  const own = await readFileLayer(context, "user");
  const project = await readFileLayer(context, "project");
  const environment = readEnvironment(user.environment);
  const damaged = trust.kind === "damaged" ? [problemOf("held", trust.reason)] : [];
  const problems = [...own.problems, ...project.problems, ...environment.problems, ...damaged];
  const fresh: LastGood = {
    user: own.isValid ? own : (previous?.lastGood.user ?? null),
    project: project.isValid ? project : (previous?.lastGood.project ?? null),
    environment: environment.values,
  };
  const clash = contradiction(fresh);
  const good = clash === null ? fresh : (previous?.lastGood ?? NOTHING_GOOD);
  const isLost =
    environment.problems.length > 0 ||
    (clash !== null && previous === null) ||
    (!own.isValid && good.user === null) ||
    (!project.isValid && good.project === null);
  return assemble({
    good,
    isLost,
    client,
    problems: clash === null ? problems : [...problems, clash],
    isRemembered: previous !== null,
    source: project.file,
    userSource: own.file,
    trusted: project.trusted,
  });
}

const NOTHING_GOOD: LastGood = { project: null, user: null, environment: new Map() };

interface Parts {
  readonly isLost: boolean;
  readonly good: LastGood;
  readonly client: PolicyInput;
  readonly problems: readonly DatasetPolicyProblem[];
  readonly isRemembered: boolean;
  readonly source: string | null;
  readonly userSource: string | null;
  readonly trusted: boolean;
}

function assemble(parts: Parts): DatasetPolicy {
  const { good, client, problems, source, userSource, trusted } = parts;
  const valid = !problems.some(({ severity, concerns }) => severity === "error" && concerns);
  const said = new Map([...merged(good), ...clientLayer(client)]);
  const own = plannerInput(new Map([...merged(good)].map(([name, { value }]) => [name, value])));
  const input = { ...own, ...client };
  const get = (name: string): OptionValue | null => said.get(name)?.value ?? defaultOf(name);
  const list = (name: string): readonly string[] => (get(name) ?? []) as readonly string[];
  const onThreshold = get("onThreshold") as OnThreshold;
  const exclude = list("exclude");
  return {
    input,
    onThreshold: onThreshold === "execute" && !valid ? "notify" : onThreshold,
    quietHours: list("quietHours").flatMap((text) => parseQuietHours(text) ?? []),
    dailyBudgetBytes: get("dailyBudget") as number | null,
    cooldownMs: (get("cooldown") ?? 0) as number,
    exclude,
    isExcluded: createExclusion(exclude),
    engine: get("engine") as EngineChoice,
    workspace: get("workspace") as string | null,
    source,
    userSource,
    trusted,
    valid,
    lost: parts.isLost,
    values: valuesOf(said, input),
    problems,
    warnings: warningsOf(problems, parts.isRemembered),
    lastGood: good,
  };
}

/** The later goes before the earlier. */
function merged({ user, project, environment }: LastGood): Layer {
  return new Map([...(user?.values ?? []), ...(project?.values ?? []), ...environment]);
}

function valuesOf(said: Layer, input: PolicyInput): readonly PolicyValue[] {
  const resolved = resolvePolicy(input);
  return POLICY_FILE_OPTIONS.map(({ name, default: value }) => {
    const given = said.get(name);
    if (given !== undefined) return { name, ...given };
    // Both follow the target, which may be set.
    const derived =
      resolved.kind === "ok"
        ? { smallFile: resolved.policy.smallFileBytes, minBytes: resolved.policy.minBytes }
        : {};
    return {
      name,
      value: new Map<string, number>(Object.entries(derived)).get(name) ?? value,
      origin: { kind: "default" },
    };
  });
}

function defaultOf(name: string): OptionValue | null {
  return POLICY_FILE_OPTIONS.find((option) => option.name === name)?.default ?? null;
}

function clientLayer(client: PolicyInput): Layer {
  const given = new Map<string, unknown>(Object.entries(client));
  const layer = new Map<string, OriginedValue>();
  for (const option of POLICY_FILE_OPTIONS) {
    const value = option.input === null ? undefined : given.get(option.input);
    if (value === undefined) continue;
    const read = readOption(option, value);
    layer.set(option.name, {
      value: read.kind === "ok" ? read.value : String(value),
      origin: { kind: "client" },
    });
  }
  return layer;
}

/** A variable that is set and empty says nothing. */
function readEnvironment(environment: UserSettings["environment"]): {
  readonly values: Layer;
  readonly problems: readonly DatasetPolicyProblem[];
} {
  const values = new Map<string, OriginedValue>();
  const problems: DatasetPolicyProblem[] = [];
  for (const option of POLICY_FILE_OPTIONS) {
    const variable = environmentName(option);
    const text = environment[variable] ?? "";
    if (text.trim() === "") continue;
    const read = readOptionText(option, text);
    const isRelative = option.kind === "path" && !text.trim().startsWith("/");
    if (read.kind === "wrong") problems.push(problemOf("error", `${variable}: ${read.message}`));
    else if (isRelative) problems.push(problemOf("error", `${variable} must be an absolute path`));
    else values.set(option.name, { value: read.value, origin: { kind: "environment", variable } });
  }
  return { values, problems };
}

/** Values that are sound where they stand, and do not agree with those of another file or the environment. */
function contradiction(good: LastGood): DatasetPolicyProblem | null {
  const all = merged(good);
  const result = resolvePolicy(plannerInput(new Map([...all].map(([name, { value }]) => [name, value]))));
  const [first] = result.kind === "ok" ? [] : result.problems;
  if (first === undefined) return null;
  const message = inFileNames(first.message);
  const involved = [...all].filter(([name]) => message.includes(name));
  const whence = involved.map(([name, { origin }]) => `${name} is given by ${describeOrigin(origin)}`);
  return problemOf("error", [message, ...whence].join("; "));
}

function describeOrigin(origin: ValueOrigin): string {
  switch (origin.kind) {
    case "default":
      return "default";
    case "client":
      return "flag or client";
    case "environment":
      return origin.variable;
    case "user":
    case "file":
      return `${origin.file}:${origin.line}`;
    default:
      return assertNever(origin);
  }
}

function problemOf(severity: DatasetPolicyProblem["severity"], message: string): DatasetPolicyProblem {
  return {
    severity,
    concerns: true,
    message,
    path: [],
    file: null,
    offset: 0,
    length: 0,
    line: 0,
    column: 0,
  };
}

function warningsOf(problems: readonly DatasetPolicyProblem[], isRemembered: boolean): readonly string[] {
  const instead = isRemembered ? "the last good policy" : "what is said elsewhere, or the default,";
  return problems
    .filter(({ concerns }) => concerns)
    .map(({ severity, message, file, line, column }) => {
      const where = file === null ? "" : `${file}:${line}:${column}: `;
      if (severity === "held") return `${where}${message}`;
      return `${where}${message}; ${instead} holds until this is mended, and nothing is executed by itself`;
    });
}
