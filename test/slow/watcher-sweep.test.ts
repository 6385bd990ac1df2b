import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it, vi } from "vitest";
import { type TreeKind, treeOpener } from "../../server/src/watchers/choose-tree.ts";
import type { Tree } from "../../server/src/watchers/tree.ts";

const PATIENCE = { timeout: 20_000, interval: 20 };
const isLinux = process.platform === "linux";
/** `fs.watch` per directory is for Linux alone. */
const TREES: readonly TreeKind[] = isLinux ? ["chokidar", "directories"] : ["chokidar"];

const cleanups: (() => Promise<void> | void)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), "tamp-sweep-"));
  cleanups.push(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

function writeFiles(directory: string, count: number): void {
  mkdirSync(directory, { recursive: true });
  for (let i = 0; i < count; i += 1) writeFileSync(join(directory, `part-${i}.parquet`), "x");
}

describe.each(TREES)("a sweep, %s", (tree) => {
  interface Opened {
    readonly tree: Tree;
    readonly changes: (string | null)[];
  }

  /** The adapter in this thread, so that it can be kept from reading its events. */
  async function open(root: string, now: () => number = () => Date.now()): Promise<Opened> {
    const changes: (string | null)[] = [];
    const events = {
      onChange: (directory: string | null) => void changes.push(directory),
      onRoot: () => {},
      onError: (error: unknown) => expect.fail(String(error)),
    };
    const opened = treeOpener(tree)({ root, now, events });
    cleanups.push(() => opened.dispose());
    await opened.ready;
    return { tree: opened, changes };
  }

  it.runIf(isLinux)("finds the folders that a queue that ran over kept to itself", async () => {
    const root = folder();
    writeFiles(join(root, "flood"), 1);
    writeFiles(join(root, "remade"), 1);
    const { tree: opened, changes } = await open(root);
    const queued = Number(readFileSync("/proc/sys/fs/inotify/max_queued_events", "utf8"));
    // Two events each, and this thread reads none of them meanwhile.
    writeFiles(join(root, "flood"), Math.ceil(queued / 2) + 100);
    rmSync(join(root, "remade"), { recursive: true });
    writeFiles(join(root, "remade/below"), 1);
    writeFiles(join(root, "made/below"), 1);
    await vi.waitFor(() => expect(changes.length).toBeGreaterThanOrEqual(queued), PATIENCE);
    await opened.sweep([]);
    const lost = ["remade", "remade/below", "made", "made/below"];
    await vi.waitFor(() => expect(changes).toEqual(expect.arrayContaining(lost)), PATIENCE);
    await new Promise((resolve) => setTimeout(resolve, 1500));
    changes.length = 0;
    for (const path of lost) writeFileSync(join(root, path, "probe.parquet"), "x");
    await vi.waitFor(() => expect(changes).toEqual(expect.arrayContaining(lost)), PATIENCE);
  });

  it.each([
    ["back", -5 * 3_600_000],
    ["ahead", 5 * 3_600_000],
  ])(
    "is quiet about what did not change, also after the clock was set %s by hours",
    async (_name, jumpMs) => {
      const root = folder();
      for (let i = 0; i < 5; i += 1) writeFiles(join(root, `p=${i}`), 1);
      let jumpedMs = 0;
      const { tree: opened, changes } = await open(root, () => Date.now() + jumpedMs);
      jumpedMs = jumpMs;
      await opened.sweep([]);
      await new Promise((resolve) => setTimeout(resolve, 1500));
      changes.length = 0;
      await opened.sweep([]);
      await new Promise((resolve) => setTimeout(resolve, 1500));
      expect(changes).toEqual([]);
    },
  );
});
