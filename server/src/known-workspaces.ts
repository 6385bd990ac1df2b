import { basename, dirname, join } from "node:path";
import { errno, type PublicationFs } from "./fs.ts";
import { readJournals } from "./journal.ts";
import { mapLimit } from "./map-limit.ts";
import { allWorkspaces, homeIn, lstatNamed, type Workspace } from "./workspace.ts";

/**
 * Every workspace in which the root was ever maintained, under its present name or, as long as that home lies beside
 * it, under an earlier one.
 */
export async function knownWorkspaces(
  fs: PublicationFs,
  workspace: Workspace,
): Promise<readonly Workspace[]> {
  const known = await allWorkspaces(fs, workspace);
  const folders = new Set(known.map(({ folder }) => folder));
  const homes = (await abandonedHomes(fs, workspace.root)).filter((home) => !folders.has(home));
  const earlier = await mapLimit(homes, 8, async (home) => {
    const candidate = homeIn(workspace, home);
    // Only records of this very root can be read in it: device and inode are in them.
    const journals = await readJournals(fs, [candidate]);
    return journals.some(({ kind }) => kind === "journal") ? candidate : null;
  });
  return [...earlier.filter((found) => found !== null), ...known];
}

/** Homes beside the root whose own root is gone: `.old.tamp` where there is no `old`. */
async function abandonedHomes(fs: PublicationFs, root: string): Promise<readonly string[]> {
  const parent = dirname(root);
  const names = await fs.readdir(parent).catch((error: unknown) => {
    if (errno(error) === "") throw error;
    return [];
  });
  const others = names.flatMap((name) => /^\.(.+)\.tamp$/.exec(name)?.[1] ?? []);
  const gone = await mapLimit(others, 8, async (name) => {
    if (name === basename(root) || (await lstatNamed(fs, join(parent, name))) !== null) return null;
    return join(parent, `.${name}.tamp`);
  });
  return gone.filter((home) => home !== null);
}
