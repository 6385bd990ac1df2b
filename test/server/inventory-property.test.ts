import {
  appendFileSync,
  chmodSync,
  existsSync,
  mkdirSync,
  renameSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { addFile, createTotals, partitionFiles } from "@tamp/core";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createInventory, type Inventory } from "../../server/src/inventory.ts";
import { createInventoryPool, type InventoryPool } from "../../server/src/inventory-pool.ts";
import { createSnapshotStore } from "../../server/src/inventory-snapshot.ts";
import { buildEntry } from "../support/build-worker.ts";
import { makeRoot, parquetBytes } from "../support/dataset.ts";
import { filesOf } from "../support/inventory.ts";

const SMALL_FILE_BYTES = 700;
const DIRECTORIES = ["", "a", "a/b", "c", "c/_hidden"];
const NAMES = ["x.parquet", "y.parquet", "z.txt", "d"];
const HINTS = [...DIRECTORIES, "a/d", "new/dir", "../x"];

let pool: InventoryPool;
const folders: string[] = [];

beforeAll(async () => {
  pool = createInventoryPool({ workerEntry: await buildEntry("server/src/inventory-worker.ts") });
});

afterAll(async () => {
  await pool.dispose();
  for (const folder of folders) rmSync(folder, { recursive: true });
});

const operation = fc.record({
  kind: fc.constantFrom(
    "create",
    "replace",
    "rewrite",
    "torn",
    "append",
    "delete",
    "rename",
    "rename directory",
    "swap directories",
    "remake directory",
    "remove root",
    "mkdir",
    "chmod",
    "touch",
    "disguise",
  ),
  directory: fc.constantFrom(...DIRECTORIES),
  name: fc.constantFrom(...NAMES),
  toDirectory: fc.constantFrom(...DIRECTORIES),
  toName: fc.constantFrom(...NAMES),
  rows: fc.integer({ min: 1, max: 5 }),
});
type Operation = typeof operation extends fc.Arbitrary<infer T> ? T : never;

/** Operations that make no sense on what is there do nothing. */
function perform(root: string, item: Operation): void {
  const path = join(root, item.directory, item.name);
  try {
    mkdirSync(dirname(path), { recursive: true });
    ACTS[item.kind](path, item, root);
  } catch (error) {
    if (!(error instanceof Error && "code" in error)) throw error;
  }
}

type Act = (path: string, item: Operation, root: string) => void;

const ACTS: Readonly<Record<Operation["kind"], Act>> = {
  create: (path, { rows }) => writeFileSync(path, parquetBytes({ rows })),
  replace: (path, { rows }) => {
    writeFileSync(`${path}.tmp`, parquetBytes({ rows, from: 9 }));
    renameSync(`${path}.tmp`, path);
  },
  // Of the same size, whatever its values.
  rewrite: (path, { rows }) => writeFileSync(path, parquetBytes({ rows: 3, from: rows })),
  torn: (path, { rows }) => writeFileSync(path, parquetBytes({ rows }).slice(0, 50 * rows)),
  append: (path, { rows }) => {
    if (existsSync(path)) appendFileSync(path, parquetBytes({ rows }));
  },
  delete: (path) => rmSync(path, { recursive: true, force: true }),
  rename: (path, { toDirectory, toName }, root) => renameSync(path, join(root, toDirectory, toName)),
  "rename directory": (path, { toDirectory }, root) =>
    renameSync(dirname(path), join(root, toDirectory, "d")),
  "swap directories": (path, { toDirectory }, root) => {
    const [one, other] = [dirname(path), join(root, toDirectory)];
    if (`${one}/`.startsWith(`${other}/`) || `${other}/`.startsWith(`${one}/`)) return;
    renameSync(other, `${root}.swap`);
    renameSync(one, other);
    renameSync(`${root}.swap`, one);
  },
  "remake directory": (path, { rows }) => {
    rmSync(dirname(path), { recursive: true, force: true });
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, parquetBytes({ rows }));
  },
  "remove root": (_, __, root) => rmSync(root, { recursive: true }),
  mkdir: (path) => mkdirSync(path),
  chmod: (path, { rows }) => chmodSync(path, 0o600 + rows),
  // Other content of the same size, with the time that the first files have.
  disguise: (path) => {
    if (existsSync(path)) writeFileSync(path, Buffer.alloc(FILE.length));
    utimesSync(path, LONG_AGO, LONG_AGO);
  },
  touch: (path, { rows }) => utimesSync(path, rows > 2 ? 4e9 : 1000 * rows, rows > 2 ? 4e9 : 1000 * rows),
};

function newFolder(): string {
  const folder = makeRoot();
  folders.push(folder);
  return folder;
}

interface Place {
  readonly root: string;
  readonly cache: string;
}

const FILE = parquetBytes({ rows: 3 });
const LONG_AGO = 1000;

/** Begins with some files, so that most operations find something to act on. */
function newPlace(): Place {
  const folder = newFolder();
  const root = join(folder, "data");
  for (const directory of ["", "a", "a/b", "a/d"]) {
    mkdirSync(join(root, directory), { recursive: true });
    for (const name of NAMES.slice(0, 2)) {
      writeFileSync(join(root, directory, name), FILE);
      utimesSync(join(root, directory, name), LONG_AGO, LONG_AGO);
    }
  }
  return { root, cache: join(folder, "cache") };
}

function inventoryOf({ root, cache }: Place, isKept = true): Inventory {
  const now = (): number => Date.now();
  const snapshots = isKept ? createSnapshotStore(cache, now) : null;
  return createInventory({ root, pool, smallFileBytes: SMALL_FILE_BYTES, now, snapshots });
}

/** Equal to a new look at the disk, and in itself: totals, views, pages and single files say the same. */
async function expectRight(inventory: Inventory, place: Place): Promise<void> {
  const fresh = inventoryOf(place, false);
  await fresh.reconcile();
  const files = filesOf(inventory);
  expect(files).toEqual(filesOf(fresh));
  expect([...inventory.schemaClasses.keys()].sort()).toEqual([...fresh.schemaClasses.keys()].sort());
  expect(inventory.rootMissing).toBe(fresh.rootMissing);
  const totals = createTotals(SMALL_FILE_BYTES);
  for (const file of files) addFile(totals, file);
  expect(inventory.totals).toEqual(totals);
  const view = inventory.view();
  expect(view.fileCount).toBe(files.length);
  const partitions = [...view.partitions()].map(({ partition, files: of }) => ({ partition, files: of }));
  expect(partitions).toEqual(partitionFiles(files));
  expect(files.flatMap((_, at) => view.page(at, 1))).toEqual(files);
  for (const file of files) {
    const { path } = file.kind === "readable" ? file.stats : file.file;
    expect(view.find(path)).toEqual(file);
  }
}

const step = fc.record({
  operations: fc.array(operation, { maxLength: 6 }),
  hints: fc.array(fc.constantFrom(...HINTS), { maxLength: 3 }),
  restarts: fc.boolean(),
});

/** What a client that follows the changes of a dataset knows of it. */
function follow(known: Map<string, unknown>, inventory: Inventory, generation: number): void {
  const changes = inventory.changesSince(generation);
  if (changes.kind === "fresh") throw new Error("so few changes are all remembered");
  const view = inventory.view();
  for (const path of changes.removed) known.delete(path);
  for (const path of changes.changed) known.set(path, view.find(path));
}

describe("after any operations on the file system", () => {
  it("and any of their events lost, a full reconcile is right, also across restarts", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 4 }), async (steps) => {
        const place = newPlace();
        let inventory = inventoryOf(place);
        await inventory.reconcile();
        for (const { operations, hints, restarts } of steps) {
          for (const item of operations) perform(place.root, item);
          await inventory.reconcile(hints);
          if (!restarts) continue;
          await inventory.dispose();
          inventory = inventoryOf(place);
        }
        await inventory.reconcile();
        await expectRight(inventory, place);
        await inventory.dispose();
      }),
      { numRuns: 50 },
    );
  });

  it("hints that name every touched directory are as good as a full reconcile", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(operation, { maxLength: 12 }), async (operations) => {
        const place = newPlace();
        const inventory = inventoryOf(place);
        await inventory.reconcile();
        for (const item of operations) perform(place.root, item);
        const touched = operations.flatMap(({ kind, directory, toDirectory }) =>
          kind === "remove root" ? ["", directory] : [directory, toDirectory],
        );
        const parents = touched.map((path) => (path.includes("/") ? dirname(path) : ""));
        await inventory.reconcile([...new Set([...touched, ...parents])]);
        await expectRight(inventory, place);
      }),
      { numRuns: 50 },
    );
  });

  it("the changes since any generation lead from what was known then to what is known now", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 4 }), fc.nat(3), async (steps, every) => {
        const place = newPlace();
        const inventory = inventoryOf(place);
        const known = new Map<string, unknown>();
        let generation = inventory.generation;
        for (const [at, { operations }] of steps.entries()) {
          for (const item of operations) perform(place.root, item);
          await inventory.reconcile();
          if (at % (every + 1) !== 0) continue;
          follow(known, inventory, generation);
          generation = inventory.generation;
        }
        follow(known, inventory, generation);
        const now = filesOf(inventory).map(
          (file) => [file.kind === "readable" ? file.stats.path : file.file.path, file] as const,
        );
        expect(new Map([...known].sort())).toEqual(new Map([...now].sort()));
      }),
      { numRuns: 40 },
    );
  });
});
