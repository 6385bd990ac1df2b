import { type FileGroup, formatSize, type Plan } from "@tamp/core";
import { TampError } from "./errors.ts";
import type { Maintenance } from "./maintain.ts";
import { type PurgedRun, purgeRuns } from "./purge.ts";

export type Room =
  | { readonly kind: "made"; readonly purged: readonly PurgedRun[] }
  | { readonly kind: "refused"; readonly reason: string };

/**
 * Deletes originals of earlier runs that are due, once it is known that these groups fit: below the bound on retained
 * originals and on the disk. Where they do not fit, nothing is deleted.
 */
export async function makeRoom(
  held: Maintenance,
  { policy, estimate, groups }: Plan,
  remaining: readonly FileGroup[],
): Promise<Room> {
  const { retentionMs, maxRetainedBytes } = policy;
  const incomingBytes = bytesOf(remaining);
  const retention = { retentionMs, maxRetainedBytes };
  const request = { kind: "due", retention, incomingBytes, keepNewest: true } as const;
  const due = await purgeRuns(held, request, true);
  if (maxRetainedBytes !== null && due.retainedBytes + incomingBytes > maxRetainedBytes) {
    const [incoming, retained, most] = [incomingBytes, due.retainedBytes, maxRetainedBytes].map(formatSize);
    const [kept] = due.kept;
    const why = kept === undefined ? "" : ` (run ${kept.runId} keeps its own: ${kept.reason})`;
    const reason = `the run would keep ${incoming} of originals beside the ${retained} of earlier runs, and at most ${most} may be kept${why}: plan less, raise --max-retained, or purge earlier runs, with --run those that keep theirs`;
    return { kind: "refused", reason };
  }
  // The outputs stand beside the originals until these are purged.
  const neededBytes = Math.ceil(estimate.neededBytes * (incomingBytes / Math.max(1, bytesOf(groups))));
  const freedBytes = due.runs.reduce((sum, run) => sum + run.bytes, 0);
  await checkSpace(held, neededBytes, freedBytes);
  return { kind: "made", purged: (await purgeRuns(held, request, false)).runs };
}

function bytesOf(groups: readonly FileGroup[]): number {
  return groups.reduce((sum, group) => sum + group.inputBytes, 0);
}

async function checkSpace(
  { fs, workspace }: Maintenance,
  neededBytes: number,
  freedBytes: number,
): Promise<void> {
  const free = (await fs.freeBytes(workspace.folder)) + freedBytes;
  if (neededBytes <= free) return;
  throw new TampError(
    "NotEnoughSpace",
    `the run needs about ${formatSize(neededBytes)} beside the originals and ${formatSize(free)} are free`,
    { hint: "free space, or plan less with --partition or --max-bytes" },
  );
}
