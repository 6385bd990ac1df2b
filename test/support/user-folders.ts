import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Tests and what they start keep caches, state and settings in a folder of the test run, not in the user's home. */
export default function setup(): () => void {
  const folder = mkdtempSync(join(tmpdir(), "tamp-home-"));
  for (const name of ["CACHE", "CONFIG", "STATE"])
    process.env[`XDG_${name}_HOME`] = join(folder, name.toLowerCase());
  return () => rmSync(folder, { recursive: true, force: true });
}
