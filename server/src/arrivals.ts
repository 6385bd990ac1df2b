import { type DataFile, fileFacts, isPublishedName } from "@tamp/core";
import type { Inventory, InventoryView } from "./inventory.ts";

/**
 * Bytes of files that came or were written anew since `before`, but for those that runs published or gave back.
 * Where too many came to be remembered by name, what the dataset has grown by.
 */
export function arrivedBytes(
  inventory: Inventory,
  before: InventoryView,
  ownPaths: readonly string[],
): number {
  const now = inventory.view();
  const changes = inventory.changesSince(before.generation);
  if (changes.kind === "fresh") return Math.max(0, bytesOf(now) - bytesOf(before));
  const own = new Set(ownPaths);
  const moved = new Set(changes.removed.flatMap((path) => contentOf(before.find(path)) ?? []));
  let sum = 0;
  for (const path of changes.changed) {
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
