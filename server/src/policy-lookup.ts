import { basename, dirname, join, relative, resolve } from "node:path";
import type { PolicyEntry, PolicyScope } from "@tamp/core";
import { errno, type PublicationFs } from "./fs.ts";
import { createGlob, isGlob } from "./globs.ts";
import { type ParsedPolicyFile, parsePolicyFile } from "./policy-file.ts";

export const POLICY_FILE = "tamp.jsonc";
const LARGEST_BYTES = 1_000_000;
/** A folder that may not be looked into has no file for us, nor has a name that cannot be one. */
const UNREACHABLE: readonly string[] = ["EACCES", "EPERM", "ENAMETOOLONG", "ELOOP"];

export type PolicyReader = Pick<PublicationFs, "lstat" | "readText" | "realpath">;

/** A dataset's root as it was named, and without links. */
export interface Root {
  readonly given: string;
  readonly real: string;
}

/** A policy file that is there. */
export interface FoundPolicyFile {
  /** As it was found, for people. */
  readonly file: string;
  /** The real path of its folder, with its name: what is trusted. A link at its end is not followed. */
  readonly place: string;
  readonly text: string;
  readonly parsed: ParsedPolicyFile;
}

export async function findRoot(fs: PolicyReader, root: string): Promise<Root> {
  const given = resolve(root);
  return { given, real: await realOf(fs, given) };
}

/** Where a policy file of the root may stand, nearest first: above its name, then above what that links to. */
export function candidates({ given, real }: Root): readonly string[] {
  return [...new Set([...foldersUpFrom(given), ...foldersUpFrom(real)])].map((folder) =>
    join(folder, POLICY_FILE),
  );
}

/** The nearest file; null where there is none. */
export async function findPolicyFile(
  fs: PolicyReader,
  files: readonly string[],
  scope: PolicyScope,
): Promise<FoundPolicyFile | null> {
  for (const file of files) {
    const found = await readPolicyFile(fs, file, scope);
    if (found !== null) return found;
  }
  return null;
}

export async function readPolicyFile(
  fs: PolicyReader,
  file: string,
  scope: PolicyScope,
): Promise<FoundPolicyFile | null> {
  const entry = await fs.lstat(file).catch((error: unknown) => errno(error) || String(error));
  if (entry === null || (typeof entry === "string" && UNREACHABLE.includes(entry))) return null;
  // A disk that fails may hide a file that forbids what those above it allow.
  if (typeof entry === "string") return unreadable(file, file, entry);
  const place = join(await realOf(fs, dirname(file)), basename(file));
  try {
    const target = await fs.lstat(await fs.realpath(file));
    if (target?.kind !== "file") return unreadable(file, place, "it is no regular file");
    if (target.sizeBytes > LARGEST_BYTES) return unreadable(file, place, "it is larger than 1 MB");
    const text = await fs.readText(file);
    return { file, place, text, parsed: parsePolicyFile(text, scope) };
  } catch (error) {
    return unreadable(file, place, errno(error) || String(error));
  }
}

/**
 * The entry that speaks for the root: the one whose folder it is goes before globs, the first glob before others.
 * Null where none does; the defaults of the file hold all the same.
 */
export async function findEntry(
  fs: PolicyReader,
  entries: readonly PolicyEntry[],
  where: { readonly root: Root; readonly place: string; readonly home: string | null },
): Promise<PolicyEntry | null> {
  const { root, place, home } = where;
  const folder = dirname(place);
  const absolute = (path: string): string => resolve(folder, withHome(path, home));
  for (const entry of entries) {
    const path = absolute(entry.path);
    if (path === root.given || path === root.real || (await realOf(fs, path)) === root.real) return entry;
  }
  const names = [root.real, root.given];
  const found = entries.find(({ path }) => {
    if (!isGlob(path)) return false;
    const pattern = withHome(path, home);
    const matches = createGlob(pattern);
    return names.some((name) => matches(pattern.startsWith("/") ? name : relative(folder, name)));
  });
  return found ?? null;
}

/** Whether the root is the folder itself or lies below it, links resolved. */
export function isWithin(folder: string, { real }: Root): boolean {
  const path = relative(folder, real);
  return path !== ".." && !path.startsWith("../");
}

/** Whether the path of an entry, as it is written, names something outside the folder of its file. */
export function leadsOut(path: string): boolean {
  return /^(?:\.\.(?:\/|$)|\/|~\/)/.test(path);
}

/** `~/data` → `/home/me/data`. */
export function withHome(path: string, home: string | null): string {
  return home !== null && path.startsWith("~/") ? join(home, path.slice(2)) : path;
}

function unreadable(file: string, place: string, why: string): FoundPolicyFile {
  const range = { offset: 0, length: 0, line: 1, column: 1 };
  const problem = { path: [], message: `the file cannot be read: ${why}`, entry: null, ...range };
  return {
    file,
    place,
    text: "",
    parsed: { document: null, problems: [problem], rangeOf: () => range },
  };
}

/** Of what is not there, as it would be. */
async function realOf(fs: PolicyReader, path: string): Promise<string> {
  try {
    return await fs.realpath(path);
  } catch {
    const parent = dirname(path);
    return parent === path ? path : join(await realOf(fs, parent), basename(path));
  }
}

function foldersUpFrom(folder: string): readonly string[] {
  const parent = dirname(folder);
  return parent === folder ? [folder] : [folder, ...foldersUpFrom(parent)];
}
