import { dirname, join } from "node:path";
import type { FileIdentity, JournalRecord, Observation, OwnPresence, Presence } from "@tamp/core";
import { hashFooter } from "./footer-hash.ts";
import { type Entry, errno, type PublicationFs } from "./fs.ts";
import { mapLimit } from "./map-limit.ts";
import type { GroupFolder, Workspace } from "./workspace.ts";

/** Where a group's names lie, and how its files are told from others. */
export interface GroupPlace {
  readonly fs: PublicationFs;
  readonly workspace: Workspace;
  readonly folder: GroupFolder;
  /**
   * `run`: ctime is compared as well. `later`, in recovery, undo and purge: our own links have changed ctime since,
   * and footers are compared instead.
   */
  readonly identity: "run" | "later";
}

/** A source or output is not what the journal says: nothing was changed by the step that found it. */
export class DriftError extends Error {
  readonly path: string;

  constructor(path: string, what: string) {
    super(`${path} ${what}`);
    this.name = "DriftError";
    this.path = path;
  }
}

const LOOKS_AT_ONCE = 8;

/** What every name of the group holds now. Rejects where a name leads out of the dataset by now. */
export async function observe(place: GroupPlace, record: JournalRecord): Promise<Observation> {
  const { fs } = place;
  for (const folder of liveFolders(place, record)) await refuseLinked(fs, folder);
  const sources = await mapLimit(record.sources, LOOKS_AT_ONCE, async (source) => {
    const { live, own } = await presencesOf(place, source, source.trash);
    return { live, trash: own };
  });
  const outputs = await mapLimit(record.outputs, LOOKS_AT_ONCE, async (output) => {
    const { live, own } = await presencesOf(place, output, output.stage);
    const elsewhere = live === "missing" && own === "ours" && (await hasOtherName(place, output.stage));
    return { live: elsewhere ? ("elsewhere" as const) : live, stage: own };
  });
  return { sources, outputs };
}

/** What the file's live name holds, and its name inside the group's folder. */
async function presencesOf(
  place: GroupPlace,
  file: RecordedFile,
  name: string,
): Promise<{ readonly live: Presence; readonly own: OwnPresence }> {
  const live = await presenceOf(place, livePath(place, file), file);
  const own = await presenceOf(place, ownPath(place, name), file);
  const stray = live !== "ours" && own === "other" && (await isStray(place, file, name));
  return { live, own: stray ? "stray" : own };
}

/** The same, but where a name leads out of the dataset by now the error itself. */
export async function observeOrDrift(
  place: GroupPlace,
  record: JournalRecord,
): Promise<Observation | DriftError> {
  try {
    return await observe(place, record);
  } catch (error) {
    if (error instanceof DriftError) return error;
    throw error;
  }
}

type RecordedFile = FileIdentity & { readonly path: string; readonly footerHash: string };

async function presenceOf(place: GroupPlace, path: string, file: RecordedFile): Promise<Presence> {
  const { fs, identity } = place;
  const entry = await fs.lstat(path);
  if (entry === null) return "missing";
  if (!isSame(entry, file)) return "other";
  return identity === "run" || (await hashFooter(fs, path)) === file.footerHash ? "ours" : "other";
}

async function hasOtherName(place: GroupPlace, name: string): Promise<boolean> {
  return ((await place.fs.lstat(ownPath(place, name)))?.links ?? 0) > 1;
}

/**
 * Not the recorded file, or no longer: somebody replaced or rewrote it at the moment it was moved. Its live name is
 * free or is a link of it already. Nobody else reaches our folder but through the live name.
 */
async function isStray(place: GroupPlace, file: RecordedFile, name: string): Promise<boolean> {
  const own = await place.fs.lstat(ownPath(place, name));
  const live = await place.fs.lstat(livePath(place, file));
  if (own === null || own.kind !== "file") return false;
  return live === null || (live.inode === own.inode && live.device === own.device);
}

export function isSame(entry: Entry, identity: FileIdentity): boolean {
  return (
    entry.kind === "file" &&
    entry.device === identity.device &&
    entry.inode === identity.inode &&
    entry.sizeBytes === identity.sizeBytes &&
    entry.mtimeNs === identity.mtimeNs
  );
}

export function liveFolders(place: GroupPlace, { sources, outputs }: JournalRecord): ReadonlySet<string> {
  return new Set([...sources, ...outputs].map((file) => dirname(livePath(place, file))));
}

/** A folder that is gone leads nowhere. */
export async function refuseLinked(fs: PublicationFs, folder: string): Promise<void> {
  const real = await fs.realpath(folder).catch((error: unknown) => {
    if (errno(error) === "ENOENT" || errno(error) === "ENOTDIR") return folder;
    throw error;
  });
  if (real !== folder) throw new DriftError(folder, "is reached through a link");
}

export function livePath(place: GroupPlace, file: { readonly path: string }): string {
  return join(place.workspace.root, file.path);
}

export function ownPath(place: GroupPlace, name: string): string {
  return join(place.folder.path, name);
}
