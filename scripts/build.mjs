// Bundles the daemon, its workers and children, and the extension. `npm ci` runs it through `prepare`.
import { execFileSync } from "node:child_process";
import { cp, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const at = (...parts) => join(root, ...parts);

/** Entries of the server: each is a process or a worker of its own. */
const SERVER_ENTRIES = {
  main: "server/src/main.ts",
  "inventory-worker": "server/src/inventory-worker.ts",
  "checker-worker": "server/src/checker-worker.ts",
  "watch-worker": "server/src/watchers/watch-worker.ts",
  "duckdb-child": "server/src/engines/duckdb-child.ts",
};

const common = {
  bundle: true,
  platform: "node",
  target: "node20.19",
  logLevel: "warning",
  absWorkingDir: root,
  // Its main file asks for its parts in a way that cannot be bundled.
  alias: { "jsonc-parser": "jsonc-parser/lib/esm/main.js" },
};

/** Some bundled libraries are CommonJS and call `require` for Node's own modules. */
const REQUIRE = `import { createRequire as __createRequire } from "node:module"; const require = __createRequire(import.meta.url);`;

async function buildServer() {
  await rm(at("server/dist"), { recursive: true, force: true });
  await build({
    ...common,
    entryPoints: Object.fromEntries(Object.entries(SERVER_ENTRIES).map(([name, file]) => [name, at(file)])),
    outdir: at("server/dist"),
    outExtension: { ".js": ".mjs" },
    format: "esm",
    external: ["@duckdb/node-api"],
    banner: { js: REQUIRE },
  });
}

async function buildExtension() {
  await rm(at("extension/dist"), { recursive: true, force: true });
  await build({
    ...common,
    entryPoints: [at("extension/src/extension.ts")],
    outfile: at("extension/dist/extension.cjs"),
    format: "cjs",
    external: ["vscode"],
  });
  await cp(at("server/dist"), at("extension/dist/server"), { recursive: true });
  const schema = execFileSync(process.execPath, [at("server/bin/tamp.mjs"), "config", "--schema"]);
  await writeFile(at("extension/dist/tamp.schema.json"), schema);
}

await buildServer();
await buildExtension();
