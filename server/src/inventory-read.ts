import type { SharedFacts } from "./inventory-block.ts";
import { type ListingColumns, nameAt, RACY } from "./inventory-columns.ts";
import type { FooterReply, SchemaClass } from "./inventory-messages.ts";
import type { InventoryPool } from "./inventory-pool.ts";
import { type Draft, timeFlag } from "./inventory-state.ts";
import { absolutePath } from "./scan.ts";
import type { Slices } from "./slices.ts";

export interface Reading {
  readonly pool: InventoryPool;
  readonly root: string;
  readonly now: () => number;
  readonly slices: Slices;
  readonly intern: (facts: SharedFacts) => SharedFacts;
  readonly learn: (seen: SchemaClass) => void;
}

const FILES_PER_CALL = 512;
/** What one call has read is written down while the worker reads for the next. */
const CALLS_IN_FLIGHT = 2;

/** Reads all footers that the drafts ask for, into their columns; answers how many. */
export async function readFooters(drafts: readonly Draft[], reading: Reading): Promise<number> {
  const underWay: Promise<void>[] = [];
  let reads = 0;
  try {
    for (const batch of batches(drafts)) {
      reads += batch.length;
      underWay.push(readBatch(batch, reading));
      if (underWay.length >= CALLS_IN_FLIGHT) await underWay.shift();
    }
  } finally {
    await Promise.all(underWay);
  }
  return reads;
}

interface Asked {
  readonly draft: Draft;
  readonly index: number;
}

function* batches(drafts: readonly Draft[]): Generator<readonly Asked[]> {
  let batch: Asked[] = [];
  for (const draft of drafts) {
    for (const index of draft.toRead) {
      batch.push({ draft, index });
      if (batch.length < FILES_PER_CALL) continue;
      yield batch;
      batch = [];
    }
  }
  if (batch.length > 0) yield batch;
}

async function readBatch(batch: readonly Asked[], reading: Reading): Promise<void> {
  const { pool, root, now, slices } = reading;
  const readMs = now();
  const paths = batch.map(({ draft, index }) => {
    const folder = absolutePath(root, draft.directory.path);
    return `${folder}/${nameAt(draft.columns.listing, index)}`;
  });
  const { replies, classes } = await pool.read(paths);
  for (const seen of classes) reading.learn(seen);
  for (const [at, asked] of batch.entries()) {
    if (slices.due()) await slices.pause();
    write(asked, replies[at] ?? { kind: "gone" }, readMs, reading.intern);
  }
}

function write({ draft, index }: Asked, reply: FooterReply, readMs: number, intern: Reading["intern"]): void {
  if (reply.kind === "gone") {
    draft.vanished.add(index);
    return;
  }
  const { listing, facts } = draft.columns;
  if (reply.stamp !== null && reply.stamp.inode !== "") {
    listing.sizes[index] = reply.stamp.sizeBytes;
    listing.mtimes[index] = BigInt(reply.stamp.mtimeNs);
    listing.ctimes[index] = BigInt(reply.stamp.ctimeNs);
    listing.inodes[index] = BigInt(reply.stamp.inode);
    listing.devices[index] = BigInt(reply.stamp.device);
  }
  // A file that was written to during the read is read again, whatever its times say.
  const racy = reply.kind === "changed" || isRacy(listing, index, readMs);
  facts.flags[index] = timeFlag(listing, index, readMs) | (racy ? RACY : 0);
  facts.shared[index] = draft.shared.add(intern(sharedFacts(reply)));
  if (reply.kind !== "footer") return;
  facts.rows[index] = reply.facts.rows;
  facts.compressedBytes[index] = reply.facts.compressedBytes;
  facts.uncompressedBytes[index] = reply.facts.uncompressedBytes;
  facts.rowGroups[index] = reply.facts.rowGroupCount;
}

function sharedFacts(reply: Exclude<FooterReply, { readonly kind: "gone" }>): SharedFacts {
  switch (reply.kind) {
    case "footer": {
      const { codecs, createdBy, schemaClass } = reply.facts;
      return { kind: "readable", codecs, createdBy, schemaClass };
    }
    case "changed":
      return { kind: "unreadable", reason: "quarantined", detail: "changed while being read" };
    default:
      return { kind: "unreadable", reason: reply.kind, detail: reply.detail };
  }
}

const TICK_MS = 20;
const WHOLE_SECONDS_MS = 2_000;

/**
 * Whether a write right after this read could leave the same times: the kernel's clock for files moves in ticks
 * of up to 10 ms, and some file systems keep whole seconds only.
 */
function isRacy({ mtimes, ctimes }: ListingColumns, index: number, readMs: number): boolean {
  const ctimeNs = ctimes[index] ?? 0n;
  const grain = ctimeNs % 1_000_000_000n === 0n ? WHOLE_SECONDS_MS : TICK_MS;
  const touched = Number(ctimeNs) / 1e6;
  const latest = Math.max(touched, Number(mtimes[index] ?? 0n) / 1e6);
  const written = latest > readMs + WHOLE_SECONDS_MS ? touched : latest;
  return written > readMs - grain;
}
