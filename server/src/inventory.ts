import { createTotals, type DatasetTotals, partitionOf } from "@tamp/core";
import { applyBlock, type FileBlock, recounted, type SharedFacts, sumUp } from "./inventory-block.ts";
import { type Changes, type ChangeTally, createChangeLog, createTally } from "./inventory-changes.ts";
import { joinClasses, type SchemaClass } from "./inventory-messages.ts";
import type { InventoryPool } from "./inventory-pool.ts";
import { readFooters } from "./inventory-read.ts";
import { type DatasetScan, scanDirectories, scanWhole } from "./inventory-scan.ts";
import {
  createSnapshotKeeper,
  type InventoryImage,
  type SnapshotKeeper,
  type SnapshotStore,
} from "./inventory-snapshot.ts";
import {
  beforeOf,
  type Draft,
  draftOf,
  goneOf,
  noteAll,
  replacementOf,
  sameTelling,
  settled,
} from "./inventory-state.ts";
import { createView, type InventoryView } from "./inventory-view.ts";
import type { ForeignHit, ScannedDirectory } from "./scan.ts";
import { createSlices } from "./slices.ts";

export type { Changes } from "./inventory-changes.ts";
export type { SchemaClass } from "./inventory-messages.ts";
export type { InventoryView } from "./inventory-view.ts";

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
  /** What is known now; stays as it is whatever happens next. */
  view(): InventoryView;
  /** Paths that changed or went since a generation was the newest. */
  changesSince(generation: number): Changes;
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
  /** What was known when the dataset was closed last; null or left out to begin with nothing. */
  readonly snapshots?: SnapshotStore | null;
  /** Above all that an earlier inventory of the same dataset in this process reached. */
  readonly firstGeneration?: number;
}

export function createInventory(options: InventoryOptions): Inventory {
  return new HeldInventory(options);
}

const NOTHING_TOUCHED: ReadonlySet<string> = new Set();
const MOST_INTERNED = 10_000;
/** Directories are drafted and finished in waves of so many files: a draft takes more memory than its block. */
const FILES_PER_WAVE = 8192;

class HeldInventory implements Inventory {
  generation: number;
  footerReads = 0;
  rootMissing = true;
  totals: DatasetTotals;
  schemaClasses: ReadonlyMap<string, SchemaClass> = new Map();
  readonly #options: InventoryOptions;
  readonly #keeper: SnapshotKeeper | null;
  readonly #log: ReturnType<typeof createChangeLog>;
  readonly #interned = new Map<string, SharedFacts>();
  /** Copied before it is changed where a view shares it. */
  #directories = new Map<string, FileBlock>();
  #view: InventoryView | null = null;
  #isShared = false;
  #ancestors: readonly ForeignHit[] = [];
  #told: Tellings | null = null;
  #last: Promise<unknown> = Promise.resolve();
  /** What an earlier process knew; null once it was compared with the disk. */
  #loaded: Promise<Loaded | null> | null = null;
  #isFirst = true;

  constructor(options: InventoryOptions) {
    const { root, snapshots = null, firstGeneration = 0, smallFileBytes } = options;
    this.#options = options;
    this.generation = firstGeneration;
    this.#log = createChangeLog(firstGeneration);
    this.totals = createTotals(smallFileBytes);
    this.#keeper =
      snapshots === null ? null : createSnapshotKeeper({ store: snapshots, root, take: () => this.#image() });
  }

  get foreign(): readonly ForeignHit[] {
    return this.#tellings().foreign;
  }

  get warnings(): readonly string[] {
    return this.#tellings().warnings;
  }

  view(): InventoryView {
    const { generation, totals } = this;
    this.#isShared = true;
    this.#view ??= createView({
      generation,
      smallFileBytes: totals.smallFileBound,
      fileCount: totals.fileCount,
      directories: this.#directories,
    });
    return this.#view;
  }

  changesSince(generation: number): Changes {
    return this.#log.since(generation);
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
    const totals = { ...this.totals, smallFileBound: smallFileBytes, smallFileCount: 0, smallFileBytes: 0 };
    const directories = new Map<string, FileBlock>();
    for (const [path, block] of this.#directories) {
      const next = recounted(block, smallFileBytes);
      directories.set(path, next);
      totals.smallFileCount += next.sums.smallFiles;
      totals.smallFileBytes += next.sums.smallBytes;
    }
    this.totals = totals;
    this.#directories = directories;
    this.#isShared = false;
    this.#view = null;
  }

  async dispose(): Promise<void> {
    await this.#last;
    await this.#keeper?.close();
  }

  async #reconcile(
    directories: readonly string[] | null,
    ownTouched: ReadonlySet<string>,
  ): Promise<InventoryChange> {
    const { root, pool } = this.#options;
    if (this.#isFirst) this.#loaded ??= this.#load();
    let known: ReadonlyMap<string, FileBlock> | null = this.#isFirst ? null : this.#directories;
    const settle = (directory: ScannedDirectory): ScannedDirectory =>
      known === null ? directory : settled(known.get(directory.path), directory);
    const scanning =
      directories === null || this.rootMissing
        ? scanWhole(pool, root, settle)
        : scanDirectories({ pool, root, known: this.#directories, directories });
    // The worker lists while the snapshot is loaded.
    const loading = this.#loaded?.then((image) => {
      known = image?.directories ?? null;
      return image;
    });
    const [scan, image] = await Promise.all([scanning, loading ?? null]);
    return this.#apply(await this.#prepare(scan, ownTouched, image));
  }

  async #load(): Promise<Loaded | null> {
    const image = (await this.#keeper?.load()) ?? null;
    if (image === null) return null;
    const { smallFileBound } = this.totals;
    const slices = createSlices();
    const directories = new Map<string, FileBlock>();
    for (const [path, block] of image.directories) {
      if (slices.due()) await slices.pause();
      directories.set(path, { ...block, sums: sumUp(block, smallFileBound) });
    }
    return { directories, classes: image.classes, smallFileBound };
  }

  /** All that takes long, in slices. What readers see does not change. */
  async #prepare(
    scan: DatasetScan,
    ownTouched: ReadonlySet<string>,
    image: Loaded | null,
  ): Promise<Prepared> {
    const { root, pool, now } = this.#options;
    const published: ReadonlyMap<string, FileBlock> = this.#directories;
    const known = image?.directories ?? published;
    const { smallFileBound } = image ?? this.totals;
    const classes = new Map(image?.classes ?? this.schemaClasses);
    const slices = createSlices();
    const listed = listedOnce(scan);
    const unseen = listed.reduce((sum, { path, count }) => sum + (published.has(path) ? 0 : count), 0);
    const tally = createTally(unseen);
    const blocks: FileBlock[] = [];
    let drafts: Draft[] = [];
    let waiting = 0;
    let isChanged = false;
    const intern = (facts: SharedFacts): SharedFacts => this.#intern(facts);
    const gone = goneOf(published.keys(), scan);
    for (const path of gone) {
      const block = published.get(path);
      if (block !== undefined) await noteAll(block, "removed", tally, slices);
    }
    const beforeAt = await beforeOf(known, listed, slices);
    const learn = (seen: SchemaClass): void => {
      classes.set(seen.id, joinClasses(classes.get(seen.id), seen));
    };
    const finish = async (): Promise<void> => {
      this.footerReads += await readFooters(drafts, { pool, root, now, slices, intern, learn });
      for (const draft of drafts) {
        const seen = published.get(draft.directory.path);
        blocks.push(await replacementOf(draft, { published: seen, smallFileBound, tally, slices }));
      }
      drafts = [];
      waiting = 0;
    };
    for (const directory of listed) {
      if (slices.due()) await slices.pause();
      const before = beforeAt(directory);
      if (settled(before, directory).kind === "listed") {
        const draft = await draftOf({ before, directory, ownTouched, nowMs: now(), intern, slices });
        drafts.push(draft);
        isChanged = true;
        waiting += draft.toRead.length + 1;
        if (waiting >= FILES_PER_WAVE) await finish();
      } else if (before !== undefined && before !== published.get(directory.path)) {
        await noteAll(before, "added", tally, slices);
        blocks.push(before);
      }
    }
    await finish();
    const isNew = image === null ? gone.length > 0 : image.directories.size !== blocks.length;
    return { scan, gone, blocks, classes, tally, smallFileBound, unsaved: isNew || isChanged };
  }

  /** Without a wait: readers see the dataset before or after, a directory at a time, never in between. */
  #apply({ scan, gone, blocks, classes, tally, ...rest }: Prepared): InventoryChange {
    const { added, changed, removed } = tally;
    const ancestors = scan.whole ? scan.ancestors : this.#ancestors;
    let otherwise =
      scan.rootMissing !== this.rootMissing || JSON.stringify(ancestors) !== JSON.stringify(this.#ancestors);
    if (this.#isShared && gone.length + blocks.length > 0) {
      this.#directories = new Map(this.#directories);
      this.#isShared = false;
      this.#view = null;
    }
    for (const path of gone) this.#replace(path, null);
    const isRecounted = rest.smallFileBound !== this.totals.smallFileBound;
    for (const found of blocks) {
      const block = isRecounted ? recounted(found, this.totals.smallFileBound) : found;
      otherwise ||= !sameTelling(this.#directories.get(block.path), block);
      this.#replace(block.path, block);
    }
    this.#told = null;
    this.#ancestors = ancestors;
    this.rootMissing = scan.rootMissing;
    const inUse = [...classes].filter(([id]) => this.totals.schemaClasses.has(id));
    this.schemaClasses = new Map(inUse);
    if (rest.unsaved) this.#keeper?.changed();
    this.#isFirst = false;
    this.#loaded = null;
    if (otherwise || added + changed + removed > 0) {
      this.generation += 1;
      this.#log.record(this.generation, tally);
      this.#view = null;
    }
    return { added, changed, removed, generation: this.generation };
  }

  #replace(path: string, block: FileBlock | null): void {
    const before = this.#directories.get(path);
    if (before !== undefined) applyBlock(this.totals, before, -1);
    if (block === null) this.#directories.delete(path);
    else {
      this.#directories.set(path, block);
      applyBlock(this.totals, block, 1);
    }
  }

  /** Every summary has them, and most directories say nothing. */
  #tellings(): Tellings {
    if (this.#told !== null) return this.#told;
    const blocks = [...this.#directories.values()];
    this.#told = {
      foreign: [
        ...this.#ancestors,
        ...blocks.flatMap(({ path, foreign }) =>
          foreign === null ? [] : [{ directory: ownedDirectory(path), format: foreign }],
        ),
      ],
      warnings: blocks.flatMap(({ warnings }) => warnings),
    };
    return this.#told;
  }

  #intern(facts: SharedFacts): SharedFacts {
    const text = JSON.stringify(facts);
    const known = this.#interned.get(text);
    if (known !== undefined) return known;
    // Those in use live on in their blocks.
    if (this.#interned.size >= MOST_INTERNED) this.#interned.clear();
    this.#interned.set(text, facts);
    return facts;
  }

  /** Null where nothing is known that would be worth keeping. */
  #image(): InventoryImage | null {
    if (this.rootMissing) return null;
    this.#isShared = true;
    return { directories: this.#directories, classes: this.schemaClasses };
  }
}

/** What an earlier process knew, summed up by the bound of that moment. */
interface Loaded {
  readonly directories: ReadonlyMap<string, FileBlock>;
  readonly classes: ReadonlyMap<string, SchemaClass>;
  readonly smallFileBound: number;
}

/** What the directories say beside their files. */
interface Tellings {
  readonly foreign: readonly ForeignHit[];
  readonly warnings: readonly string[];
}

/** What a reconcile has found, ready to be shown. */
interface Prepared {
  readonly scan: DatasetScan;
  readonly gone: readonly string[];
  readonly blocks: readonly FileBlock[];
  readonly classes: ReadonlyMap<string, SchemaClass>;
  readonly tally: ChangeTally;
  /** By which the blocks' sums were counted. */
  readonly smallFileBound: number;
  /** Whether a snapshot does not have all of this. */
  readonly unsaved: boolean;
}

/** A directory that was listed twice is taken as it was seen last. */
function listedOnce(scan: DatasetScan): readonly ScannedDirectory[] {
  const listed = scan.directories.filter(({ kind }) => kind !== "gone");
  return [...new Map(listed.map((directory) => [directory.path, directory])).values()];
}

/** An Iceberg table's own directory is the one above its `metadata`. */
function ownedDirectory(path: string): string {
  return path === "metadata" || path.endsWith("/metadata") ? partitionOf(path) : path;
}
