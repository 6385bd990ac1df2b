import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const WORKSPACES = ["core", "server", "extension"] as const;
type WorkspaceName = (typeof WORKSPACES)[number];

interface Import {
  readonly file: string;
  readonly workspace: WorkspaceName;
  readonly specifier: string;
  readonly typeOnly: boolean;
}

const IMPORT = /^(import|export)\s+(type\s)?[^;]*?from\s+"([^"]+)"|^import\s+"([^"]+)"/gms;

function sources(workspace: WorkspaceName): readonly string[] {
  const folder = join(ROOT, workspace, "src");
  const names = readdirSync(folder, { recursive: true, encoding: "utf8" });
  return names.filter((name) => name.endsWith(".ts")).map((name) => join(workspace, "src", name));
}

function importsOf(workspace: WorkspaceName): readonly Import[] {
  return sources(workspace).flatMap((file) =>
    [...readFileSync(join(ROOT, file), "utf8").matchAll(IMPORT)].map((match) => ({
      file,
      workspace,
      specifier: match[3] ?? match[4] ?? "",
      typeOnly: match[2] !== undefined,
    })),
  );
}

const ALL = WORKSPACES.flatMap(importsOf);
const isRelative = ({ specifier }: Import): boolean => specifier.startsWith(".");
const target = ({ file, specifier }: Import): string => normalize(join(dirname(file), specifier));
const packageOf = (specifier: string): string =>
  specifier
    .split("/")
    .slice(0, specifier.startsWith("@") ? 2 : 1)
    .join("/");

/** Files that may use `from`'s modules: composition roots and adapters stand apart from what they compose. */
const SERVER_RULES: readonly { readonly of: RegExp; readonly never: RegExp; readonly why: string }[] = [
  { of: /^(?!main\.ts)/, never: /^main\.ts$/, why: "nothing imports the composition root" },
  {
    of: /^(?!main\.ts)/,
    never: /^(engines|watchers)\/(duckdb|threaded)\.ts$/,
    why: "adapters are known to main alone",
  },
  {
    of: /^engines\//,
    never: /^(?!engines\/|engine\.ts|engine-error\.ts|footer-schema\.ts)/,
    why: "an engine sees its task, nothing else",
  },
  { of: /^watchers\//, never: /^(?!watchers\/|watcher\.ts|fs\.ts)/, why: "a watcher knows directories only" },
  {
    of: /^watcher|^inventory|^scan|^footer/,
    never: /^(engine|run|publish|daemon|open-dataset|planning)/,
    why: "the inventory knows neither policy nor runs",
  },
  {
    of: /^handlers\//,
    never: /^(engines|watchers)\/|^(fs|publish|journal|lock)\.ts$/,
    why: "handlers know neither engines nor the file system",
  },
  { of: /^protocol[./]/, never: /^(?!protocol\/)/, why: "the protocol imports nothing of ours" },
  {
    of: /^publish\.ts$|^journal\.ts$|^lock\.ts$|^recover\.ts$|^undo\.ts$/,
    never: /^(engine|run|daemon|handlers|cli|inventory)/,
    why: "publication knows files, not who asked",
  },
  {
    of: /^cli\//,
    never: /^(?!cli\/|protocol\.ts|errors\.ts)/,
    why: "the command line is a client of the protocol",
  },
];

/** A child or worker shares the types of its messages with the adapter that starts it. */
const isOwnMessages = ({ file, typeOnly }: Import): boolean => typeOnly && /-(child|worker)\.ts$/.test(file);

describe("imports", () => {
  it("are found at all", () => {
    expect(ALL.length).toBeGreaterThan(100);
  });

  it("point only where the arrows go", () => {
    const wrong = ALL.filter((item) => {
      if (isRelative(item))
        return (
          !target(item).startsWith(join(item.workspace, "src")) && !item.specifier.endsWith("package.json")
        );
      if (item.workspace === "core") return true;
      const own = packageOf(item.specifier);
      if (item.workspace === "server") return own === "tamp";
      return own.startsWith("@tamp/") && item.specifier !== "@tamp/server/protocol";
    });
    expect(wrong).toEqual([]);
  });

  it("inside the server keep each part ignorant of what it must not know", () => {
    const inside = ALL.filter(
      (item) => item.workspace === "server" && isRelative(item) && !isOwnMessages(item),
    );
    const wrong = inside.flatMap((item) => {
      const from = relative("server/src", item.file);
      const to = relative("server/src", target(item));
      return SERVER_RULES.filter((rule) => rule.of.test(from) && rule.never.test(to)).map(
        ({ why }) => `${from} -> ${to}: ${why}`,
      );
    });
    expect(wrong).toEqual([]);
  });

  it("have no cycles", () => {
    const edges = new Map<string, string[]>();
    for (const item of ALL.filter((found) => isRelative(found) && !found.typeOnly)) {
      edges.set(item.file, [...(edges.get(item.file) ?? []), target(item)]);
    }
    expect([...edges.keys()].flatMap((file) => cycleFrom(file, edges))).toEqual([]);
  });

  it("of an outside library stand in one file per workspace", () => {
    const importers = new Map<string, Set<string>>();
    for (const { specifier, file, workspace, typeOnly } of ALL) {
      if (specifier.startsWith(".") || specifier.startsWith("node:") || specifier.startsWith("@tamp/"))
        continue;
      const name = packageOf(specifier);
      if (name === "vscode" || (name === "vscode-jsonrpc" && typeOnly)) continue;
      const key = `${workspace}: ${name}`;
      importers.set(key, (importers.get(key) ?? new Set()).add(file));
    }
    const doubled = [...importers]
      .filter(([, files]) => files.size > 1)
      .map(([key, files]) => `${key} in ${[...files]}`);
    expect(doubled).toEqual([]);
  });

  it("of packages are declared in the workspace's package.json", () => {
    const undeclared = ALL.filter(({ specifier, workspace }) => {
      if (specifier.startsWith(".") || specifier.startsWith("node:") || specifier === "vscode") return false;
      return !(packageOf(specifier) in dependenciesOf(workspace));
    });
    expect(undeclared).toEqual([]);
  });
});

function cycleFrom(file: string, edges: ReadonlyMap<string, readonly string[]>): readonly string[] {
  const seen = new Set<string>();
  const reach = (from: string): boolean =>
    (edges.get(from) ?? []).some((to) => {
      if (to === file) return true;
      if (seen.has(to)) return false;
      seen.add(to);
      return reach(to);
    });
  return reach(file) ? [file] : [];
}

function dependenciesOf(workspace: WorkspaceName): Readonly<Record<string, string>> {
  const text = readFileSync(join(ROOT, workspace, "package.json"), "utf8");
  const { dependencies = {} }: { dependencies?: Record<string, string> } = JSON.parse(text);
  return dependencies;
}

/** The files that may read argv, environment, clock or exit: entries of processes and workers. */
const COMPOSITION_ROOTS = /main\.ts$|-worker\.ts$|-child\.ts$/;

describe("sources", () => {
  it("read argv, environment and exit in composition roots only", () => {
    const wrong = sources("server").filter((file) => {
      const text = readFileSync(join(ROOT, file), "utf8");
      return !COMPOSITION_ROOTS.test(file) && /process\.(argv|env|exit|stdin|stdout)|Date\.now\(/.test(text);
    });
    expect(wrong).toEqual([]);
  });

  it("stay under 500 lines a file and 80 lines a function", () => {
    const wrong = WORKSPACES.flatMap(sources).flatMap((file) => {
      const lines = readFileSync(join(ROOT, file), "utf8").split("\n");
      const tooLong = lines.length > 500 ? [`${file} has ${lines.length} lines`] : [];
      return [...tooLong, ...longFunctions(file, lines)];
    });
    expect(wrong).toEqual([]);
  });
});

/** Top-level functions and methods: from their first line to the closing brace at the same indentation. */
function longFunctions(file: string, lines: readonly string[]): readonly string[] {
  return lines.flatMap((line, start) => {
    const head =
      /^(\s*)(?:export )?(?:async )?(?:function\*? \w+|(?:private |public |static |override )*(?:async )?\w+\(.*\).*\{$)/.exec(
        line,
      );
    if (head === null || /^\s*(if|for|while|switch|return|else)\b/.test(line)) return [];
    const closing = new RegExp(`^${head[1]}\\}[,;]?$`);
    const end = lines.findIndex((other, index) => index > start && closing.test(other));
    return end - start > 80 ? [`${file}:${start + 1} has ${end - start} lines`] : [];
  });
}
