import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build, type Plugin } from "esbuild";

const repository = fileURLToPath(new URL("../..", import.meta.url));
const at = (...parts: readonly string[]) => join(repository, ...parts);

const ENTRIES = {
  main: "server/src/main.ts",
  "inventory-worker": "server/src/inventory-worker.ts",
  "checker-worker": "server/src/checker-worker.ts",
  "watch-worker": "server/src/watchers/watch-worker.ts",
  "duckdb-child": "server/src/engines/duckdb-child.ts",
};

/** Modules of the product, and what the tests' build puts in their place. */
const REPLACED: ReadonlyMap<string, string> = new Map([
  [at("server/src/fs.ts"), at("test/support/failing-fs.ts")],
  [at("server/src/engines/duckdb.ts"), at("test/support/failing-engine.ts")],
  [at("server/src/checker.ts"), at("test/support/failing-checker.ts")],
]);

const REQUIRE =
  'import { createRequire as __createRequire } from "node:module"; const require = __createRequire(import.meta.url);';

/** Bundles the daemon with failpoints, its workers and children beside it; answers the path of its entry. */
export async function buildFailing(): Promise<string> {
  const outdir = at("node_modules/.cache/failpoints", String(process.pid));
  await build({
    entryPoints: Object.fromEntries(Object.entries(ENTRIES).map(([name, file]) => [name, at(file)])),
    outdir,
    outExtension: { ".js": ".mjs" },
    bundle: true,
    platform: "node",
    target: "node20.19",
    format: "esm",
    external: ["@duckdb/node-api"],
    alias: {
      "@tamp/core": at("core/src/index.ts"),
      "jsonc-parser": at("node_modules/jsonc-parser/lib/esm/main.js"),
    },
    banner: { js: REQUIRE },
    plugins: [failing],
    logLevel: "warning",
  });
  return join(outdir, "main.mjs");
}

/** Only what the composition root imports is replaced: the ports that it hands out. */
const failing: Plugin = {
  name: "failing",
  setup({ onResolve }) {
    onResolve({ filter: /^\.\.?\// }, ({ path, importer }) => {
      const replacement = REPLACED.get(join(dirname(importer), path));
      return replacement === undefined || importer !== at("server/src/main.ts")
        ? undefined
        : { path: replacement };
    });
  },
};
