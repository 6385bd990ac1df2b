import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import type { WatchState } from "../../server/src/watcher.ts";
import type { TreeKind } from "../../server/src/watchers/choose-tree.ts";

const REPOSITORY = join(dirname(fileURLToPath(import.meta.url)), "../..");
const PATIENCE = { timeout: 20_000, interval: 20 };
/** `fs.watch` per directory is for Linux alone. */
const TREES: readonly TreeKind[] = process.platform === "linux" ? ["chokidar", "directories"] : ["chokidar"];

/** Permissions mean nothing to root: the watcher runs as another user then. */
const NOBODY = 65_534;
const AS_USER = process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {};
const CAN_DENY =
  process.platform !== "win32" && spawnSync(process.execPath, ["-e", ""], AS_USER).status === 0;
const WHY_NOT = CAN_DENY ? "" : " (skipped: needs POSIX permissions, and a node that nobody may run)";

/** Watches its argument until its input ends, and prints what it is told, one JSON array a line. */
const CHILD_SOURCE = `
  import { createThreadedWatcher } from "./server/src/watchers/threaded.ts";
  const [root, worker, tree] = process.argv.slice(2);
  const print = (...said) => process.stdout.write(JSON.stringify(said) + "\\n");
  const watcher = createThreadedWatcher({ workerEntry: worker, pollMs: 400, tree });
  await watcher.watch(root, {
    onHint: (directories) => print("hint", directories),
    onOverflow: (reason) => print("overflow", reason),
    onState: (state) => print("state", state),
  });
  print("ready");
  process.stdin.on("end", () => process.exit()).resume();
`;

interface Heard {
  readonly hints: Set<string>;
  readonly overflows: string[];
  readonly states: WatchState[];
  ready: boolean;
}

type Said = ["hint", string[]] | ["overflow", string] | ["state", WatchState] | ["ready"];

let built: string;
let root: string;
let child: ChildProcess | null = null;

/** Everybody may enter it: the repository may be closed to the user that watches. */
function openFolder(): string {
  const path = mkdtempSync(join(tmpdir(), "tamp-denied-"));
  chmodSync(path, 0o755);
  return path;
}

beforeAll(async () => {
  built = openFolder();
  const common = { bundle: true, platform: "node", format: "esm", absWorkingDir: REPOSITORY } as const;
  const entryPoints = ["server/src/watchers/watch-worker.ts"];
  await build({ ...common, entryPoints, outfile: join(built, "watch-worker.mjs") });
  const stdin = { contents: CHILD_SOURCE, resolveDir: REPOSITORY };
  await build({ ...common, stdin, outfile: join(built, "child.mjs") });
});

afterAll(() => rmSync(built, { recursive: true, force: true }));

afterEach(async () => {
  const ended = new Promise((resolve) => child?.once("exit", resolve));
  if (child !== null) {
    child.stdin?.end();
    await ended;
  }
  child = null;
  for (const path of [root, join(root, "day=0")]) chmodSync(path, 0o755);
  rmSync(dirname(root), { recursive: true, force: true });
});

function makeTree(): void {
  root = join(openFolder(), "data");
  mkdirSync(join(root, "day=0/hour=0"), { recursive: true });
}

async function listen(tree: TreeKind): Promise<Heard> {
  const heard: Heard = { hints: new Set(), overflows: [], states: [], ready: false };
  const args = [join(built, "child.mjs"), root, join(built, "watch-worker.mjs"), tree];
  child = spawn(process.execPath, args, { ...AS_USER, stdio: ["pipe", "pipe", "inherit"] });
  if (child.stdout !== null)
    createInterface(child.stdout).on("line", (line) => hear(heard, JSON.parse(line) as Said));
  await vi.waitFor(() => expect(heard.ready).toBe(true), PATIENCE);
  return heard;
}

function hear(heard: Heard, said: Said): void {
  if (said[0] === "hint") for (const directory of said[1]) heard.hints.add(directory);
  else if (said[0] === "overflow") heard.overflows.push(said[1]);
  else if (said[0] === "state") heard.states.push(said[1]);
  else heard.ready = true;
}

/** Hints of what happened before may still be on their way: wait until they have come. */
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
}

const inState = (heard: Heard, kind: WatchState["kind"]) =>
  vi.waitFor(() => expect(heard.states.at(-1)?.kind).toBe(kind), PATIENCE);

/** A new file is told in every folder, and in one made now. */
async function expectAllArmed(heard: Heard): Promise<void> {
  await settle(heard);
  mkdirSync(join(root, "day=0/hour=1"), { recursive: true });
  await vi.waitFor(() => expect([...heard.hints]).toContain("day=0/hour=1"), PATIENCE);
  await settle(heard);
  const folders = ["", "day=0", "day=0/hour=0", "day=0/hour=1"];
  for (const folder of folders) writeFileSync(join(root, folder, "new.parquet"), "x");
  await vi.waitFor(() => expect([...heard.hints].sort()).toEqual(folders), PATIENCE);
}

describe.runIf(CAN_DENY).each(TREES)(`a folder that may not be read, %s${WHY_NOT}`, (tree) => {
  const folders: readonly (readonly [string, string])[] = [
    ["", "root can be read again"],
    ["day=0", "a folder can be read again"],
  ];
  // One that may not be listed, and one that may not be entered.
  const cases = folders.flatMap((folder) => [0o000, 0o444].map((mode) => [...folder, mode] as const));

  it.each(cases)("<root>/%s: closed and opened (%s, mode %i)", async (folder, overflow, mode) => {
    makeTree();
    const heard = await listen(tree);
    expect(heard.states).toEqual([{ kind: "watching" }]);
    await settle(heard);
    chmodSync(join(root, folder), mode);
    await inState(heard, "degraded");
    expect(heard.states.at(-1)).toMatchObject({
      reason: expect.stringContaining(join(root, folder)),
      remedy: expect.stringContaining("read and enter"),
    });
    await settle(heard);
    expect(heard.overflows).toEqual([]);
    chmodSync(join(root, folder), 0o755);
    await vi.waitFor(() => expect(heard.overflows).toEqual([overflow]), PATIENCE);
    await inState(heard, "watching");
    await expectAllArmed(heard);
  });

  it.each(folders)("<root>/%s: closed at the start (%s)", async (folder, overflow) => {
    makeTree();
    chmodSync(join(root, folder), 0o000);
    const heard = await listen(tree);
    await inState(heard, "degraded");
    await settle(heard);
    chmodSync(join(root, folder), 0o755);
    await vi.waitFor(() => expect(heard.overflows).toEqual([overflow]), PATIENCE);
    await inState(heard, "watching");
    await expectAllArmed(heard);
  });
});
