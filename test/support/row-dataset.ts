import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { nodeFs, type PublicationFs } from "../../server/src/fs.ts";
import { locateWorkspace } from "../../server/src/workspace.ts";
import { Crash } from "./crashing-fs.ts";
import { executeRows, planRows, writeRows } from "./row-files.ts";

/** Two partitions of two files, of two rows each. */
export const SOURCES = ["p/a.parquet", "p/b.parquet"];
export const OTHERS = ["q/c.parquet", "q/d.parquet"];

/** The files under `data` in a new folder; answers the folder. */
export function makeRowDataset(): string {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), "tamp-rows-")));
  for (const name of [...SOURCES, ...OTHERS]) {
    const path = join(folder, "data", name);
    mkdirSync(dirname(path), { recursive: true });
    writeRows(path, [`${name} 1`, `${name} 2`]);
    utimesSync(path, 1_700_000_000, 1_700_000_000);
  }
  return folder;
}

export type Hook = (method: keyof PublicationFs, paths: readonly string[]) => void;

/** The real file system; `hook` is called ahead of every call, and may throw in its place. */
export function hooked(hook: Hook): PublicationFs {
  return new Proxy(nodeFs, {
    get(target, method: keyof PublicationFs) {
      const call = target[method] as (...args: unknown[]) => Promise<unknown>;
      return async (...args: unknown[]): Promise<unknown> => {
        hook(
          method,
          args.filter((each) => typeof each === "string"),
        );
        return call(...args);
      };
    },
  });
}

/** Names of everything below a folder that need not be there. */
export function namesBelow(folder: string): readonly string[] {
  return existsSync(folder) ? readdirSync(folder, { recursive: true, encoding: "utf8" }).sort() : [];
}

/** Inode and content of every file below a folder, the lock's own files left out. */
export function filesBelow(folder: string): ReadonlyMap<string, string> {
  const files = namesBelow(folder).filter(
    (name) => statSync(join(folder, name)).isFile() && !/\/lock/.test(name),
  );
  return new Map(
    files.map((name) => [name, `${statSync(join(folder, name)).ino} ${textOf(join(folder, name))}`]),
  );
}

export function textOf(path: string): string {
  return readFileSync(path, "latin1");
}

/** Changes nothing but the time of the latest change (ctime). */
export function touch(path: string): void {
  const { atime, mtime } = statSync(path);
  utimesSync(path, atime, mtime);
}

export function replace(path: string): void {
  writeRows(`${path}.new`, ["another row"]);
  renameSync(`${path}.new`, path);
}

/** A run whose process is killed in it; nobody holds its lock any more. */
export async function runUntilCrash(root: string, fs: PublicationFs): Promise<void> {
  await executeRows({ root, plan: planRows(root, [SOURCES]), ports: { fs } }).catch((error: unknown) => {
    if (!(error instanceof Crash)) throw error;
  });
  rmSync((await locateWorkspace(nodeFs, root, null)).lock, { force: true });
}
