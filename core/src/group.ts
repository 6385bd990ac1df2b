import type { Candidate } from "./candidate.ts";
import type { FileGroup, GroupReason, PlannedFile } from "./plan.ts";
import type { Policy } from "./policy.ts";
import { STRETCH } from "./steps.ts";

/** Rows, bytes and codec of the outputs of one group; `ratio` is output bytes per input byte. */
export function* sealGroup(
  partition: string,
  files: readonly Candidate[],
  { policy, ratio }: { readonly policy: Policy; readonly ratio: number },
): Generator<void, FileGroup> {
  let inputBytes = 0;
  let rows = 0;
  let rowGroupsBefore = 0;
  const reasons = new Set<GroupReason>();
  const inputs: PlannedFile[] = [];
  for (const file of files) {
    const { path, mtimeNs, inode } = file.stats;
    inputs.push({ path, sizeBytes: file.sizeBytes, rows: file.rows, mtimeNs, inode });
    if (inputs.length % STRETCH === 0) yield;
    inputBytes += file.sizeBytes;
    rows += file.rows;
    rowGroupsBefore += file.stats.rowGroupCount;
    for (const reason of file.reasons) reasons.add(reason);
  }
  const outputRows = reasons.has("oversize") ? splitRows(rows, inputBytes, policy) : [rows];
  return {
    partition,
    schemaClass: files[0]?.stats.schemaClass ?? "",
    inputs,
    outputRows,
    codec: policy.compression ?? codecOf(files),
    reasons: [...reasons].sort(),
    inputBytes,
    estimatedOutputBytes: Math.round(inputBytes * ratio),
    rowGroupsBefore,
    rowGroupsAfter: outputRows.reduce((sum, part) => sum + Math.ceil(part / policy.rowsPerGroup), 0),
  };
}

/**
 * Files that a split makes: round(bytes / target), but no fewer than keep each part inside the size band where
 * bytes spread evenly over rows, nor than keep the row bound, which is exact. 1 within both bounds.
 */
export function splitCount(rows: number, bytes: number, policy: Policy): number {
  let parts = 1;
  if (bytes > policy.oversizeBytes) {
    // Few, heavy rows: rounding alone could leave a part above the band, and the split would come again.
    const rowsPerPart = Math.max(1, Math.floor(policy.oversizeBytes / (bytes / rows)));
    parts = Math.max(2, Math.round(bytes / policy.targetBytes), Math.ceil(rows / rowsPerPart));
  }
  if (policy.targetRows !== null) parts = Math.max(parts, Math.ceil(rows / policy.targetRows));
  return Math.min(rows, parts);
}

/** Parts that differ by one row at most and add up to `rows`. */
function splitRows(rows: number, bytes: number, policy: Policy): readonly number[] {
  const parts = splitCount(rows, bytes, policy);
  const base = Math.floor(rows / parts);
  return Array.from({ length: parts }, (_, index) => base + (index < rows % parts ? 1 : 0));
}

/** What the sources use by stored bytes; ties go to the name that sorts first. */
function codecOf(files: readonly Candidate[]): string {
  const bytes = new Map<string, number>();
  for (const { stats } of files) {
    const codec = stats.codecs[0];
    if (codec !== undefined) bytes.set(codec, (bytes.get(codec) ?? 0) + stats.compressedBytes);
  }
  const best = [...bytes].sort(([a, x], [b, y]) => y - x || (a < b ? -1 : 1))[0];
  return best?.[0] ?? "snappy";
}
