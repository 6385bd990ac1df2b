import { type Candidate, toCandidate } from "./candidate.ts";
import type { FileStats } from "./dataset.ts";
import { type Gate, isFresh, isMendableNow, judgeGate, type Moment, neededBytes } from "./gate.ts";
import { splitCount } from "./group.ts";
import { type PackBounds, packLightest, packNeighbours, type Weighed } from "./pack.ts";
import type { SkipReason } from "./plan.ts";
import { type Skips, skip } from "./skips.ts";
import { compareText, filterSteps, STRETCH, sortSteps } from "./steps.ts";

export interface PartitionContext extends Moment {
  readonly skips: Skips;
  /** The latest change of a file that is still written, milliseconds since the epoch. */
  readonly arrivalMs: number;
}

export interface PartitionGroups {
  /** By first path. */
  readonly groups: readonly (readonly Candidate[])[];
  readonly gate: Gate;
}

/** No file is split into more outputs than this: such a row bound is taken for a mistake. */
const MOST_OUTPUTS = 10_000;

/** The groups of one partition; every file left over is skipped with its reason. */
export function* groupPartition(
  files: readonly FileStats[],
  context: PartitionContext,
): Generator<void, PartitionGroups> {
  const { policy, skips } = context;
  const groups: (readonly Candidate[])[] = [];
  const byClass = new Map<string, Candidate[]>();
  const candidates: Candidate[] = [];
  for (const [index, file] of files.entries()) {
    candidates.push(toCandidate(file, policy));
    if (index % STRETCH === STRETCH - 1) yield;
  }
  const gate = yield* judgeGate(candidates, context, context.arrivalMs);
  for (const [index, file] of candidates.entries()) {
    if (index % STRETCH === STRETCH - 1) yield;
    const { path } = file.stats;
    if (file.reasons.length === 0) skip(skips, path, "at_target");
    else if (!mayBeRewritten(file, gate, context)) skipShut(file, gate, context);
    else if (!file.reasons.includes("oversize")) append(byClass, file.stats.schemaClass, file);
    else if (splitCount(file.rows, file.sizeBytes, policy) <= MOST_OUTPUTS) groups.push([file]);
    else skip(skips, path, "excluded", `would be split into more than ${MOST_OUTPUTS} files`);
  }
  for (const ofClass of byClass.values()) {
    const packed = yield* packClass(ofClass, gate, context);
    for (const [index, group] of packed.groups.entries()) {
      groups.push(group);
      if (index % STRETCH === STRETCH - 1) yield;
    }
    for (const [index, file] of packed.left.entries()) {
      skipLeft(file, { ofClass: ofClass.length, classes: byClass.size, gate, context });
      if (index % STRETCH === STRETCH - 1) yield;
    }
  }
  return { groups: yield* sortSteps(groups, (a, b) => compareText(firstPath(a), firstPath(b))), gate };
}

function firstPath(group: readonly Candidate[]): string {
  return group[0]?.stats.path ?? "";
}

function mayBeRewritten(file: Candidate, gate: Gate, moment: Moment): boolean {
  if (gate.cooling) return false;
  if (isMendableNow(file, moment)) return true;
  return gate.opened !== null && file.reasons.includes("small_files") && !isFresh(file, moment);
}

/** A file that may be packed, with what its group must be worth. */
interface Member extends Weighed {
  readonly file: Candidate;
  /** Bytes that its group must have. */
  readonly neededBytes: number;
  readonly mendable: boolean;
  taken: boolean;
}

/**
 * Adds the groups of one schema class and returns the files left over. First all files are packed, then those
 * without the upper tier of published ones, then those that no run published: what is better merged at once is. After
 * groups that were found the files left are packed again, until no packing of them finds one.
 */
function* packClass(
  files: readonly Candidate[],
  gate: Gate,
  context: PartitionContext,
): Generator<
  void,
  { readonly groups: readonly (readonly Candidate[])[]; readonly left: readonly Candidate[] }
> {
  const groups: (readonly Candidate[])[] = [];
  const members = yield* membersOf(files, gate, context);
  const tiers = [...members.tiers].sort((a, b) => b - a);
  let rest = members.list;
  for (;;) {
    const before = groups.length;
    for (const tier of tiers) {
      const some = yield* filterSteps(rest, (member) => member.neededBytes <= tier);
      yield* takeBins(yield* packSome(some, context.policy), groups);
      if (groups.length > before) break;
    }
    // Mended alone only once no partner is left: pairing it costs the same write and saves a file.
    if (groups.length === before) yield* takeMendable(rest, groups);
    if (groups.length === before) return { groups, left: rest.map(({ file }) => file) };
    rest = yield* filterSteps(rest, (member) => !member.taken);
  }
}

function* membersOf(
  files: readonly Candidate[],
  gate: Gate,
  context: PartitionContext,
): Generator<void, { readonly list: readonly Member[]; readonly tiers: ReadonlySet<number> }> {
  const list: Member[] = [];
  const tiers = new Set<number>();
  for (const [index, file] of files.entries()) {
    const mendable = isMendableNow(file, context);
    const needed = gate.takesAll || mendable ? 0 : neededBytes(file, context.policy);
    const { sizeBytes, rows } = file;
    list.push({ file, sizeBytes, rows, neededBytes: needed, mendable, taken: false });
    tiers.add(needed);
    if (index % STRETCH === STRETCH - 1) yield;
  }
  return { list, tiers };
}

/** Neighbours are paired first, then whatever goes together. */
function* packSome(
  members: readonly Member[],
  policy: Moment["policy"],
): Generator<void, readonly (readonly Member[])[]> {
  const bounds: PackBounds = {
    targetBytes: policy.targetBytes,
    mostBytes: policy.oversizeBytes,
    mostRows: policy.targetRows,
  };
  const bins = yield* packNeighbours(members, bounds);
  return bins.length < members.length ? bins : yield* packLightest(members, bounds);
}

function* takeBins(bins: readonly (readonly Member[])[], groups: (readonly Candidate[])[]): Generator<void> {
  let handled = 0;
  for (const bin of bins) {
    handled += bin.length;
    if (handled >= STRETCH) {
      handled = 0;
      yield;
    }
    if (bin.length < 2 || !isWorth(bin)) continue;
    for (const member of bin) member.taken = true;
    groups.push(bin.map(({ file }) => file));
  }
}

function* takeMendable(members: readonly Member[], groups: (readonly Candidate[])[]): Generator<void> {
  for (const member of yield* filterSteps(members, ({ mendable }) => mendable)) {
    member.taken = true;
    groups.push([member.file]);
  }
}

function isWorth(bin: readonly Member[]): boolean {
  let bytes = 0;
  let needed = 0;
  for (const member of bin) {
    bytes += member.sizeBytes;
    needed = Math.max(needed, member.neededBytes);
  }
  return bytes >= needed;
}

/** Why a file is not even packed. */
function skipShut(file: Candidate, gate: Gate, context: PartitionContext): void {
  const { policy, skips } = context;
  const rests = file.published && (policy.minAgeMs > 0 || isFresh(file, context));
  let reason: SkipReason = "too_young";
  let detail = `${gate.small} small files of ${policy.minFiles}`;
  if (gate.cooling) detail = "its partition rests after a run";
  else if (rests) detail = "published by a run, rests before it is rewritten again";
  else if (gate.small < 2) {
    reason = "too_few_files";
    detail = "the only small file of its partition";
  } else if (policy.minAgeMs === 0) reason = "too_few_files";
  skip(skips, file.stats.path, reason, detail);
}

interface Leaving {
  readonly ofClass: number;
  readonly classes: number;
  readonly gate: Gate;
  readonly context: PartitionContext;
}

function skipLeft(file: Candidate, { ofClass, classes, gate, context }: Leaving): void {
  const { skips } = context;
  const { path } = file.stats;
  if (!gate.takesAll && file.published)
    skip(skips, path, "too_young", "published by a run, rests until it reaches the next tier of sizes");
  else if (classes > 1 && ofClass === 1)
    skip(skips, path, "foreign_schema", "no other small file of its partition has its schema and metadata");
  else
    skip(
      skips,
      path,
      "no_gain",
      "no other file of its partition and schema brings it nearer to the target size",
    );
}

function append<T>(lists: Map<string, T[]>, key: string, item: T): void {
  const list = lists.get(key);
  if (list === undefined) lists.set(key, [item]);
  else list.push(item);
}
