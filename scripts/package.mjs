// Builds the VSIX of this platform: the extension, the daemon beside it, and DuckDB's native binding.
import { execFileSync } from "node:child_process";
import { cp, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const at = (...parts) => join(root, ...parts);
const stage = at("node_modules", ".cache", "vsix");
const target = `${process.platform}-${process.arch}`;

/** The engine's packages are not bundled: the binding is native. They lie where the daemon's bundle resolves them. */
async function copyEngine() {
  const binding = `@duckdb/node-bindings-${target}`;
  for (const name of ["@duckdb/node-api", "@duckdb/node-bindings", binding]) {
    await cp(at("node_modules", name), join(stage, "dist/server/node_modules", name), { recursive: true });
  }
}

await rm(stage, { recursive: true, force: true });
await mkdir(stage, { recursive: true });
execFileSync(process.execPath, [at("scripts/build.mjs")], { stdio: "inherit" });
for (const name of ["dist", "README.md", ".vscodeignore"])
  await cp(at("extension", name), join(stage, name), { recursive: true });
for (const name of ["LICENSE", "CHANGELOG.md"]) await cp(at(name), join(stage, name));
const {
  dependencies: _bundled,
  devDependencies: _types,
  private: _private,
  ...manifest
} = JSON.parse(await readFile(at("extension", "package.json"), "utf8"));
await writeFile(join(stage, "package.json"), `${JSON.stringify(manifest, null, 2)}\n`);
await copyEngine();
const vsix = at(`tamp-${manifest.version}-${target}.vsix`);
const vsce = at("node_modules", "@vscode", "vsce", "vsce");
const args = [
  "package",
  "--no-dependencies",
  "--target",
  target,
  "--out",
  vsix,
  "--skip-license",
  "--allow-missing-repository",
];
execFileSync(process.execPath, [vsce, ...args], { cwd: stage, stdio: "inherit" });
