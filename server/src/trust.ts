import { createHash } from "node:crypto";
import { dirname, join } from "node:path";
import { TampError } from "./errors.ts";
import { errno, type PublicationFs } from "./fs.ts";

/** A policy file whose content a user has read and agrees with. */
export interface TrustedFile {
  /** Where it stands: the real path of its folder, with its name. */
  readonly path: string;
  /** SHA-256 of its content, in hex. */
  readonly sha256: string;
  readonly trustedAt: string;
}

export type TrustList =
  | { readonly kind: "read"; readonly files: readonly TrustedFile[] }
  /** Nothing is trusted as long as the list cannot be read. */
  | { readonly kind: "damaged"; readonly reason: string };

export type TrustState = "trusted" | "changed" | "untrusted";

const LIST = "trusted.json";

export function trustListPath(configFolder: string): string {
  return join(configFolder, LIST);
}

export function hashOf(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

export function trustState(list: TrustList, path: string, text: string): TrustState {
  const found = list.kind === "read" ? list.files.find((file) => file.path === path) : undefined;
  if (found === undefined) return "untrusted";
  return found.sha256 === hashOf(text) ? "trusted" : "changed";
}

export async function readTrustList(
  fs: Pick<PublicationFs, "readText">,
  configFolder: string | null,
): Promise<TrustList> {
  if (configFolder === null) return { kind: "read", files: [] };
  const path = trustListPath(configFolder);
  try {
    const files = filesOf(JSON.parse(await fs.readText(path)));
    return files === null
      ? { kind: "damaged", reason: `${path} is no list of trusted files` }
      : { kind: "read", files };
  } catch (error) {
    if (errno(error) === "ENOENT" || errno(error) === "ENOTDIR") return { kind: "read", files: [] };
    return { kind: "damaged", reason: `${path} cannot be read: ${messageOf(error)}` };
  }
}

/** Notes a file as trusted, or with null forgets it; gives whether that changed anything. */
export async function writeTrust(
  fs: PublicationFs,
  configFolder: string | null,
  { path, entry, id }: { readonly path: string; readonly entry: TrustedFile | null; readonly id: string },
): Promise<boolean> {
  if (configFolder === null)
    throw unusableList("there is no home folder to keep the list of trusted files in");
  const list = await readTrustList(fs, configFolder);
  if (list.kind === "damaged") throw unusableList(list.reason);
  const before = list.files.find((file) => file.path === path);
  if (before?.sha256 === entry?.sha256) return false;
  const others = list.files.filter((file) => file.path !== path);
  const files = [...others, ...(entry === null ? [] : [entry])].sort((a, b) => (a.path < b.path ? -1 : 1));
  await makeFolders(fs, configFolder);
  await replace(fs, {
    folder: configFolder,
    id,
    text: `${JSON.stringify({ tampTrust: 1, files }, null, 2)}\n`,
  });
  return true;
}

/** Readers see the old list or the new one; after a power cut too. */
async function replace(
  fs: PublicationFs,
  { folder, id, text }: { readonly folder: string; readonly id: string; readonly text: string },
): Promise<void> {
  const staged = join(folder, `.${LIST}.${id}`);
  try {
    await fs.writeNew(staged, text);
    await fs.rename(staged, trustListPath(folder));
  } catch (error) {
    await fs.unlink(staged).catch(() => {});
    throw error;
  }
  await fs.sync(folder);
}

async function makeFolders(fs: PublicationFs, folder: string): Promise<void> {
  try {
    await fs.mkdir(folder);
  } catch (error) {
    if (errno(error) === "EEXIST") return;
    if (errno(error) !== "ENOENT" || dirname(folder) === folder) throw error;
    await makeFolders(fs, dirname(folder));
    await makeFolders(fs, folder);
  }
}

function filesOf(value: unknown): readonly TrustedFile[] | null {
  if (typeof value !== "object" || value === null) return null;
  const { tampTrust, files }: { tampTrust?: unknown; files?: unknown } = value;
  return tampTrust === 1 && Array.isArray(files) && files.every(isTrustedFile) ? files : null;
}

function isTrustedFile(value: unknown): value is TrustedFile {
  if (typeof value !== "object" || value === null) return false;
  const { path, sha256, trustedAt }: { path?: unknown; sha256?: unknown; trustedAt?: unknown } = value;
  return typeof path === "string" && typeof sha256 === "string" && typeof trustedAt === "string";
}

export function unusableList(reason: string): TampError {
  return new TampError("IoError", reason, {
    hint: "move the file away and trust the policy files again",
    notDone: "what is trusted was not changed",
  });
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
