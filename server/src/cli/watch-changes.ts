import type { ChangedParams, DatasetSummary } from "../protocol.ts";

export type Changes = Pick<ChangedParams, "added" | "changed" | "removed">;

export const NO_CHANGES: Changes = { added: 0, changed: 0, removed: 0 };

export function addChanges(sum: Changes, { added, changed, removed }: Changes): Changes {
  return { added: sum.added + added, changed: sum.changed + changed, removed: sum.removed + removed };
}

export function isChange({ added, changed, removed }: Changes): boolean {
  return added + changed + removed > 0;
}

/** The least that makes so many files of so many. */
export function differenceOf(before: number, after: number): Changes {
  return { ...NO_CHANGES, added: Math.max(0, after - before), removed: Math.max(0, before - after) };
}

/**
 * What has changed since a dataset was opened. The daemon tells of its first scan too, late where it told something
 * else just before: alone, or together with what came next.
 */
export function createNews(opened: DatasetSummary): (params: ChangedParams) => Changes {
  let isFirst = true;
  return ({ generation, summary, added, changed, removed }) => {
    if (!isChange({ added, changed, removed })) return NO_CHANGES;
    const surplus = added - removed - (summary.fileCount - opened.fileCount);
    const holdsOpened = isFirst && surplus > 0 && surplus >= opened.fileCount;
    isFirst = false;
    if (generation <= opened.generation) return NO_CHANGES;
    return { added: holdsOpened ? Math.max(0, added - surplus) : added, changed, removed };
  };
}
