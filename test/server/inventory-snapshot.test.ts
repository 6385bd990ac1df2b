import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import fc from "fast-check";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { createInventory, type Inventory } from "../../server/src/inventory.ts";
import { decodeImage, encodeImage } from "../../server/src/inventory-image.ts";
import { createInventoryPool, type InventoryPool } from "../../server/src/inventory-pool.ts";
import {
  createSnapshotKeeper,
  createSnapshotStore,
  type InventoryImage,
} from "../../server/src/inventory-snapshot.ts";
import { buildEntry } from "../support/build-worker.ts";
import { makeRoot, writeDataset } from "../support/dataset.ts";

const DAY_MS = 86_400_000;

let pool: InventoryPool;
const folders: string[] = [];

beforeAll(async () => {
  pool = createInventoryPool({ workerEntry: await buildEntry("server/src/inventory-worker.ts") });
});

afterAll(async () => {
  await pool.dispose();
  for (const folder of folders) rmSync(folder, { recursive: true });
});

interface Place {
  readonly root: string;
  readonly cache: string;
}

/** Three files; two of them in one directory. */
function newPlace(): Place {
  const folder = makeRoot();
  folders.push(folder);
  const root = writeDataset(join(folder, "data"), {
    "a.parquet": { rows: 1 },
    "day=1/b.parquet": { rows: 2 },
    "day=1/c.parquet": { rows: 3, extra: ["more"] },
  });
  return { root, cache: join(folder, "cache", "inventories") };
}

/** A clock a minute ahead: what a test writes is old enough not to be read twice. */
function inventoryOf({ root, cache }: Place, aheadMs = 60_000): Inventory {
  const now = (): number => Date.now() + aheadMs;
  return createInventory({
    root,
    pool,
    smallFileBytes: 2 ** 20,
    now,
    snapshots: createSnapshotStore(cache, () => Date.now()),
  });
}

/** Footers that a new inventory reads. */
async function readsOf(place: Place, aheadMs?: number): Promise<number> {
  const inventory = inventoryOf(place, aheadMs);
  await inventory.reconcile();
  await inventory.dispose();
  expect(inventory.totals).toMatchObject({ fileCount: 3 });
  return inventory.footerReads;
}

function snapshotIn(cache: string): string {
  const [name = ""] = readdirSync(cache);
  return join(cache, name);
}

describe("an inventory that was known before", () => {
  it("reads no footer again but of what has changed", async () => {
    const place = newPlace();
    expect(await readsOf(place)).toBe(3);
    expect(await readsOf(place)).toBe(0);
    writeDataset(place.root, { "day=1/b.parquet": { rows: 9 } });
    expect(await readsOf(place)).toBe(1);
    expect(await readsOf(place)).toBe(0);
  });

  it("shows all files as added, and nothing before it was compared with the disk", async () => {
    const place = newPlace();
    await readsOf(place);
    const inventory = inventoryOf(place);
    expect(inventory.view().fileCount).toBe(0);
    expect(await inventory.reconcile()).toEqual({ added: 3, changed: 0, removed: 0, generation: 1 });
    expect(inventory.changesSince(0)).toMatchObject({ kind: "changes", removed: [] });
    expect(inventory.schemaClasses.size).toBe(2);
    expect(inventory.totals.totalRows).toBe(6);
    await inventory.dispose();
  });

  it("reads again what was read too soon after its last change", async () => {
    const place = newPlace();
    expect(await readsOf(place, -1000)).toBe(3);
    expect(await readsOf(place)).toBe(3);
    expect(await readsOf(place)).toBe(0);
  });

  it("is kept for its user alone, and nothing is left beside it", async () => {
    const place = newPlace();
    await readsOf(place);
    expect(readdirSync(place.cache)).toEqual([expect.stringMatching(/^[0-9a-f]{32}\.inventory$/)]);
    expect(statSync(snapshotIn(place.cache)).mode & 0o777).toBe(0o600);
    expect(statSync(place.cache).mode & 0o777).toBe(0o700);
  });

  it.skipIf(process.getuid?.() === 0)("is done without where its folder cannot be written", async () => {
    const place = newPlace();
    mkdirSync(place.cache, { recursive: true });
    chmodSync(place.cache, 0o500);
    expect(await readsOf(place)).toBe(3);
    expect(await readsOf(place)).toBe(3);
    chmodSync(place.cache, 0o700);
  });

  it("is done without where a file stands in the way of its folder", async () => {
    const place = { ...newPlace(), cache: "/dev/null/inventories" };
    expect(await readsOf(place)).toBe(3);
    expect(await readsOf(place)).toBe(3);
  });
});

/** The same file with a right sum at its end, as if it had been written so. */
function sealed(bytes: Buffer): Buffer {
  const body = bytes.subarray(0, -4);
  const sum = Buffer.alloc(4);
  sum.writeUInt32LE(crc32(body));
  return Buffer.concat([body, sum]);
}

function withWord(bytes: Buffer, at: number, value: number): Buffer {
  const changed = Buffer.from(bytes);
  changed.writeUInt32LE(value, at);
  return sealed(changed);
}

const MAGIC_BYTES = 8;
const headerEnd = (bytes: Buffer): number => MAGIC_BYTES + 8 + bytes.readUInt32LE(MAGIC_BYTES + 4);

describe("a snapshot that cannot be used", () => {
  it.each<[string, (bytes: Buffer) => Buffer]>([
    ["empty", () => Buffer.alloc(0)],
    ["a few bytes", (bytes) => bytes.subarray(0, 11)],
    ["truncated", (bytes) => bytes.subarray(0, -1)],
    ["truncated by half", (bytes) => bytes.subarray(0, bytes.length / 2)],
    ["longer", (bytes) => Buffer.concat([bytes, Buffer.alloc(1)])],
    ["all zeros", (bytes) => Buffer.alloc(bytes.length)],
    ["of another version", (bytes) => withWord(bytes, MAGIC_BYTES, 2)],
    ["a huge header", (bytes) => withWord(bytes, MAGIC_BYTES + 4, 0xffff_ffff)],
    ["a huge listing", (bytes) => withWord(bytes, headerEnd(bytes) + 4, 0xffff_ff00)],
    ["a short listing", (bytes) => withWord(bytes, headerEnd(bytes) + 4, 3)],
    ["no header", (bytes) => withWord(bytes, MAGIC_BYTES + 4, 0)],
  ])("is dropped and made anew: %s", async (_, damage) => {
    const place = newPlace();
    await readsOf(place);
    const path = snapshotIn(place.cache);
    writeFileSync(path, damage(readFileSync(path)));
    expect(await readsOf(place)).toBe(3);
    expect(await readsOf(place)).toBe(0);
  });

  it("is one of another directory at the same path", async () => {
    const place = newPlace();
    await readsOf(place);
    renameSync(place.root, `${place.root}-old`);
    mkdirSync(place.root);
    for (const name of ["a.parquet", "day=1"])
      renameSync(join(`${place.root}-old`, name), join(place.root, name));
    expect(await readsOf(place)).toBe(3);
  });

  it("is any with a flipped bit", async () => {
    const place = newPlace();
    await readsOf(place);
    const bytes = readFileSync(snapshotIn(place.cache));
    const { dev, ino } = statSync(place.root, { bigint: true });
    const identity = { root: place.root, key: `${dev}:${ino}` };
    expect((await decodeImage(bytes, identity))?.directories.size).toBe(2);
    await fc.assert(
      fc.asyncProperty(fc.nat(bytes.length - 1), fc.nat(7), async (at, bit) => {
        const flipped = Buffer.from(bytes);
        flipped[at] = (flipped[at] ?? 0) ^ (1 << bit);
        expect(await decodeImage(flipped, identity)).toBeNull();
      }),
      { numRuns: 500 },
    );
  });
});

describe("the folder of snapshots", () => {
  it("loses what was not used for a month, and what a crash left, whenever one is saved", async () => {
    const place = newPlace();
    await readsOf(place);
    const rows = [
      ["old.inventory", 31 * DAY_MS],
      ["young.inventory", 29 * DAY_MS],
      ["old.inventory.1.tmp", 0.1 * DAY_MS],
      ["young.inventory.1.tmp", 0],
      ["foreign", 99 * DAY_MS],
    ] as const;
    for (const [name, ageMs] of rows) {
      writeFileSync(join(place.cache, name), "");
      utimesSync(join(place.cache, name), (Date.now() - ageMs) / 1000, (Date.now() - ageMs) / 1000);
    }
    utimesSync(snapshotIn(place.cache), 1, 1);
    writeDataset(place.root, { "a.parquet": { rows: 7 } });
    await readsOf(place);
    const left = rows.map(([name]) => name).filter((name) => existsSync(join(place.cache, name)));
    expect(left).toEqual(["young.inventory", "young.inventory.1.tmp", "foreign"]);
    expect(await readsOf(place)).toBe(0);
  });

  it("is nothing to a root that is gone", async () => {
    const place = newPlace();
    const inventory = inventoryOf(place);
    await inventory.reconcile();
    rmSync(place.root, { recursive: true });
    await inventory.reconcile();
    await inventory.dispose();
    expect(existsSync(place.cache)).toBe(false);
  });
});

describe("keeping a snapshot up to date", () => {
  afterEach(() => {
    vi.useRealTimers();
  });

  const IMAGE: InventoryImage = { directories: new Map(), classes: new Map() };

  /** Seconds at which it was saved, after changes at the given seconds; closed at last. */
  async function savesAt(changesAt: readonly number[], untilSecond: number): Promise<readonly number[]> {
    vi.useFakeTimers();
    const saves: number[] = [];
    let second = 0;
    const keeper = createSnapshotKeeper({
      root: "/data",
      take: () => IMAGE,
      store: {
        load: async () => null,
        save: async () => {
          saves.push(second);
        },
      },
    });
    for (; second < untilSecond; second += 1) {
      if (changesAt.includes(second)) keeper.changed();
      await vi.advanceTimersByTimeAsync(1000);
    }
    await keeper.close();
    return saves;
  }

  const every = (from: number, to: number): readonly number[] =>
    Array.from({ length: to - from + 1 }, (_, index) => from + index);

  it.each<[string, readonly number[], number, readonly number[]]>([
    ["nothing where nothing changed", [], 60, []],
    ["soon after the last of some changes", [5, 6, 7], 60, [8]],
    ["now and then during a stream, and once it ended", every(0, 70), 130, [29, 59, 89]],
    ["a lone change soon after another later", [5, 10], 60, [6, 36]],
    ["what is not saved yet once it is closed", [5], 6, [6]],
  ])("saves %s", async (_, changesAt, untilSecond, saves) => {
    expect(await savesAt(changesAt, untilSecond)).toEqual(saves);
  });
});

describe("encoding", () => {
  it("leaves out empty pieces, whose sum would begin anew", () => {
    const pieces = [
      ...encodeImage({ directories: new Map(), classes: new Map() }, { root: "/", key: "1:2" }),
    ];
    const whole = Buffer.concat(pieces);
    expect(whole.readUInt32LE(whole.length - 4)).toBe(crc32(whole.subarray(0, -4)));
  });
});
