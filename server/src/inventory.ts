import {
  addFile,
  createTotals,
  type DataFile,
  type DatasetTotals,
  fileFacts,
  partitionOf,
  removeFile,
} from "@tamp/core";
import { type FooterReply, joinClasses, type SchemaClass } from "./inventory-messages.ts";
import type { InventoryPool } from "./inventory-pool.ts";
import { scanDirectories, scanWhole } from "./inventory-scan.ts";
import {
  type Comparison,
  compareScan,
  isRacy,
  type KnownDirectory,
  type KnownFile,
} from "./inventory-state.ts";
import { changedMs, type ForeignHit, type ScannedFile } from "./scan.ts";

export type { SchemaClass } from "./inventory-messages.ts";

/** How many files a reconcile found new, different or gone. */
export interface InventoryChange {
  readonly added: number;
  readonly changed: number;
  readonly removed: number;
  readonly generation: number;
}

/** What is known of one dataset's files, kept up by comparing with the disk. */
export interface Inventory {
  /** Rises with every reconcile that changed something. */
  readonly generation: number;
  readonly rootMissing: boolean;
  readonly totals: DatasetTotals;
  readonly schemaClasses: ReadonlyMap<string, SchemaClass>;
  /** Table formats and jobs that own directories of the dataset, or the dataset itself. */
  readonly foreign: readonly ForeignHit[];
  readonly warnings: readonly string[];
  /** Footers read so far: what has not changed is not read again. */
  readonly footerReads: number;
  /** Sorted by path; the same array until something changes. */
  files(): readonly DataFile[];
  /**
   * Compares with the disk, wholly (null) or in some directories and what is new below them. Calls queue up.
   * `ownTouched`: paths that our own run linked or renamed, whose new ctime is no sign of a change.
   */
  reconcile(
    directories?: readonly string[] | null,
    ownTouched?: ReadonlySet<string>,
  ): Promise<InventoryChange>;
  /** Counts small files by another bound from now on; reads nothing. */
  recount(smallFileBytes: number): void;
  dispose(): Promise<void>;
}

export interface InventoryOptions {
  /** The dataset root; it need not exist yet. */
  readonly root: string;
  readonly pool: InventoryPool;
  readonly smallFileBytes: number;
  readonly now: () => number;
}

export function createInventory(options: InventoryOptions): Inventory {
  return new HeldInventory(options);
}

const NOTHING_TOUCHED: ReadonlySet<string> = new Set();

class HeldInventory implements Inventory {
  generation = 0;
  footerReads = 0;
  rootMissing = true;
  totals: DatasetTotals;
  readonly #options: InventoryOptions;
  readonly #directories = new Map<string, KnownDirectory>();
  readonly #classes = new Map<string, SchemaClass>();
  #ancestors: readonly ForeignHit[] = [];
  #sorted: readonly DataFile[] | null = null;
  #last: Promise<unknown> = Promise.resolve();

  constructor(options: InventoryOptions) {
    this.#options = options;
    this.totals = createTotals(options.smallFileBytes);
  }

  get schemaClasses(): ReadonlyMap<string, SchemaClass> {
    return this.#classes;
  }

  get foreign(): readonly ForeignHit[] {
    const own = [...this.#directories.values()].flatMap(({ path, foreign }) =>
      foreign === null ? [] : [{ directory: ownedDirectory(path), format: foreign }],
    );
    return [...this.#ancestors, ...own];
  }

  get warnings(): readonly string[] {
    return [...this.#directories.values()].flatMap(({ warnings }) => warnings);
  }

  files(): readonly DataFile[] {
    this.#sorted ??= [...this.#directories.values()]
      .flatMap((directory) => [...directory.files.values()].map((known) => known.file))
      .sort((a, b) => (fileFacts(a).path < fileFacts(b).path ? -1 : 1));
    return this.#sorted;
  }

  reconcile(
    directories: readonly string[] | null = null,
    ownTouched: ReadonlySet<string> = NOTHING_TOUCHED,
  ): Promise<InventoryChange> {
    const next = this.#last.then(() => this.#reconcile(directories, ownTouched));
    this.#last = next.catch(() => undefined);
    return next;
  }

  recount(smallFileBytes: number): void {
    this.totals = createTotals(smallFileBytes);
    for (const file of this.files()) addFile(this.totals, file);
  }

  async dispose(): Promise<void> {
    await this.#last;
  }

  /** The maps change only after the last wait, so that readers in between see one state of the dataset. */
  async #reconcile(
    directories: readonly string[] | null,
    ownTouched: ReadonlySet<string>,
  ): Promise<InventoryChange> {
    const { root, pool, now } = this.#options;
    const scanned =
      directories === null || this.rootMissing
        ? await scanWhole(pool, root, now())
        : await scanDirectories({ pool, root, nowMs: now(), known: this.#directories, directories });
    const comparison = compareScan(this.#directories, scanned, ownTouched);
    const readMs = now();
    const read = await pool.read(comparison.toRead.map(({ path }) => `${root}/${path}`));
    this.footerReads += comparison.toRead.length;
    for (const item of read.classes)
      this.#classes.set(item.id, joinClasses(this.#classes.get(item.id), item));
    const found = comparison.toRead.map((file, index) => knownFile(file, read.replies[index], readMs));
    return this.#apply(comparison, found);
  }

  #apply(comparison: Comparison, found: readonly FoundFile[]): InventoryChange {
    const tally = { added: 0, changed: 0, removed: 0 };
    let otherwise = comparison.rootMissing !== this.rootMissing;
    for (const path of comparison.removed) tally.removed += this.#forget(path);
    for (const path of comparison.goneDirectories) this.#directories.delete(path);
    for (const directory of comparison.directories) otherwise = this.#list(directory) || otherwise;
    for (const { path, known } of [...comparison.kept, ...found]) this.#put(path, known, tally);
    if (comparison.ancestors !== null) {
      otherwise ||= JSON.stringify(comparison.ancestors) !== JSON.stringify(this.#ancestors);
      this.#ancestors = comparison.ancestors;
    }
    this.rootMissing = comparison.rootMissing;
    for (const id of this.#classes.keys()) {
      if (!this.totals.schemaClasses.has(id)) this.#classes.delete(id);
    }
    if (otherwise || tally.added + tally.changed + tally.removed > 0) this.generation += 1;
    return { ...tally, generation: this.generation };
  }

  /** True where what is said of the directory as a whole is new. */
  #list({ path, key, foreign, warnings }: KnownDirectory): boolean {
    const before = this.#directories.get(path);
    this.#directories.set(path, { path, key, foreign, warnings, files: before?.files ?? new Map() });
    return (before?.foreign ?? null) !== foreign || (before?.warnings ?? []).join() !== warnings.join();
  }

  #put(
    path: string,
    known: KnownFile | null,
    tally: { added: number; changed: number; removed: number },
  ): void {
    const files = this.#directories.get(partitionOf(path))?.files;
    const before = files?.get(path);
    if (known === null) {
      tally.removed += this.#forget(path);
      return;
    }
    files?.set(path, known);
    // Reading a file again that could not be proved unchanged mostly finds it unchanged.
    if (before !== undefined && sameFile(before.file, known.file)) return;
    if (before !== undefined) removeFile(this.totals, before.file);
    addFile(this.totals, known.file);
    this.#sorted = null;
    if (before === undefined) tally.added += 1;
    else tally.changed += 1;
  }

  #forget(path: string): number {
    const files = this.#directories.get(partitionOf(path))?.files;
    const known = files?.get(path);
    if (known === undefined) return 0;
    files?.delete(path);
    removeFile(this.totals, known.file);
    this.#sorted = null;
    return 1;
  }
}

interface FoundFile {
  readonly path: string;
  /** Null for a file that vanished before its footer was read. */
  readonly known: KnownFile | null;
}

function knownFile(scanned: ScannedFile, reply: FooterReply | undefined, readMs: number): FoundFile {
  const { path, otherDevice } = scanned;
  if (reply === undefined || reply.kind === "gone") return { path, known: null };
  const stamp = reply.stamp === null || reply.stamp.inode === "" ? scanned.stamp : reply.stamp;
  const { sizeBytes, mtimeNs, inode } = stamp;
  const facts = { path, sizeBytes, mtimeNs, inode, otherDevice, changedMs: changedMs(stamp, readMs) };
  // A file that was written to during the read is read again, whatever its times say.
  const racy = reply.kind === "changed" || isRacy(stamp, readMs);
  return { path, known: { file: dataFile(facts, reply), stamp, racy } };
}

type Facts = Omit<Extract<DataFile, { kind: "unreadable" }>["file"], "reason" | "detail">;

function dataFile(facts: Facts, reply: Exclude<FooterReply, { readonly kind: "gone" }>): DataFile {
  switch (reply.kind) {
    case "footer": {
      const { aids, largestRowGroupRows, ...stats } = reply.facts;
      return { kind: "readable", stats: { ...facts, ...stats } };
    }
    case "changed":
      return unreadable(facts, "quarantined", "changed while being read");
    default:
      return unreadable(facts, reply.kind, reply.detail);
  }
}

function unreadable(facts: Facts, reason: "quarantined" | "unsupported", detail: string): DataFile {
  return { kind: "unreadable", file: { ...facts, reason, detail } };
}

function sameFile(a: DataFile, b: DataFile): boolean {
  return a === b || JSON.stringify(a) === JSON.stringify(b);
}

/** An Iceberg table's own directory is the one above its `metadata`. */
function ownedDirectory(path: string): string {
  return path === "metadata" || path.endsWith("/metadata") ? partitionOf(path) : path;
}
