import { createHash, randomBytes } from "node:crypto";
import { mkdir, open, readdir, readFile, realpath, rename, rm, stat, utimes } from "node:fs/promises";
import { join } from "node:path";
import { decodeImage, encodeImage, type InventoryImage } from "./inventory-image.ts";

export type { InventoryImage } from "./inventory-image.ts";

/** Where inventories are kept between two processes. Neither method ever rejects: what is lost is read again. */
export interface SnapshotStore {
  /** Null where there is none that can be used. */
  load(root: string): Promise<InventoryImage | null>;
  save(root: string, image: InventoryImage): Promise<void>;
}

const SUFFIX = ".inventory";
const UNUSED_MS = 30 * 24 * 60 * 60_000;
const ABANDONED_MS = 60 * 60_000;
const BYTES_PER_WRITE = 2 ** 20;

/** One file a root in `folder`, which is made when it is first needed. Processes may share the folder. */
export function createSnapshotStore(folder: string, now: () => number): SnapshotStore {
  return {
    async load(root) {
      let path = "";
      try {
        const identity = await identityOf(root);
        path = snapshotPath(folder, identity.root);
        const bytes = await readFile(path);
        const image = await decodeImage(bytes, identity);
        if (image === null) await rm(path, { force: true });
        // Its time of modification says when it was last of use.
        else await utimes(path, now() / 1000, now() / 1000);
        return image;
      } catch {
        return null;
      }
    },
    async save(root, image) {
      try {
        const identity = await identityOf(root);
        if (image.directories.get("")?.key !== identity.key) return;
        await mkdir(folder, { recursive: true, mode: 0o700 });
        await replaceFile(snapshotPath(folder, identity.root), encodeImage(image, identity));
        await dropUnused(folder, now());
      } catch {
        // A full disk or a folder that is not ours costs time at the next start, nothing else.
      }
    },
  };
}

/** The real path of a root with its device and inode: another directory at the same path is another dataset. */
async function identityOf(root: string): Promise<{ readonly root: string; readonly key: string }> {
  const real = await realpath(root);
  const { dev, ino } = await stat(real, { bigint: true });
  return { root: real, key: `${dev}:${ino}` };
}

function snapshotPath(folder: string, realRoot: string): string {
  return join(folder, `${createHash("sha256").update(realRoot).digest("hex").slice(0, 32)}${SUFFIX}`);
}

/** Not synced: a file that lost its end in a crash is found damaged, and dropped. */
async function replaceFile(path: string, pieces: Iterable<Uint8Array>): Promise<void> {
  const temporary = `${path}.${randomBytes(8).toString("hex")}.tmp`;
  try {
    const handle = await open(temporary, "wx", 0o600);
    try {
      let batch: Uint8Array[] = [];
      let bytes = 0;
      const flush = async (): Promise<void> => {
        // One write for many pieces; a short one would be a damaged file.
        if (bytes > 0) await handle.writeFile(Buffer.concat(batch));
        batch = [];
        bytes = 0;
      };
      for (const piece of pieces) {
        batch.push(piece);
        bytes += piece.length;
        if (bytes >= BYTES_PER_WRITE) await flush();
      }
      await flush();
    } finally {
      await handle.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

/** Keeps the folder small: datasets that are not looked at any more, and what crashes left. */
async function dropUnused(folder: string, nowMs: number): Promise<void> {
  for (const name of await readdir(folder)) {
    const limitMs = name.endsWith(SUFFIX) ? UNUSED_MS : name.endsWith(".tmp") ? ABANDONED_MS : null;
    if (limitMs === null) continue;
    const { mtimeMs } = await stat(join(folder, name));
    if (nowMs - mtimeMs > limitMs) await rm(join(folder, name), { force: true });
  }
}

/** Saves what changes of one inventory, not too often, and the rest when it is closed. */
export interface SnapshotKeeper {
  load(): Promise<InventoryImage | null>;
  changed(): void;
  close(): Promise<void>;
}

const QUIET_MS = 2_000;
const BETWEEN_MS = 30_000;

/** `take` answers what is to be saved, or null. */
export function createSnapshotKeeper(options: {
  readonly store: SnapshotStore;
  readonly root: string;
  readonly take: () => InventoryImage | null;
}): SnapshotKeeper {
  const { store, root, take } = options;
  let timer: NodeJS.Timeout | null = null;
  let saving: Promise<void> = Promise.resolve();
  let savedMs = Number.NEGATIVE_INFINITY;
  let dirtySinceMs: number | null = null;
  const save = (): Promise<void> => {
    if (timer !== null) clearTimeout(timer);
    timer = null;
    if (dirtySinceMs === null) return saving;
    dirtySinceMs = null;
    savedMs = performance.now();
    saving = saving.then(async () => {
      const image = take();
      if (image !== null) await store.save(root, image);
    });
    return saving;
  };
  return {
    load: () => store.load(root),
    changed() {
      const nowMs = performance.now();
      dirtySinceMs ??= nowMs;
      const dueMs = Math.max(savedMs + BETWEEN_MS, Math.min(nowMs + QUIET_MS, dirtySinceMs + BETWEEN_MS));
      if (timer !== null) clearTimeout(timer);
      timer = setTimeout(() => void save(), Math.max(0, dueMs - nowMs));
      timer.unref();
    },
    close: save,
  };
}
