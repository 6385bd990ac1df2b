import { join } from "node:path";
import { errno } from "./fs.ts";
import { candidates, findRoot, POLICY_FILE, type PolicyReader } from "./policy-lookup.ts";
import { trustListPath } from "./trust.ts";

/** A change is seen no later than this after it was made. */
export const POLICY_POLL_MS = 2_000;

export interface PolicyWatchOptions {
  readonly fs: PolicyReader;
  readonly configFolder: string | null;
  /** Null: only `check` looks. */
  readonly everyMs: number | null;
}

export interface PolicyWatch {
  /**
   * Calls back once a file that may speak for the root has come, changed or gone since this resolved: load the
   * policy after that, or a change between the two is missed. Gives the function that ends it.
   */
  watch(root: string, onChange: () => void): Promise<() => void>;
  /** Looks now. */
  check(): Promise<void>;
  dispose(): void;
}

interface Watched {
  readonly root: string;
  readonly onChange: () => void;
  seen: string;
}

/**
 * Asks for the files by name, over and over: a dozen of them for a dataset, which costs nothing and is right on every
 * file system, under renamed folders and replaced links, where events are not.
 */
export function createPolicyWatch({ fs, configFolder, everyMs }: PolicyWatchOptions): PolicyWatch {
  const watched = new Set<Watched>();
  const own = configFolder === null ? [] : [join(configFolder, POLICY_FILE), trustListPath(configFolder)];
  const look = async (root: string, marks: Map<string, Promise<string>>): Promise<string> => {
    const found = await findRoot(fs, root);
    const files = [...own, ...candidates(found)];
    // Datasets of one project share most of their candidates.
    const parts = files.map((file) => {
      const mark = marks.get(file) ?? markOf(fs, file);
      marks.set(file, mark);
      return mark;
    });
    return [found.real, ...(await Promise.all(parts))].join("\n");
  };
  let checking: Promise<void> | null = null;
  const checkAll = async (): Promise<void> => {
    const marks = new Map<string, Promise<string>>();
    for (const item of [...watched]) {
      const seen = await look(item.root, marks);
      if (seen === item.seen || !watched.has(item)) continue;
      item.seen = seen;
      item.onChange();
    }
  };
  const check = async (): Promise<void> => {
    // A look that is under way may have passed what has changed since.
    await checking;
    checking ??= checkAll().finally(() => {
      checking = null;
    });
    await checking;
  };
  const timer = everyMs === null ? null : setInterval(() => void (checking ?? check()), everyMs);
  timer?.unref();
  return {
    async watch(root, onChange) {
      const item = { root, onChange, seen: await look(root, new Map()) };
      watched.add(item);
      return () => void watched.delete(item);
    },
    check,
    dispose() {
      if (timer !== null) clearInterval(timer);
      watched.clear();
    },
  };
}

/** Changes with the file: another inode where it is replaced, another ctime whatever else is done to it. */
async function markOf(fs: PolicyReader, file: string): Promise<string> {
  try {
    const entry = await fs.lstat(file);
    const target = entry?.kind === "symlink" ? await fs.lstat(await fs.realpath(file)) : entry;
    if (target === null) return "absent";
    const { device, inode, sizeBytes, mtimeNs, ctimeNs } = target;
    return [device, inode, sizeBytes, mtimeNs, ctimeNs].join(":");
  } catch (error) {
    return errno(error);
  }
}
