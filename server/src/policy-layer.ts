import { dirname, join, resolve } from "node:path";
import { isHeldBack, type OptionValue, optionNamed, type PolicyScope } from "@tamp/core";
import type { FileProblem } from "./policy-file.ts";
import {
  candidates,
  type FoundPolicyFile,
  findEntry,
  findPolicyFile,
  isWithin,
  leadsOut,
  POLICY_FILE,
  type PolicyReader,
  type Root,
  withHome,
} from "./policy-lookup.ts";
import { type TrustList, type TrustState, trustState } from "./trust.ts";
import type { UserSettings } from "./user-settings.ts";

/** What is wrong, or without effect, in what a policy is made of. */
export interface DatasetPolicyProblem {
  /** `error`: the policy is not valid; `held`: it takes effect only once the file is trusted. */
  readonly severity: "error" | "held";
  /** Whether it concerns this dataset; a file speaks for others too. */
  readonly concerns: boolean;
  readonly message: string;
  readonly path: readonly (string | number)[];
  /** Null where it is about no file. */
  readonly file: string | null;
  readonly offset: number;
  readonly length: number;
  readonly line: number;
  readonly column: number;
}

/** Who said it. */
export type ValueOrigin =
  | { readonly kind: "default" | "client" }
  | { readonly kind: "environment"; readonly variable: string }
  | {
      readonly kind: "user" | "file";
      readonly file: string;
      readonly line: number;
      readonly column: number;
    };

export interface OriginedValue {
  readonly value: OptionValue;
  readonly origin: ValueOrigin;
}

/** What one policy file says of one dataset. */
export interface FileLayer {
  /** Null where there is no file. */
  readonly file: string | null;
  readonly isValid: boolean;
  readonly trusted: boolean;
  readonly values: ReadonlyMap<string, OriginedValue>;
  readonly problems: readonly DatasetPolicyProblem[];
}

export interface LayerContext {
  readonly fs: PolicyReader;
  readonly root: Root;
  readonly trust: TrustList;
  readonly user: Pick<UserSettings, "configFolder" | "home">;
}

const NO_FILE: FileLayer = { file: null, isValid: true, trusted: true, values: new Map(), problems: [] };

export async function readFileLayer(context: LayerContext, scope: PolicyScope): Promise<FileLayer> {
  const found = await findPolicyFile(context.fs, filesOf(context, scope), scope);
  if (found === null) return NO_FILE;
  const { parsed, file, place, text } = found;
  const state = scope === "user" ? "trusted" : trustState(context.trust, place, text);
  const trusted = state === "trusted";
  if (parsed.document === null) {
    const problems = parsed.problems.map((problem) => problemIn(file, problem, true));
    return { file, isValid: false, trusted, values: new Map(), problems };
  }
  const { root, fs, user } = context;
  const entry = await findEntry(fs, parsed.document.datasets, { root, place, home: user.home });
  const concerns = ({ entry: about }: FileProblem): boolean => about === null || about === entry?.index;
  const problems = parsed.problems.map((problem) => problemIn(file, problem, concerns(problem)));
  const isValid = !problems.some((problem) => problem.concerns);
  const values = collect(found, entry?.index ?? null, { scope, home: user.home });
  if (trusted) return { file, isValid, trusted, values, problems };
  const held = withhold({ found, state, root, values, entry: entry?.index ?? null });
  return { file, isValid, trusted, values: held.values, problems: [...problems, ...held.problems] };
}

function filesOf({ root, user }: LayerContext, scope: PolicyScope): readonly string[] {
  const own = user.configFolder === null ? [] : [join(user.configFolder, POLICY_FILE)];
  // A dataset below the folder of the configuration finds the user's own file, which is read as that.
  return scope === "user" ? own : candidates(root).filter((file) => !own.includes(file));
}

/** The entry goes before the defaults of its file. */
function collect(
  { parsed, file, place }: FoundPolicyFile,
  index: number | null,
  { scope, home }: { readonly scope: PolicyScope; readonly home: string | null },
): Map<string, OriginedValue> {
  const values = new Map<string, OriginedValue>();
  const kind = scope === "user" ? "user" : "file";
  const entry = parsed.document?.datasets.find((found) => found.index === index);
  const parts = [
    { given: parsed.document?.defaults, path: ["defaults"] },
    { given: entry?.values, path: ["datasets", index ?? 0] },
  ];
  for (const { given = new Map<string, OptionValue>(), path } of parts) {
    for (const [name, value] of given) {
      const { line, column } = parsed.rangeOf([...path, name]);
      const isPath = optionNamed(name)?.kind === "path" && typeof value === "string";
      const whole = isPath ? resolve(dirname(place), withHome(value, home)) : value;
      values.set(name, { value: whole, origin: { kind, file, line, column } });
    }
  }
  return values;
}

interface Withholding {
  readonly found: FoundPolicyFile;
  readonly state: TrustState;
  readonly root: Root;
  readonly values: ReadonlyMap<string, OriginedValue>;
  readonly entry: number | null;
}

/** What a file that is not trusted may say: nothing of what starts, steers or moves rewrites, and nothing of others' folders. */
function withhold({ found, state, root, values, entry }: Withholding): {
  readonly values: ReadonlyMap<string, OriginedValue>;
  readonly problems: readonly DatasetPolicyProblem[];
} {
  const why = state === "changed" ? "the file has changed since it was trusted" : "the file is not trusted";
  const tell = (what: string, path: FileProblem["path"], concerns = true): DatasetPolicyProblem => {
    const message = `${what} has no effect: ${why}; read it, then \`tamp trust ${found.file}\``;
    const range = found.parsed.rangeOf(path);
    return { ...problemIn(found.file, { path, message, entry, ...range }, concerns), severity: "held" };
  };
  const elsewhere = (found.parsed.document?.datasets ?? [])
    .filter(({ path, index }) => index !== entry && leadsOut(path))
    .map(({ index }) =>
      tell("an entry for a folder outside that of the file", ["datasets", index, "path"], false),
    );
  if (!isWithin(dirname(found.place), root)) {
    const path = entry === null ? [] : ["datasets", entry, "path"];
    return {
      values: new Map(),
      problems: [tell("what it says of a dataset outside its folder", path), ...elsewhere],
    };
  }
  const kept = new Map<string, OriginedValue>();
  const problems: DatasetPolicyProblem[] = [];
  for (const [name, given] of values) {
    const option = optionNamed(name);
    if (option === null || !isHeldBack(option, given.value)) {
      kept.set(name, given);
      continue;
    }
    const path = pathOf(found, entry, name);
    problems.push(tell(`${name} ${writtenAt(found, path)}`, path));
    if (option.needsTrust === "execute") kept.set(name, { ...given, value: "notify" });
  }
  return { values: kept, problems: [...problems, ...elsewhere] };
}

/** The value as the file has it. */
export function writtenAt({ text, parsed }: FoundPolicyFile, path: FileProblem["path"]): string {
  const { offset, length } = parsed.rangeOf(path);
  return text.slice(offset, offset + length);
}

/** Where the value that holds was given. */
function pathOf({ parsed }: FoundPolicyFile, entry: number | null, name: string): FileProblem["path"] {
  const own = parsed.document?.datasets.find(({ index }) => index === entry);
  return own?.values.has(name) ? ["datasets", own.index, name] : ["defaults", name];
}

function problemIn(
  file: string,
  { path, message, offset, length, line, column }: FileProblem,
  concerns: boolean,
): DatasetPolicyProblem {
  return { severity: "error", concerns, message, path, file, offset, length, line, column };
}
