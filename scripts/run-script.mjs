// Runs a TypeScript script of bench/ or demo/ under plain Node: `npm run bench -- plan`.
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, readdir } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const [name, ...args] = process.argv.slice(2);
const entry =
  name === undefined ? "" : name.endsWith(".ts") ? resolve(root, name) : join(root, "bench", `${name}.ts`);

if (!existsSync(entry)) {
  const names = (await readdir(join(root, "bench"))).filter((file) => file.endsWith(".ts"));
  console.error(
    `usage: npm run bench -- NAME, one of: ${names.map((file) => basename(file, ".ts")).join(", ")}`,
  );
  process.exit(2);
}
const outdir = join(root, "node_modules", ".cache", "scripts");
await mkdir(outdir, { recursive: true });
const outfile = join(outdir, `${basename(entry, ".ts")}.mjs`);
await build({
  entryPoints: [entry],
  outfile,
  bundle: true,
  platform: "node",
  target: "node20.19",
  format: "esm",
  packages: "external",
  alias: {
    "@tamp/core": join(root, "core/src/index.ts"),
    "@tamp/server/protocol": join(root, "server/src/protocol.ts"),
  },
  logLevel: "warning",
});
const child = spawn(process.execPath, [outfile, ...args], {
  stdio: "inherit",
  cwd: root,
  env: { ...process.env, TAMP_REPOSITORY: root },
});
child.on("exit", (code, signal) => process.exit(signal === null ? code : 1));
