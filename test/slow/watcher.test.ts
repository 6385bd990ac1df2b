import { execFile, spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { build } from "esbuild";
import { afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import type { Watch, WatchEvents, Watcher, WatchState } from "../../server/src/watcher.ts";
import type { TreeKind } from "../../server/src/watchers/choose-tree.ts";
import { createThreadedWatcher } from "../../server/src/watchers/threaded.ts";
import { type Dice, diceOf, randomOf } from "../support/dice.ts";

const REPOSITORY = join(dirname(fileURLToPath(import.meta.url)), "../..");
const BUILD = join(REPOSITORY, "node_modules/.cache/test-build/watcher");
const WORKER = join(BUILD, "watch-worker.mjs");
const CHILD = join(BUILD, "limited-child.mjs");
const POLL_MS = 200;
const PATIENCE = { timeout: 20_000, interval: 20 };
const isLinux = process.platform === "linux";
/** `fs.watch` per directory is for Linux alone. */
const TREES: readonly TreeKind[] = isLinux ? ["chokidar", "directories"] : ["chokidar"];

/**
 * Watches its argument with the real watcher, grants itself more watches once it polls, and prints what it is told,
 * one JSON array a line, until it watches.
 */
const CHILD_SOURCE = `
  import { writeFileSync } from "node:fs";
  import { createThreadedWatcher } from "./server/src/watchers/threaded.ts";
  const [root, worker, tree] = process.argv.slice(2);
  const print = (...said) => process.stdout.write(JSON.stringify(said) + "\\n");
  const watcher = createThreadedWatcher({ workerEntry: worker, pollMs: 50, tree });
  const watched = new Promise((resolve) => {
    let polls = 0;
    void watcher.watch(root, {
      onHint: () => {},
      onOverflow: (reason) => {
        if (reason === "poll") polls += 1;
        if (reason !== "poll" || polls === 1) print("overflow", reason);
        if (polls === 1) writeFileSync("/proc/sys/user/max_inotify_watches", "1000");
        if (reason === "events can be had again") resolve();
      },
      onState: (state) => print("state", state.kind, state.remedy ?? null),
    });
  });
  setTimeout(() => process.exit(3), 15_000).unref();
  const alive = setInterval(() => {}, 1000);
  await watched;
  clearInterval(alive);
  await watcher.dispose();
`;

interface Heard {
  readonly hints: Set<string>;
  readonly overflows: string[];
  readonly states: WatchState[];
  readonly events: WatchEvents;
}

let scratch = "";
const cleanups: (() => Promise<void> | void)[] = [];

beforeAll(async () => {
  const common = { bundle: true, platform: "node", format: "esm", absWorkingDir: REPOSITORY } as const;
  await build({ ...common, entryPoints: ["server/src/watchers/watch-worker.ts"], outfile: WORKER });
  await build({ ...common, stdin: { contents: CHILD_SOURCE, resolveDir: REPOSITORY }, outfile: CHILD });
});

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

function folder(): string {
  scratch = mkdtempSync(join(tmpdir(), "tamp-watch-"));
  const path = scratch;
  cleanups.push(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

function listen(): Heard {
  const hints = new Set<string>();
  const overflows: string[] = [];
  const states: WatchState[] = [];
  return {
    hints,
    overflows,
    states,
    events: {
      onHint: (directories) => {
        for (const directory of directories) hints.add(directory);
      },
      onOverflow: (reason) => {
        overflows.push(reason);
      },
      onState: (state) => states.push(state),
    },
  };
}

function watcherOf(tree: TreeKind, workerEntry: URL | string = WORKER): Watcher {
  const watcher = createThreadedWatcher({ workerEntry, pollMs: POLL_MS, tree });
  cleanups.push(() => watcher.dispose());
  return watcher;
}

async function watchFolder(
  root: string,
  tree: TreeKind,
): Promise<Heard & { readonly watch: Watch; readonly watcher: Watcher }> {
  const heard = listen();
  const watcher = watcherOf(tree);
  const watch = await watcher.watch(root, heard.events);
  return { ...heard, watch, watcher };
}

/** Hints of what happened before the watch stood may still be on their way: wait until they have come. */
async function settle(heard: Heard): Promise<void> {
  let before = -1;
  await vi.waitFor(
    () => {
      const now = heard.hints.size + heard.overflows.length;
      const wasQuiet = now === before;
      before = now;
      expect(wasQuiet).toBe(true);
    },
    { timeout: 20_000, interval: 800 },
  );
  heard.hints.clear();
  heard.overflows.length = 0;
}

const hinted = (heard: Heard, directory: string) =>
  vi.waitFor(() => expect([...heard.hints]).toContain(directory), PATIENCE);
const overflowed = (heard: Heard, reason: string) =>
  vi.waitFor(() => expect(heard.overflows).toContain(reason), PATIENCE);
const inState = (heard: Heard, kind: WatchState["kind"]) =>
  vi.waitFor(() => expect(heard.states.at(-1)?.kind).toBe(kind), PATIENCE);

function writeFiles(directory: string, count: number): void {
  mkdirSync(directory, { recursive: true });
  for (let i = 0; i < count; i += 1) writeFileSync(join(directory, `part-${i}.parquet`), "x");
}

/** One random change of a few folders two levels deep. */
function disturb(root: string, dice: Dice): void {
  const pick = (): string =>
    join(root, `p=${dice.below(12)}`, ...(dice.chance(0.5) ? [`q=${dice.below(3)}`] : []));
  const [from, to] = [pick(), pick()];
  switch (dice.below(4)) {
    case 0:
      writeFiles(from, 1 + dice.below(5));
      return;
    case 1:
      rmSync(from, { recursive: true, force: true });
      return;
    case 2:
      rmSync(from, { recursive: true, force: true });
      writeFiles(from, 1);
      return;
    default:
      if (!existsSync(from) || existsSync(to) || to.startsWith(from) || !existsSync(dirname(to))) return;
      renameSync(from, to);
  }
}

function foldersBelow(root: string): readonly string[] {
  const entries = readdirSync(root, { recursive: true, withFileTypes: true });
  const folders = entries.filter((entry) => entry.isDirectory());
  return ["", ...folders.map((entry) => relative(root, join(entry.parentPath, entry.name)))];
}

function inotifyWatches(): number {
  let count = 0;
  for (const name of readdirSync("/proc/self/fdinfo")) {
    try {
      count += readFileSync(join("/proc/self/fdinfo", name), "utf8").match(/^inotify wd:/gm)?.length ?? 0;
    } catch {
      // The descriptor of the listing itself is closed by now.
    }
  }
  return count;
}

describe.each(TREES)("hints, %s", (tree) => {
  it("names the sub-directory of a new, a rewritten and a removed file", async () => {
    const root = folder();
    mkdirSync(join(root, "year=2024/month=01"), { recursive: true });
    const heard = await watchFolder(root, tree);
    expect(heard.states).toEqual([{ kind: "watching" }]);
    await settle(heard);
    const file = join(root, "year=2024/month=01/a.parquet");
    const steps = [() => writeFileSync(file, "a"), () => writeFileSync(file, "b"), () => rmSync(file)];
    for (const step of steps) {
      heard.hints.clear();
      step();
      await hinted(heard, "year=2024/month=01");
      expect([...heard.hints]).toEqual(["year=2024/month=01"]);
    }
    expect(heard.overflows).toEqual([]);
  });

  it("names a new partition, all levels at once, and watches it from then on", async () => {
    const root = folder();
    const heard = await watchFolder(root, tree);
    await settle(heard);
    writeFiles(join(root, "year=2025/month=02/day=03"), 5);
    for (const directory of ["", "year=2025", "year=2025/month=02", "year=2025/month=02/day=03"]) {
      await hinted(heard, directory);
    }
    await settle(heard);
    writeFiles(join(root, "year=2025/month=02/day=03"), 6);
    await hinted(heard, "year=2025/month=02/day=03");
  });

  it("follows a renamed directory, under its new name only", async () => {
    const root = folder();
    writeFiles(join(root, "a/x"), 1);
    const heard = await watchFolder(root, tree);
    await settle(heard);
    renameSync(join(root, "a"), join(root, "b"));
    for (const directory of ["", "b", "b/x"]) await hinted(heard, directory);
    await settle(heard);
    writeFileSync(join(root, "b/x/new.parquet"), "x");
    await hinted(heard, "b/x");
    expect([...heard.hints]).toEqual(["b/x"]);
  });

  it("keeps watching a partition that is removed and made again at once", async () => {
    const root = folder();
    writeFiles(join(root, "p/x"), 3);
    const heard = await watchFolder(root, tree);
    for (let round = 0; round < 3; round += 1) {
      await settle(heard);
      rmSync(join(root, "p"), { recursive: true });
      writeFiles(join(root, "p/x"), 3);
      await hinted(heard, "p/x");
      await settle(heard);
      writeFileSync(join(root, "p/x/later.parquet"), "x");
      await hinted(heard, "p/x");
    }
  });

  it("neither enters nor tells of our own folders, and leaves links alone", async () => {
    const root = folder();
    const elsewhere = folder();
    mkdirSync(join(root, ".tamp/runs"), { recursive: true });
    const heard = await watchFolder(root, tree);
    await settle(heard);
    writeFiles(join(root, ".tamp/runs/1"), 3);
    writeFiles(join(root, ".stage.tamp"), 3);
    writeFileSync(join(root, ".part.parquet.tamp"), "x");
    mkdirSync(join(root, "end"));
    await hinted(heard, "end");
    await settle(heard);
    writeFiles(join(root, ".stage.tamp"), 4);
    writeFiles(elsewhere, 3);
    writeFileSync(join(root, "end/x"), "x");
    await hinted(heard, "end");
    expect([...heard.hints]).toEqual(["end"]);
  });

  it("serves several roots apart, and is silent after dispose", async () => {
    const [one, two] = [folder(), folder()];
    const watcher = watcherOf(tree);
    const [first, second] = [listen(), listen()];
    const watch = await watcher.watch(one, first.events);
    await watcher.watch(two, second.events);
    await settle(first);
    await settle(second);
    writeFiles(join(one, "a"), 1);
    await hinted(first, "a");
    expect([...second.hints]).toEqual([]);
    await watch.dispose();
    first.hints.clear();
    writeFiles(join(one, "a"), 2);
    writeFiles(join(two, "b"), 1);
    await hinted(second, "b");
    expect([...first.hints]).toEqual([]);
  });
});

describe.each(TREES)("whatever is done to the folders, %s", (tree) => {
  it("knows a folder that is replaced by a file, a link or another folder, and leaves what moved out", async () => {
    const root = folder();
    const elsewhere = folder();
    for (const name of ["file", "link", "other", "out", "other/other"]) writeFiles(join(root, name, "x"), 1);
    const heard = await watchFolder(root, tree);
    await settle(heard);
    for (const name of ["file", "link"]) rmSync(join(root, name), { recursive: true });
    writeFileSync(join(root, "file"), "x");
    symlinkSync(elsewhere, join(root, "link"));
    renameSync(join(root, "out"), join(elsewhere, "out"));
    renameSync(join(root, "other"), join(root, "away"));
    renameSync(join(root, "away/other"), join(root, "other"));
    await hinted(heard, "other");
    await settle(heard);
    writeFiles(join(elsewhere, "out/x"), 2);
    writeFiles(join(root, "away/x"), 2);
    writeFiles(join(root, "other/x"), 2);
    await hinted(heard, "away/x");
    await hinted(heard, "other/x");
    // chokidar may see through a link in the moment in which it takes the place of a folder: no comparison follows it.
    const hints = [...heard.hints].filter((hint) => tree !== "chokidar" || !hint.startsWith("link/"));
    expect(hints.sort()).toEqual(["away/x", "other/x"]);
  });

  it.each([1, 2, 3])("watches every folder there is, and no other, after a storm (seed %i)", async (seed) => {
    const root = folder();
    const dice = diceOf(randomOf(seed));
    for (let i = 0; i < 10; i += 1) writeFiles(join(root, `p=${i}/q=0`), 2);
    const before = inotifyWatches();
    const heard = listen();
    const watching = watcherOf(tree).watch(root, heard.events);
    for (let step = 0; step < 300; step += 1) {
      disturb(root, dice);
      if (step % 10 === 0) await new Promise((resolve) => setTimeout(resolve, dice.below(30)));
    }
    await watching;
    await settle(heard);
    const folders = foldersBelow(root);
    for (const path of folders) writeFileSync(join(root, path, "probe.parquet"), "x");
    for (const path of folders) await hinted(heard, path);
    expect(heard.overflows).toEqual([]);
    if (isLinux) expect(inotifyWatches() - before).toBe(folders.length);
  });
});

describe.each(TREES)("the root, %s", (tree) => {
  it("may go and come back", async () => {
    const root = join(folder(), "data");
    writeFiles(join(root, "a"), 2);
    const heard = await watchFolder(root, tree);
    await settle(heard);
    rmSync(root, { recursive: true });
    await overflowed(heard, "root is gone");
    await inState(heard, "degraded");
    mkdirSync(root);
    await overflowed(heard, "root came back");
    await inState(heard, "watching");
    writeFiles(join(root, "b"), 2);
    await hinted(heard, "b");
  });

  it("may be replaced in one go", async () => {
    const root = join(folder(), "data");
    writeFiles(join(root, "a"), 2);
    const heard = await watchFolder(root, tree);
    await settle(heard);
    rmSync(root, { recursive: true });
    mkdirSync(root);
    await overflowed(heard, "root came back");
    await inState(heard, "watching");
    writeFiles(join(root, "b"), 2);
    await hinted(heard, "b");
  });

  it("may be missing at the start, with the folders above it", async () => {
    const root = join(folder(), "not/yet/data");
    const heard = await watchFolder(root, tree);
    expect(heard.states).toMatchObject([{ kind: "degraded", reason: "The folder does not exist." }]);
    mkdirSync(root, { recursive: true });
    await overflowed(heard, "root came back");
    await inState(heard, "watching");
    writeFileSync(join(root, "a.parquet"), "x");
    await hinted(heard, "");
  });
});

describe.each(TREES)("bounds, %s", (tree) => {
  it.runIf(isLinux)("opens one watch per directory and none per file, and gives them back", async () => {
    const root = folder();
    for (let i = 0; i < 20; i += 1) writeFiles(join(root, `p=${i}`), 100);
    const before = inotifyWatches();
    const heard = await watchFolder(root, tree);
    await settle(heard);
    expect(inotifyWatches() - before).toBe(21);
    await heard.watch.dispose();
    await vi.waitFor(() => expect(inotifyWatches()).toBe(before), PATIENCE);
  });

  it("tells a burst as overflow, or names every directory, and watches all of them afterwards", async () => {
    const root = folder();
    for (let i = 0; i < 50; i += 1) mkdirSync(join(root, `p=${i}`));
    const heard = await watchFolder(root, tree);
    await settle(heard);
    for (let i = 0; i < 50; i += 1) writeFiles(join(root, `p=${i}`), 200);
    mkdirSync(join(root, "made/in/the/middle"), { recursive: true });
    for (let i = 0; i < 50; i += 1) writeFiles(join(root, `p=${i}`), 200);
    await vi.waitFor(() => {
      const all = Array.from({ length: 50 }, (_, i) => heard.hints.has(`p=${i}`)).every(Boolean);
      expect(heard.overflows.includes("burst") || all).toBe(true);
    }, PATIENCE);
    await settle(heard);
    writeFileSync(join(root, "made/in/the/middle/a.parquet"), "x");
    writeFileSync(join(root, "p=49/new.parquet"), "x");
    await hinted(heard, "made/in/the/middle");
    await hinted(heard, "p=49");
  });
});

describe.each(TREES)("trouble, %s", (tree) => {
  // A user namespace has a limit of inotify watches of its own: the real error, harmless to others.
  const canLimit = isLinux && spawnSync("unshare", ["-Ur", "true"]).status === 0;
  const run = promisify(execFile);

  it.runIf(canLimit)(
    "polls when the kernel grants no more watches, says how to get more, and watches when there are",
    async () => {
      const root = folder();
      for (let i = 0; i < 20; i += 1) mkdirSync(join(root, `p=${i}`));
      const script = `echo 10 > /proc/sys/user/max_inotify_watches && exec "$@"`;
      const args = ["-Ur", "sh", "-c", script, "sh", process.execPath, CHILD, root, WORKER, tree];
      const { stdout } = await run("unshare", args);
      const said: unknown[] = stdout
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line));
      expect(said).toEqual([
        ["state", "degraded", expect.stringContaining("max_user_watches")],
        ["overflow", expect.stringContaining("ENOSPC")],
        ["state", "polling", expect.stringContaining("max_user_watches")],
        ["overflow", "poll"],
        ["state", "watching", null],
        ["overflow", "events can be had again"],
      ]);
    },
  );

  it("starts a worker that died once more", async () => {
    const root = folder();
    const entry = join(folder(), "dies-once.mjs");
    writeFileSync(
      entry,
      `import { existsSync, writeFileSync } from "node:fs";
       const mark = ${JSON.stringify(join(scratch, "mark"))};
       if (existsSync(mark)) await import(${JSON.stringify(pathToFileURL(WORKER).href)});
       else { writeFileSync(mark, ""); throw new Error("first life"); }`,
    );
    const heard = listen();
    await watcherOf(tree, pathToFileURL(entry)).watch(root, heard.events);
    expect(heard.overflows).toContain("watcher restarted: first life");
    writeFiles(join(root, "a"), 1);
    await hinted(heard, "a");
  });

  it("polls in place of a worker that dies twice", async () => {
    const root = folder();
    const entry = join(folder(), "dies.mjs");
    writeFileSync(entry, `throw new Error("cannot live");`);
    const heard = listen();
    const watcher = watcherOf(tree, entry);
    const watch = await watcher.watch(root, heard.events);
    expect(heard.states.map((state) => state.kind)).toEqual(["degraded", "degraded", "polling"]);
    await overflowed(heard, "poll");
    await watch.dispose();
    await watcher.dispose();
  });
});
