import { type DataFile, fileFacts, isPublishedName } from "@tamp/core";
import type { Inventory, InventoryView } from "./inventory.ts";
import { createSlices } from "./slices.ts";

/**
 * Bytes of files that came or were written anew since `before`, but for those that runs published or gave back: as
 * the inventory is when it is called, counted in slices. Where too many came to be remembered by name, what the
 * dataset has grown by.
 */
export async function arrivedBytes(
  inventory: Inventory,
  before: InventoryView,
  ownPaths: readonly string[],
): Promise<number> {
  const now = inventory.view();
  const changes = inventory.changesSince(before.generation);
  if (changes.kind === "fresh") return Math.max(0, bytesOf(now) - bytesOf(before));
  const own = new Set(ownPaths);
  const moved = new Set<string>();
  const slices = createSlices();
  for (const path of changes.removed) {
    if (slices.due()) await slices.pause();
    const content = contentOf(before.find(path));
    if (content !== null) moved.add(content);
  }
  let sum = 0;
  for (const path of changes.changed) {
    if (slices.due()) await slices.pause();
    const file = isPublishedName(path) || own.has(path) ? null : now.find(path);
    const content = contentOf(file);
    if (file === null || content === null || moved.has(content)) continue;
    if (content !== contentOf(before.find(path))) sum += fileFacts(file).sizeBytes;
  }
  return sum;
}

function bytesOf(view: InventoryView): number {
  return view.fold(() => true).totals.totalBytes;
}

/** The same for a file that was renamed; null where there is none. */
function contentOf(file: DataFile | null): string | null {
  if (file === null) return null;
  const { sizeBytes, mtimeNs, inode } = fileFacts(file);
  return `${sizeBytes} ${mtimeNs} ${inode}`;
}
