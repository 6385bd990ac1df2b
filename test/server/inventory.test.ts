import {
  appendFileSync,
  chmodSync,
  linkSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { createInventory, type Inventory } from "../../server/src/inventory.ts";
import { createInventoryPool, type InventoryPool } from "../../server/src/inventory-pool.ts";
import { buildEntry } from "../support/build-worker.ts";
import { makeRoot, parquetBytes, writeDataset } from "../support/dataset.ts";
import { filesOf } from "../support/inventory.ts";

let pool: InventoryPool;
let workerEntry = "";
const roots: string[] = [];

beforeAll(async () => {
  workerEntry = await buildEntry("server/src/inventory-worker.ts");
  pool = createInventoryPool({ workerEntry });
});

afterAll(async () => {
  await pool.dispose();
  for (const root of roots) rmSync(root, { recursive: true });
});

function newRoot(): string {
  const root = makeRoot();
  roots.push(root);
  return root;
}

/** A clock a minute ahead: what a test writes is old enough not to be read twice. */
function inventoryOf(
  root: string,
  given: { readonly pool?: InventoryPool; readonly aheadMs?: number } = {},
): Inventory {
  const { aheadMs = 60_000 } = given;
  return createInventory({
    root,
    pool: given.pool ?? pool,
    smallFileBytes: 2 ** 20,
    now: () => Date.now() + aheadMs,
  });
}

function pathsOf(inventory: Inventory): readonly string[] {
  return filesOf(inventory).map((file) =>
    file.kind === "readable" ? file.stats.path : `!${file.file.path}`,
  );
}

describe("reading footers", () => {
  it("reads every footer once", async () => {
    const root = writeDataset(newRoot(), {
      "a.parquet": { rows: 10 },
      "day=1/b.parquet": { rows: 20 },
      "day=1/c.parquet": { rows: 30, extra: ["more"] },
    });
    const inventory = inventoryOf(root);
    expect(await inventory.reconcile()).toEqual({ added: 3, changed: 0, removed: 0, generation: 1 });
    expect(inventory.totals).toMatchObject({ fileCount: 3, totalRows: 60, smallFileCount: 3 });
    expect(pathsOf(inventory)).toEqual(["a.parquet", "day=1/b.parquet", "day=1/c.parquet"]);
    expect(inventory.footerReads).toBe(3);
    const files = filesOf(inventory);
    expect(await inventory.reconcile()).toEqual({ added: 0, changed: 0, removed: 0, generation: 1 });
    expect(inventory.footerReads).toBe(3);
    expect(filesOf(inventory)).toEqual(files);
  });

  it("keeps one class for each schema and drops those without files", async () => {
    const root = writeDataset(newRoot(), {
      "a.parquet": { rows: 1 },
      "b.parquet": { rows: 2 },
      "c.parquet": { rows: 3, extra: ["more"] },
    });
    const inventory = inventoryOf(root);
    await inventory.reconcile();
    expect(inventory.schemaClasses.size).toBe(2);
    for (const file of filesOf(inventory)) {
      const id = file.kind === "readable" ? file.stats.schemaClass : "";
      expect(inventory.schemaClasses.get(id)?.id).toMatch(/^[0-9a-f]{16}$/);
    }
    rmSync(join(root, "c.parquet"));
    await inventory.reconcile();
    expect(inventory.schemaClasses.size).toBe(1);
  });

  it("reads again what may have changed, and not what our own run touched", async () => {
    const root = writeDataset(newRoot(), { "a.parquet": { rows: 1 }, "b.parquet": { rows: 2 } });
    const inventory = inventoryOf(root);
    await inventory.reconcile();
    linkSync(join(root, "a.parquet"), `${root}-pin`);
    roots.push(`${root}-pin`);
    await inventory.reconcile(null, new Set(["a.parquet"]));
    expect(inventory.footerReads).toBe(2);
    chmodSync(join(root, "b.parquet"), 0o600);
    await inventory.reconcile();
    expect(inventory.footerReads).toBe(3);
    utimesSync(join(root, "b.parquet"), 1000, 1000);
    await inventory.reconcile();
    expect(inventory.footerReads).toBe(4);
    writeDataset(root, { "a.parquet": { rows: 7 } });
    expect(await inventory.reconcile()).toMatchObject({ changed: 1 });
    expect(inventory.totals.totalRows).toBe(9);
  });

  it("reads again what was read too soon after its last change", async () => {
    const root = writeDataset(newRoot(), { "a.parquet": { rows: 1 } });
    const inventory = inventoryOf(root, { aheadMs: -1000 });
    await inventory.reconcile();
    expect(await inventory.reconcile()).toMatchObject({ added: 0, changed: 0 });
    expect(inventory.footerReads).toBe(2);
  });

  it("does not believe a time of modification in the future", async () => {
    const root = writeDataset(newRoot(), { "a.parquet": { rows: 1 } });
    utimesSync(join(root, "a.parquet"), 4e9, 4e9);
    const inventory = inventoryOf(root);
    await inventory.reconcile();
    const [file] = filesOf(inventory);
    expect(file?.kind === "readable" && file.stats.changedMs).toBeLessThan(Date.now() + 60_000);
  });

  it("quarantines an unfinished file until it is finished", async () => {
    const bytes = parquetBytes({ rows: 50 });
    const root = writeDataset(newRoot(), { "a.parquet": bytes.slice(0, 300), "b.parquet": { rows: 1 } });
    const inventory = inventoryOf(root);
    await inventory.reconcile();
    expect(inventory.totals.unreadableCount).toBe(1);
    await inventory.reconcile();
    expect(inventory.footerReads).toBe(2);
    appendFileSync(join(root, "a.parquet"), bytes.slice(300));
    await inventory.reconcile();
    expect(inventory.totals).toMatchObject({ unreadableCount: 0, totalRows: 51 });
  });
});

describe("walking", () => {
  it("takes what readers of the directory take", async () => {
    const file = { rows: 1 };
    const root = writeDataset(newRoot(), {
      "A.parquet": file,
      "a.parquet": file,
      "x.PARQUET": file,
      ".parquet": file,
      "_hidden.parquet": file,
      "_year=2024/a.parquet": file,
      "_tmp/a.parquet": file,
      ".data.tamp/a.parquet": file,
      "a directory.parquet/'b\n*[1]{2}?\\%2F;DROP.parquet": file,
      "k=v=w/~.parquet": file,
      "s3:/-rf.parquet": file,
      "caf\u00e9.parquet": file,
      "cafe\u0301.parquet": file,
    });
    symlinkSync(join(root, "A.parquet"), join(root, "link.parquet"));
    symlinkSync(root, join(root, "loop"));
    symlinkSync("/nowhere", join(root, "dangling.parquet"));
    const inventory = inventoryOf(root);
    await inventory.reconcile();
    expect(pathsOf(inventory)).toEqual([
      "A.parquet",
      "_year=2024/a.parquet",
      "a directory.parquet/'b\n*[1]{2}?\\%2F;DROP.parquet",
      "a.parquet",
      "cafe\u0301.parquet",
      "caf\u00e9.parquet",
      "k=v=w/~.parquet",
      "s3:/-rf.parquet",
    ]);
  });

  it.skipIf(process.platform !== "linux")(
    "shows a name that is not UTF-8 escaped, as unsupported",
    async () => {
      const root = writeDataset(newRoot(), { "a\uFFFD.parquet": { rows: 1 } });
      writeFileSync(
        Buffer.concat([Buffer.from(`${root}/a`), Buffer.from([0xff]), Buffer.from(".parquet")]),
        "",
      );
      const inventory = inventoryOf(root);
      await inventory.reconcile();
      expect(pathsOf(inventory)).toEqual(["!a\\xff.parquet", "a\uFFFD.parquet"]);
    },
  );

  it("finds who owns the directory, and what goes stale", async () => {
    const root = writeDataset(newRoot(), {
      "delta/_delta_log/0.json": Buffer.from("{}"),
      "delta/a.parquet": { rows: 1 },
      "table/metadata/version-hint.text": Buffer.from("1"),
      "table/data/b.parquet": { rows: 1 },
      "plain/c.parquet": { rows: 1 },
      "plain/_metadata": Buffer.from(""),
    });
    const inventory = inventoryOf(root);
    await inventory.reconcile();
    expect(inventory.foreign).toEqual([
      { directory: "delta", format: "Delta Lake" },
      { directory: "table", format: "Apache Iceberg" },
    ]);
    expect(inventory.warnings).toEqual([expect.stringMatching(/^plain\/_metadata /)]);
    const inside = inventoryOf(join(root, "table/data"));
    await inside.reconcile();
    expect(inside.foreign).toEqual([{ directory: join(root, "table"), format: "Apache Iceberg" }]);
  });

  it("finds who owns the directory above, also where the root is reached through a link", async () => {
    const table = newRoot();
    const link = join(newRoot(), "link");
    writeDataset(table, { "data/a.parquet": { rows: 1 } });
    mkdirSync(join(table, "_delta_log"));
    symlinkSync(join(table, "data"), link);
    const inventory = inventoryOf(link);
    await inventory.reconcile();
    expect(pathsOf(inventory)).toEqual(["a.parquet"]);
    expect(inventory.foreign.map(({ directory }) => directory)).toEqual([table]);
  });

  it("survives a root that is missing, appears and goes", async () => {
    const root = join(newRoot(), "later");
    const inventory = inventoryOf(root);
    expect(await inventory.reconcile()).toMatchObject({ added: 0 });
    expect(inventory.rootMissing).toBe(true);
    writeDataset(root, { "a.parquet": { rows: 1 } });
    expect(await inventory.reconcile([""])).toMatchObject({ added: 1 });
    expect(inventory.rootMissing).toBe(false);
    rmSync(root, { recursive: true });
    expect(await inventory.reconcile(["gone"])).toMatchObject({ removed: 1 });
    expect(inventory.rootMissing).toBe(true);
    expect(inventory.totals.fileCount).toBe(0);
  });

  it("follows a directory that was moved, though only its new parent is hinted", async () => {
    const root = writeDataset(newRoot(), { "x/d/e/a.parquet": { rows: 1 }, "y/b.parquet": { rows: 1 } });
    const inventory = inventoryOf(root);
    await inventory.reconcile();
    renameSync(join(root, "x/d"), join(root, "y/d"));
    await inventory.reconcile(["y"]);
    expect(pathsOf(inventory)).toEqual(["y/b.parquet", "y/d/e/a.parquet"]);
  });
});

describe("what readers hold", () => {
  it("stays as it was, whatever happens next", async () => {
    const root = writeDataset(newRoot(), { "a.parquet": { rows: 1 }, "day=1/b.parquet": { rows: 2 } });
    const inventory = inventoryOf(root);
    await inventory.reconcile();
    const view = inventory.view();
    const before = [...view.partitions()].flatMap(({ files }) => files);
    rmSync(join(root, "day=1"), { recursive: true });
    writeDataset(root, { "a.parquet": { rows: 9 }, "c.parquet": { rows: 1 } });
    await inventory.reconcile();
    expect([...view.partitions()].flatMap(({ files }) => files)).toEqual(before);
    expect(view.page(0, 9)).toEqual(before);
    expect(view.find("day=1/b.parquet")).toEqual(before[1]);
    expect([view.generation, view.fileCount]).toEqual([1, 2]);
    expect([inventory.view().generation, inventory.view().find("day=1/b.parquet")]).toEqual([2, null]);
  });

  it("is in the order of paths, also where directories stand between files", async () => {
    const paths = ["a-b.parquet", "a.parquet", "a.parquet0/x.parquet", "a/b-c/x.parquet", "a/b.parquet"];
    const more = ["a/b/x.parquet", "a0.parquet", "b/x.parquet", "\u{1F600}/x.parquet", "\uFF5E.parquet"];
    const all = [...paths, ...more].sort();
    const root = writeDataset(newRoot(), Object.fromEntries(all.map((path) => [path, { rows: 1 }])));
    const inventory = inventoryOf(root);
    await inventory.reconcile();
    expect(pathsOf(inventory)).toEqual(all);
    const page = inventory.view().page(3, 4);
    expect(page).toEqual(filesOf(inventory).slice(3, 7));
    expect(inventory.view().page(9, 5)).toEqual(filesOf(inventory).slice(9));
    expect(inventory.view().page(10, 5)).toEqual([]);
  });

  it("counts what may still be written, and what of it cannot be read, in some directories or in all", async () => {
    const torn = parquetBytes({ rows: 5 }).slice(0, 200);
    const root = writeDataset(newRoot(), {
      "a.parquet": torn,
      "day=1/b.parquet": { rows: 1 },
      "day=1/c.parquet": torn,
      "day=2/d.parquet": torn,
    });
    const [firstS = 0, ...laterS] = [1, 2, 3, 4].map((second) => Math.ceil(Date.now() / 1000) + second);
    for (const [at, path] of ["a.parquet", "day=1/b.parquet", "day=1/c.parquet", "day=2/d.parquet"].entries())
      utimesSync(join(root, path), firstS + at, firstS + at);
    const inventory = inventoryOf(root);
    await inventory.reconcile();
    const view = inventory.view();
    const isDay1 = (partition: string): boolean => partition === "day=1";
    const found = [firstS - 1, firstS, ...laterS].map((second) => [
      view.countUnsettled(second * 1000),
      view.countUnsettled(second * 1000, isDay1),
    ]);
    expect(found.map((counts) => counts.map(({ files, unreadable }) => [files, unreadable]))).toEqual([
      [
        [4, 3],
        [2, 1],
      ],
      [
        [3, 2],
        [2, 1],
      ],
      [
        [2, 2],
        [1, 1],
      ],
      [
        [1, 1],
        [0, 0],
      ],
      [
        [0, 0],
        [0, 0],
      ],
    ]);
  });

  it("counts small files by another bound at once, also while the disk is being compared", async () => {
    const root = writeDataset(newRoot(), { "a.parquet": { rows: 1 }, "day=1/b.parquet": { rows: 2 } });
    const inventory = inventoryOf(root);
    const first = inventory.reconcile();
    inventory.recount(1);
    await first;
    expect(inventory.totals).toMatchObject({ fileCount: 2, smallFileCount: 0 });
    writeDataset(root, { "day=1/b.parquet": { rows: 3 } });
    const second = inventory.reconcile();
    await new Promise((resolve) => setImmediate(resolve));
    inventory.recount(2 ** 20);
    expect(inventory.totals).toMatchObject({ smallFileCount: 2, smallFileBound: 2 ** 20 });
    expect(await second).toMatchObject({ added: 0, changed: 1, removed: 0 });
    expect(inventory.totals).toMatchObject({ fileCount: 2, smallFileCount: 2, totalRows: 4 });
  });
});

describe("a reader that hangs or dies", () => {
  /** Speaks the worker's messages; a name says what reading it does to the thread. */
  const FAKE_WORKER = `
    import { parentPort, workerData } from "node:worker_threads";
    const pulse = new Int32Array(workerData.pulse);
    Atomics.add(pulse, 0, 1);
    const hoard = [];
    parentPort.on("message", ({ id, request }) => {
      Atomics.store(pulse, 2, id);
      const replies = request.paths.map((path, index) => {
        Atomics.store(pulse, 1, index);
        Atomics.add(pulse, 0, 1);
        while (path.includes("hang"));
        while (path.includes("hoard")) hoard.push([id]);
        if (path.includes("throw")) throw new Error("torn");
        return { kind: "unsupported", stamp: null, detail: path };
      });
      parentPort.postMessage({ id, kind: "footers", replies, classes: [] });
    });`;

  it.each([
    ["hang", /no progress for 300 ms/],
    ["hoard", /memory/],
    ["throw", /torn/],
  ])("costs that file alone: %s", async (bad, detail) => {
    const entry = join(newRoot(), "worker.mjs");
    writeFileSync(entry, FAKE_WORKER);
    const own = createInventoryPool({ workerEntry: entry, stallMs: 300, memoryMb: 16 });
    const paths = Array.from({ length: 700 }, (_, index) =>
      index === 300 || index === 302 ? bad : `f${index}`,
    );
    const { replies } = await own.read(paths);
    expect(replies.map((reply) => (reply.kind === "unsupported" ? reply.detail : reply.kind))).toEqual(
      paths.map((path) => (path === bad ? "quarantined" : path)),
    );
    expect(replies[300]).toMatchObject({ detail: expect.stringMatching(detail) });
    await own.dispose();
  });

  it("is ended once it had nothing to do for a while, and started again for more", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const folder = newRoot();
    const entry = join(folder, "worker.mjs");
    const starts = join(folder, "starts");
    const note = `(await import("node:fs")).appendFileSync(${JSON.stringify(starts)}, "x");`;
    writeFileSync(entry, `${FAKE_WORKER}\n${note}`);
    const own = createInventoryPool({ workerEntry: entry, idleMs: 5000 });
    for (const idleMs of [4000, 4000, 6000, 0, 6000]) {
      expect((await own.read(["f"])).replies).toHaveLength(1);
      vi.advanceTimersByTime(idleMs);
    }
    await own.read(["f"]);
    await own.dispose();
    vi.useRealTimers();
    expect(readFileSync(starts, "utf8")).toBe("xxx");
  });

  it("rejects where there is no worker to start", async () => {
    const own = createInventoryPool({ workerEntry: "/nowhere/worker.mjs" });
    await expect(inventoryOf(newRoot(), { pool: own }).reconcile()).rejects.toThrow(/cannot be used/);
    await own.dispose();
  });
});
