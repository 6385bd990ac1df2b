import { type FileStats, isPublishedName } from "./dataset.ts";
import type { GroupReason } from "./plan.ts";
import type { Policy } from "./policy.ts";

/** A data file that may be rewritten, with what is wrong with it; no reasons: at target. */
export interface Candidate {
  readonly stats: FileStats;
  readonly sizeBytes: number;
  readonly rows: number;
  /** A run wrote it. */
  readonly published: boolean;
  readonly reasons: readonly GroupReason[];
}

// Shared: a million files at target or small must not cost a million lists.
const NO_REASONS: readonly GroupReason[] = [];
const SMALL: readonly GroupReason[] = ["small_files"];

/** Judges one file by itself; whether it pays to rewrite it is for its partition to say. */
export function toCandidate(stats: FileStats, policy: Policy): Candidate {
  const { path, sizeBytes, rows } = stats;
  return { stats, sizeBytes, rows, published: isPublishedName(path), reasons: reasonsOf(stats, policy) };
}

/** Whether a rewrite of this file alone makes it better: it has a fault other than its small size. */
export function isMendable(file: Candidate): boolean {
  return file.reasons !== SMALL && file.reasons.some((reason) => reason !== "small_files");
}

function reasonsOf(file: FileStats, policy: Policy): readonly GroupReason[] {
  const oversize = isOversize(file, policy);
  const small = !oversize && file.sizeBytes < policy.smallFileBytes;
  const illGrouped = isIllGrouped(file, policy);
  const wronglyCoded = isWronglyCoded(file, policy);
  if (!oversize && !illGrouped && !wronglyCoded) return small ? SMALL : NO_REASONS;
  const reasons: GroupReason[] = [];
  if (oversize) reasons.push("oversize");
  if (illGrouped) reasons.push("row_groups");
  if (wronglyCoded) reasons.push("codec");
  if (small) reasons.push("small_files");
  return reasons;
}

/** Above the size band or the row bound; a single row cannot be split. */
function isOversize(file: FileStats, policy: Policy): boolean {
  const tooManyRows = policy.targetRows !== null && file.rows > policy.targetRows;
  return file.rows > 1 && (tooManyRows || file.sizeBytes > policy.oversizeBytes);
}

/** So many times the row groups that its rows need: readers pay for each of them. */
function isIllGrouped(file: FileStats, policy: Policy): boolean {
  return file.rows > 0 && file.rowGroupCount >= policy.rowGroupFactor * neededRowGroups(file.rows, policy);
}

/** Row groups that so many rows need. */
export function neededRowGroups(rows: number, { rowsPerGroup }: Policy): number {
  return Math.max(1, Math.ceil(rows / rowsPerGroup));
}

/** A file without a column chunk has no codec and is never wrongly coded: no rewrite could change that. */
function isWronglyCoded(file: FileStats, policy: Policy): boolean {
  const codec = file.codecs[0];
  return policy.compression !== null && codec !== undefined && codec !== policy.compression;
}
