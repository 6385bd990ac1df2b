/** Items that one stretch of work handles: between two yields nothing takes longer than a few milliseconds. */
export const STRETCH = 2_000;

/** Runs steps to their end without a pause. */
export function drain<T>(steps: Generator<void, T>): T {
  let step = steps.next();
  while (step.done !== true) step = steps.next();
  return step.value;
}

/** The items that are to be kept, in a new list. */
export function* filterSteps<T>(
  items: readonly T[],
  keeps: (item: T) => boolean,
): Generator<void, readonly T[]> {
  const kept: T[] = [];
  for (const [index, item] of items.entries()) {
    if (keeps(item)) kept.push(item);
    if (index % STRETCH === STRETCH - 1) yield;
  }
  return kept;
}

/** Sorts, stably: a list in order is given back as it is, any other is sorted stretch by stretch and merged. */
export function* sortSteps<T>(
  items: readonly T[],
  compare: (a: T, b: T) => number,
): Generator<void, readonly T[]> {
  if (yield* inOrder(items, compare)) return items;
  let runs: (readonly T[])[] = [];
  for (let start = 0; start < items.length; start += STRETCH) {
    runs.push(items.slice(start, start + STRETCH).sort(compare));
    yield;
  }
  while (runs.length > 1) {
    const merged: (readonly T[])[] = [];
    for (let index = 0; index < runs.length; index += 2) {
      const [left = [], right] = runs.slice(index, index + 2);
      merged.push(right === undefined ? left : yield* mergeRuns(left, right, compare));
    }
    runs = merged;
  }
  return runs[0] ?? [];
}

function* inOrder<T>(items: readonly T[], compare: (a: T, b: T) => number): Generator<void, boolean> {
  for (let index = 1; index < items.length; index += 1) {
    if (compare(items[index - 1] as T, items[index] as T) > 0) return false;
    if (index % STRETCH === 0) yield;
  }
  return true;
}

function* mergeRuns<T>(
  left: readonly T[],
  right: readonly T[],
  compare: (a: T, b: T) => number,
): Generator<void, readonly T[]> {
  const merged: T[] = [];
  let next = 0;
  for (const item of left) {
    while (next < right.length && compare(right[next] as T, item) < 0) {
      merged.push(right[next] as T);
      next += 1;
      if (merged.length % STRETCH === 0) yield;
    }
    merged.push(item);
    if (merged.length % STRETCH === 0) yield;
  }
  for (; next < right.length; next += 1) {
    merged.push(right[next] as T);
    if (merged.length % STRETCH === 0) yield;
  }
  return merged;
}

/** By code units, as paths are ordered everywhere. */
export function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
