import { createHash } from "node:crypto";
import { dirname } from "node:path";
import type { FileIdentity, JournalRecord } from "@tamp/core";
import { errno, type PublicationFs } from "./fs.ts";
import { mapLimit } from "./map-limit.ts";
import { type GroupFolder, groupFolder, runFolder, type Workspace } from "./workspace.ts";

/** Those of them that can be acted upon. */
export function readableOf(found: readonly FoundJournal[]): readonly ReadableJournal[] {
  return found.filter((journal) => journal.kind === "journal");
}

interface FoundFolder {
  readonly runId: string;
  readonly group: number;
  readonly folder: GroupFolder;
  readonly workspace: Workspace;
}

export type ReadableJournal = FoundFolder & { readonly kind: "journal"; readonly record: JournalRecord };

/** A group's folder as found on disk. */
export type FoundJournal =
  | ReadableJournal
  /** The folder was made, but no record became durable: nothing live was touched. */
  | (FoundFolder & { readonly kind: "none" })
  /** Unreadable, of another version, or pointing outside: never acted upon. */
  | (FoundFolder & { readonly kind: "damaged"; readonly reason: string });

/** Replaces the group's record durably: temp file, fsync, rename, fsync of the folder. */
export async function writeJournal(
  fs: PublicationFs,
  folder: GroupFolder,
  record: JournalRecord,
): Promise<void> {
  const temp = unfinishedJournal(folder);
  await unlinkIfPresent(fs, temp);
  await fs.writeNew(temp, serialize(record));
  await fs.rename(temp, folder.journal);
  await fs.sync(dirname(folder.journal));
}

/** Where a record is written before it takes the journal's name. */
export function unfinishedJournal(folder: GroupFolder): string {
  return `${folder.journal}.new`;
}

function serialize(record: JournalRecord): string {
  const body = JSON.stringify(record);
  return `${JSON.stringify({ tampJournal: 1, sha256: sha256(body) })}\n${body}\n`;
}

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

/** Every group of every run in the workspaces, oldest run first. */
export async function readJournals(
  fs: PublicationFs,
  workspaces: readonly Workspace[],
): Promise<readonly FoundJournal[]> {
  const found = await mapLimit(workspaces, 4, (workspace) => readWorkspace(fs, workspace));
  return found.flat().sort((a, b) => (a.runId === b.runId ? a.group - b.group : a.runId < b.runId ? -1 : 1));
}

async function readWorkspace(fs: PublicationFs, workspace: Workspace): Promise<readonly FoundJournal[]> {
  const found: FoundJournal[] = [];
  for (const runId of await listFolder(fs, workspace.runs)) {
    const names = await listFolder(fs, runFolder(workspace, runId));
    const groups = names.filter((name) => /^\d{4,}$/.test(name)).map(Number);
    found.push(...(await mapLimit(groups, 16, (group) => readJournal(fs, workspace, runId, group))));
  }
  return found;
}

async function listFolder(fs: PublicationFs, folder: string): Promise<readonly string[]> {
  try {
    return [...(await fs.readdir(folder))].sort();
  } catch (error) {
    if (errno(error) === "ENOENT" || errno(error) === "ENOTDIR") return [];
    throw error;
  }
}

async function readJournal(
  fs: PublicationFs,
  workspace: Workspace,
  runId: string,
  group: number,
): Promise<FoundJournal> {
  const folder = groupFolder(workspace, runId, group);
  const place: FoundFolder = { runId, group, folder, workspace };
  const damaged = (reason: string): FoundJournal => ({ ...place, kind: "damaged", reason });
  let text: string;
  try {
    text = await fs.readText(folder.journal);
  } catch (error) {
    return errno(error) === "ENOENT" ? { ...place, kind: "none" } : damaged(`unreadable: ${errno(error)}`);
  }
  const [head, body] = text.split("\n");
  const header = parse(head);
  if (header === null || body === undefined) return damaged("not a journal record");
  if (header.tampJournal !== 1) return damaged(`unknown journal version ${String(header.tampJournal)}`);
  if (header.sha256 !== sha256(body)) return damaged("wrong checksum");
  const record = parse(body) as unknown as JournalRecord;
  const problem = problemOf(record, place);
  return problem === null
    ? { ...place, kind: "journal", record: onDevice(record, workspace) }
    : damaged(problem);
}

/** Some systems number their devices anew at each start: the record follows where path and inode of the root agree. */
function onDevice(record: JournalRecord, { rootDevice }: Workspace): JournalRecord {
  const { root } = record;
  if (root.device === rootDevice) return record;
  const moved = <T extends FileIdentity>(file: T): T =>
    file.device === root.device ? { ...file, device: rootDevice } : file;
  const { sources, outputs } = record;
  return {
    ...record,
    root: { ...root, device: rootDevice },
    sources: sources.map(moved),
    outputs: outputs.map(moved),
  };
}

function parse(text: string | undefined): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text ?? "");
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}

/** A record acts only on its own folder and root, and never through a path that leaves them. */
function problemOf(record: JournalRecord, { workspace, runId, group }: FoundFolder): string | null {
  const lists = [record?.sources, record?.outputs];
  if (!lists.every(Array.isArray) || record.root === undefined) return "the record is incomplete";
  if (record.version !== 1) return `unknown record version ${String(record.version)}`;
  if (record.runId !== runId || record.group !== group) return "the record belongs to another folder";
  const { root } = record;
  const sameDevice = root.device === workspace.rootDevice || root.path === workspace.root;
  if (!sameDevice || root.inode !== workspace.rootInode) {
    return `the record belongs to another root (${root.path})`;
  }
  const live = [...record.sources, ...record.outputs].map((file) => file.path);
  const own = [
    ...record.sources.flatMap((file) => [file.pin, file.trash]),
    ...record.outputs.map((file) => file.stage),
  ];
  return [...live, ...own].every(staysInside) ? null : "a path in the record leaves its folder";
}

function staysInside(path: unknown): boolean {
  if (typeof path !== "string") return false;
  const parts = path.split("/");
  return !path.includes("\0") && parts.every((part) => part !== "" && part !== "." && part !== "..");
}

/** Unlinks a name of ours; a name that is gone already is fine. */
export async function unlinkIfPresent(fs: PublicationFs, path: string): Promise<void> {
  try {
    await fs.unlink(path);
  } catch (error) {
    if (errno(error) !== "ENOENT") throw error;
  }
}

/** Removes an empty folder; keeps it where something is in it. */
export async function removeIfEmpty(fs: PublicationFs, folder: string): Promise<void> {
  try {
    await fs.rmdir(folder);
  } catch (error) {
    if (!["ENOENT", "ENOTEMPTY", "EEXIST"].includes(errno(error))) throw error;
  }
}
