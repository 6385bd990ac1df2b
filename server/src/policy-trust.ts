import { join } from "node:path";
import { isHeldBack, optionNamed } from "@tamp/core";
import { TampError } from "./errors.ts";
import type { PublicationFs } from "./fs.ts";
import { writtenAt } from "./policy-layer.ts";
import {
  candidates,
  type FoundPolicyFile,
  findPolicyFile,
  findRoot,
  leadsOut,
  POLICY_FILE,
  readPolicyFile,
} from "./policy-lookup.ts";
import type { TrustResult, WireTrustedFile } from "./protocol.ts";
import { hashOf, readTrustList, trustState, unusableList, writeTrust } from "./trust.ts";
import type { UserSettings } from "./user-settings.ts";

/** A file that trust can be given to, or taken from: then it may be gone. */
export interface Trustable {
  readonly place: string;
  readonly sha256: string | null;
  readonly found: FoundPolicyFile | null;
}

/** The policy file that a path names: itself, or the nearest one at or above a folder. */
export async function findTrustable(fs: PublicationFs, path: string, mayBeGone: boolean): Promise<Trustable> {
  const root = await findRoot(fs, path);
  const isFolder = (await fs.lstat(root.real))?.kind === "directory";
  const found = isFolder
    ? await findPolicyFile(fs, candidates(root), "project")
    : await readPolicyFile(fs, path, "project");
  if (found !== null && found.parsed.document !== null)
    return { place: found.place, sha256: hashOf(found.text), found };
  const named = isFolder ? join(root.real, POLICY_FILE) : root.real;
  if (mayBeGone) return { place: found?.place ?? named, sha256: null, found: null };
  const [problem] = found?.parsed.problems ?? [];
  throw new TampError(
    "InvalidPolicy",
    found === null
      ? `there is no ${POLICY_FILE} at ${path}${isFolder ? " or above it" : ""}`
      : `${found.file}:${problem?.line}:${problem?.column}: ${problem?.message}`,
    {
      hint:
        found === null ? "write one; `tamp config --schema` says what it may hold" : "mend the file first",
      notDone: "nothing was trusted",
    },
  );
}

/** What the file says that only a trusted one may. */
export function grantsOf({ found }: Trustable): TrustResult["grants"] {
  const document = found?.parsed.document ?? null;
  if (found === null || document === null) return [];
  const parts = [
    { path: ["defaults"], values: document.defaults },
    ...document.datasets.map(({ index, values }) => ({ path: ["datasets", index], values })),
  ];
  const outside = document.datasets
    .filter(({ path }) => leadsOut(path))
    .map(({ index, path }) => ({
      name: "path",
      value: path,
      line: found.parsed.rangeOf(["datasets", index, "path"]).line,
    }));
  const values = parts.flatMap(({ path, values }) =>
    [...values].flatMap(([name, value]) => {
      const option = optionNamed(name);
      if (option === null || !isHeldBack(option, value)) return [];
      const { line } = found.parsed.rangeOf([...path, name]);
      return [{ name, value: writtenAt(found, [...path, name]).replace(/^"(.*)"$/, "$1"), line }];
    }),
  );
  return [...values, ...outside];
}

/** Gives whether anything changed. */
export function setTrust(request: {
  readonly fs: PublicationFs;
  readonly user: UserSettings;
  readonly found: Trustable;
  /** Null: trusted no longer. */
  readonly trustedAt: string | null;
  readonly id: string;
}): Promise<boolean> {
  const { fs, user, found, trustedAt, id } = request;
  const { place, sha256 } = found;
  const entry = trustedAt === null || sha256 === null ? null : { path: place, sha256, trustedAt };
  return writeTrust(fs, user.configFolder, { path: place, entry, id });
}

export async function listTrusted(
  fs: PublicationFs,
  user: UserSettings,
): Promise<readonly WireTrustedFile[]> {
  const list = await readTrustList(fs, user.configFolder);
  if (list.kind === "damaged") throw unusableList(list.reason);
  return Promise.all(
    list.files.map(async ({ path, sha256, trustedAt }): Promise<WireTrustedFile> => {
      const found = await readPolicyFile(fs, path, "project");
      const isSame = found !== null && trustState(list, path, found.text) === "trusted";
      const state = found === null ? "missing" : isSame ? "trusted" : "changed";
      return { file: path, sha256, trustedAt, state };
    }),
  );
}
