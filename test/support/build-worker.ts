import { mkdir, rename } from "node:fs/promises";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

/** `npm run bench` bundles its scripts elsewhere and names the repository. */
const repository = process.env.TAMP_REPOSITORY ?? fileURLToPath(new URL("../..", import.meta.url));

const REQUIRE =
  'import { createRequire as __createRequire } from "node:module"; const require = __createRequire(import.meta.url);';

/** Bundles an entry of a worker or child (`server/src/inventory-worker.ts`); answers the bundle's path. */
export async function buildEntry(sourcePath: string): Promise<string> {
  const folder = join(repository, "node_modules", ".cache", "test-build");
  await mkdir(folder, { recursive: true });
  const name = basename(sourcePath, ".ts");
  // Test files run side by side: the bundle appears whole, so that none reads what another one is writing.
  const outfile = join(folder, `${name}-${process.pid}.tmp`);
  await build({
    entryPoints: [join(repository, sourcePath)],
    outfile,
    bundle: true,
    platform: "node",
    target: "node20.19",
    format: "esm",
    external: ["@duckdb/node-api"],
    alias: { "@tamp/core": join(repository, "core/src/index.ts") },
    banner: { js: REQUIRE },
    logLevel: "warning",
  });
  const built = join(folder, `${name}.mjs`);
  await rename(outfile, built);
  return built;
}
