import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, utimesSync } from "node:fs";
import { dirname, join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createInventory, type Inventory, type InventoryChange } from "../../server/src/inventory.ts";
import { createInventoryPool, type InventoryPool } from "../../server/src/inventory-pool.ts";
import { createSnapshotStore } from "../../server/src/inventory-snapshot.ts";
import { buildEntry } from "../support/build-worker.ts";
import { makeRoot, writeDataset } from "../support/dataset.ts";
import { filesOf } from "../support/inventory.ts";

let pool: InventoryPool;
const folders: string[] = [];

beforeAll(async () => {
  pool = createInventoryPool({ workerEntry: await buildEntry("server/src/inventory-worker.ts") });
});

afterAll(async () => {
  await pool.dispose();
  for (const folder of folders) rmSync(folder, { recursive: true });
});

const FILES_IN_A = 20;

/** 20 files in `a`, one below it, and two in `b`; all are older than any test. */
function newRoot(): string {
  const folder = makeRoot();
  folders.push(folder);
  const files = Array.from({ length: FILES_IN_A }, (_, at) => [`a/${at}.parquet`, { rows: at + 1 }] as const);
  return writeDataset(join(folder, "data"), {
    ...Object.fromEntries(files),
    "a/deep/er/0.parquet": { rows: 40 },
    "b/0.parquet": { rows: 50 },
    "b/1.parquet": { rows: 60 },
  });
}

/** A clock a minute ahead: what a test writes is old enough not to be read twice. */
function inventoryOf(root: string, { aheadMs = 60_000, isKept = false } = {}): Inventory {
  const snapshots = isKept ? createSnapshotStore(`${root}.cache`, () => Date.now()) : null;
  return createInventory({
    root,
    pool,
    smallFileBytes: 2 ** 20,
    now: () => Date.now() + aheadMs,
    snapshots,
  });
}

/** Equal to what one that knows nothing finds. */
async function expectRight(inventory: Inventory, root: string): Promise<void> {
  const fresh = inventoryOf(root);
  await fresh.reconcile();
  expect(filesOf(inventory)).toEqual(filesOf(fresh));
  expect(inventory.totals).toEqual(fresh.totals);
  expect([...inventory.schemaClasses]).toEqual([...fresh.schemaClasses]);
}

const move =
  (from: string, to: string) =>
  (root: string): void =>
    renameSync(join(root, from), join(root, to));

function swap(root: string, one = "a", other = "b"): void {
  move(other, "../swap")(root);
  move(one, other)(root);
  renameSync(join(root, "../swap"), join(root, one));
}

interface Case {
  readonly what: string;
  readonly act: (root: string) => void;
  readonly reads: number;
  readonly change: Omit<InventoryChange, "generation">;
  /** What the watcher tells of; null: nothing, all is compared. */
  readonly hints?: readonly string[];
}

const WHOLE_A = { added: FILES_IN_A + 1, changed: 0, removed: FILES_IN_A + 1 };

const CASES: readonly Case[] = [
  { what: "a directory", act: move("a", "c"), reads: 0, change: WHOLE_A },
  { what: "a directory, hinted at", act: move("a", "c"), reads: 0, change: WHOLE_A, hints: ["a", "c"] },
  { what: "a directory into another", act: move("a", "b/a"), reads: 0, change: WHOLE_A, hints: ["b"] },
  {
    what: "a directory, one of whose files changes",
    act(root) {
      move("a", "c")(root);
      writeDataset(root, { "c/7.parquet": { rows: 99 } });
    },
    reads: 1,
    change: WHOLE_A,
  },
  {
    what: "a directory, one of whose files changes and hides it",
    act(root) {
      writeDataset(root, { "a/7.parquet": { rows: 8, from: 1 } });
      utimesSync(join(root, "a/7.parquet"), 1000, 1000);
      move("a", "c")(root);
    },
    reads: 1,
    change: WHOLE_A,
  },
  {
    what: "a directory, in whose place another is made",
    act(root) {
      move("a", "c")(root);
      writeDataset(root, { "a/0.parquet": { rows: 1 }, "a/deep/new.parquet": { rows: 1 } });
    },
    reads: 2,
    change: { added: FILES_IN_A + 2, changed: 1, removed: FILES_IN_A },
  },
  {
    what: "two directories, each to the other's place",
    act: swap,
    reads: 0,
    change: { added: FILES_IN_A - 1, changed: 4, removed: FILES_IN_A - 1 },
  },
  {
    what: "two directories, each to the other's place, hinted at",
    act: swap,
    reads: 0,
    change: { added: FILES_IN_A - 1, changed: 4, removed: FILES_IN_A - 1 },
    hints: [""],
  },
  {
    what: "files into a new directory",
    act(root) {
      mkdirSync(join(root, "c"));
      for (const name of readdirSync(join(root, "b"))) move(`b/${name}`, `c/${name}`)(root);
      rmSync(join(root, "b"), { recursive: true });
    },
    reads: 2,
    change: { added: 2, changed: 0, removed: 2 },
  },
  {
    what: "a directory in the place of one that is removed",
    act(root) {
      rmSync(join(root, "a"), { recursive: true });
      move("b", "a")(root);
    },
    reads: 0,
    change: { added: 0, changed: 2, removed: FILES_IN_A + 1 },
  },
];

const ROWS = CASES.map((item) => [item.what, item] as const);

describe("moving", () => {
  it.each(ROWS)("%s: reads what has changed", async (_, { act, reads, change, hints = null }) => {
    const root = newRoot();
    const inventory = inventoryOf(root);
    await inventory.reconcile();
    const before = inventory.footerReads;
    act(root);
    expect(await inventory.reconcile(hints)).toEqual({ ...change, generation: 2 });
    expect(inventory.footerReads - before).toBe(reads);
    await expectRight(inventory, root);
  });

  it.each(ROWS)("%s, while nobody looks: reads what has changed", async (_, { act, reads }) => {
    const root = newRoot();
    const before = inventoryOf(root, { isKept: true });
    await before.reconcile();
    await before.dispose();
    act(root);
    const inventory = inventoryOf(root, { isKept: true });
    expect(await inventory.reconcile()).toMatchObject({ changed: 0, removed: 0 });
    expect(inventory.footerReads).toBe(reads);
    await expectRight(inventory, root);
    await inventory.dispose();
  });

  it("tells the old paths as removed and the new ones as changed", async () => {
    const root = newRoot();
    const inventory = inventoryOf(root);
    await inventory.reconcile();
    move("b", "c")(root);
    await inventory.reconcile();
    expect(inventory.changesSince(1)).toEqual({
      kind: "changes",
      changed: ["c/0.parquet", "c/1.parquet"],
      removed: ["b/0.parquet", "b/1.parquet"],
    });
  });

  it("reads again what was read too soon after its last change", async () => {
    const root = newRoot();
    const inventory = inventoryOf(root, { aheadMs: -1000 });
    await inventory.reconcile();
    move("b", "c")(root);
    await inventory.reconcile(["b", "c"]);
    expect(inventory.footerReads).toBe(FILES_IN_A + 3 + 2);
  });

  it("directories about, however often, reads nothing, also across restarts", async () => {
    const directory = fc.constantFrom("a", "a/deep", "a/deep/er", "b", "c", "b/d", "c/deep");
    const step = fc.record({
      moves: fc.array(fc.record({ from: directory, to: directory, swaps: fc.boolean() }), { maxLength: 5 }),
      restarts: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 4 }), async (steps) => {
        const root = newRoot();
        let inventory = inventoryOf(root, { isKept: true });
        await inventory.reconcile();
        let reads = inventory.footerReads;
        for (const { moves, restarts } of steps) {
          for (const item of moves) perform(root, item);
          if (restarts) {
            await inventory.dispose();
            inventory = inventoryOf(root, { isKept: true });
            reads = 0;
          }
          await inventory.reconcile();
        }
        expect(inventory.footerReads).toBe(reads);
        await expectRight(inventory, root);
        await inventory.dispose();
      }),
      { numRuns: 30 },
    );
  });
});

/** What cannot be moved stays where it is. */
function perform(root: string, item: { readonly from: string; readonly to: string; swaps: boolean }): void {
  const { from, to, swaps } = item;
  const isNested = `${from}/`.startsWith(`${to}/`) || `${to}/`.startsWith(`${from}/`);
  const has = (path: string): boolean => existsSync(join(root, path));
  if (isNested || !has(from) || !has(dirname(to))) return;
  if (!has(to)) move(from, to)(root);
  else if (swaps) swap(root, from, to);
}
