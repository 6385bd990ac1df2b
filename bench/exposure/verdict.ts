/** How one read ended. Missing is the one that nobody notices: rows are absent and there is no error. */
export type Verdict = "exact" | "duplicate" | "loud" | "missing";

/** What a reader reports of one read. */
export interface Seen {
  /** Ids that were in no file it read. */
  readonly missing: number;
  /** Ids that it met more than once. */
  readonly repeated: number;
  readonly error: string | null;
}

export interface Span {
  readonly startUs: number;
  readonly endUs: number;
}

/** From just before the first new name to just after the last old name has left. */
export interface Swap extends Span {
  readonly dir: number;
  readonly kind: "publish" | "undo";
}

export interface Read extends Span, Seen {
  readonly dir: number;
}

export interface Counts {
  /** Swaps that at least one read overlapped in time. */
  readonly swaps: number;
  /** Those of them in which a read was loud, and in which one silently missed rows. */
  readonly swapsLoud: number;
  readonly swapsMissing: number;
  readonly reads: number;
  readonly exact: number;
  readonly duplicate: number;
  readonly loud: number;
  readonly missing: number;
}

export interface Tally {
  readonly publish: Counts;
  readonly undo: Counts;
  /** Reads that overlapped any swap, each counted once. */
  readonly all: Counts;
  /** Reads that overlapped no swap: whatever is not exact here is a fault of the bench or of the product. */
  readonly quiet: Counts;
}

/** Rows that are absent outweigh rows that are there twice; an error outweighs both, for the reader knows. */
export function verdictOf({ missing, repeated, error }: Seen): Verdict {
  if (error !== null) return "loud";
  if (missing > 0) return "missing";
  return repeated > 0 ? "duplicate" : "exact";
}

/** Counts the ids 0 to `rows` in what a reader met; further ids belong to files that no swap touches. */
export function countRows(ids: Iterable<number>, rows: number): Pick<Seen, "missing" | "repeated"> {
  const times = new Uint16Array(rows);
  for (const id of ids) {
    if (id < rows) times[id] = (times[id] ?? 0) + 1;
  }
  return {
    missing: times.reduce((sum, count) => sum + (count === 0 ? 1 : 0), 0),
    repeated: times.reduce((sum, count) => sum + (count > 1 ? 1 : 0), 0),
  };
}

/** Sets reads against the swaps of their directory that they overlapped; a directory's swaps come in their order. */
export function tallyReads(swaps: readonly Swap[], reads: readonly Read[]): Tally {
  const byDir = new Map<number, Swap[]>();
  for (const swap of swaps) {
    const own = byDir.get(swap.dir);
    if (own === undefined) byDir.set(swap.dir, [swap]);
    else own.push(swap);
  }
  const publish = createCounter();
  const undo = createCounter();
  const all = createCounter();
  const quiet = createCounter();
  for (const read of reads) {
    const verdict = verdictOf(read);
    const met = overlapped(byDir.get(read.dir) ?? [], read);
    (met.length === 0 ? quiet : all).add(verdict, met);
    for (const swap of met) (swap.kind === "publish" ? publish : undo).add(verdict, [swap]);
  }
  return { publish: publish.counts(), undo: undo.counts(), all: all.counts(), quiet: quiet.counts() };
}

/** The swaps of one directory follow each other in time, and there may be thousands: the first is found by halving. */
function overlapped(swaps: readonly Swap[], read: Span): readonly Swap[] {
  let low = 0;
  let high = swaps.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((swaps[middle]?.endUs ?? 0) < read.startUs) low = middle + 1;
    else high = middle;
  }
  let end = low;
  while (end < swaps.length && (swaps[end]?.startUs ?? 0) <= read.endUs) end += 1;
  return swaps.slice(low, end);
}

interface Counter {
  readonly add: (verdict: Verdict, met: readonly Swap[]) => void;
  readonly counts: () => Counts;
}

function createCounter(): Counter {
  const reads = { exact: 0, duplicate: 0, loud: 0, missing: 0 };
  const swaps = { any: new Set<Swap>(), loud: new Set<Swap>(), missing: new Set<Swap>() };
  return {
    add(verdict, met) {
      reads[verdict] += 1;
      for (const swap of met) {
        swaps.any.add(swap);
        if (verdict === "loud" || verdict === "missing") swaps[verdict].add(swap);
      }
    },
    counts: () => ({
      swaps: swaps.any.size,
      swapsLoud: swaps.loud.size,
      swapsMissing: swaps.missing.size,
      reads: reads.exact + reads.duplicate + reads.loud + reads.missing,
      ...reads,
    }),
  };
}
