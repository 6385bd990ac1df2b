import type { DataFile } from "@tamp/core";
import type { Inventory } from "../../server/src/inventory.ts";

/** All files that an inventory knows now, sorted by path. */
export function filesOf(inventory: Inventory): readonly DataFile[] {
  const view = inventory.view();
  return view.page(0, view.fileCount);
}
