import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const folder = mkdtempSync(join(tmpdir(), "tamp-home-"));

/** Tests and what they start keep caches, state and settings in a folder of the test run, not in the user's home. */
export function setup(): void {
  for (const name of ["CACHE", "CONFIG", "STATE"])
    process.env[`XDG_${name}_HOME`] = join(folder, name.toLowerCase());
}

export function teardown(): void {
  rmSync(folder, { recursive: true, force: true });
}
