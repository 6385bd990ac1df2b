/** What changed since a generation that a client knows; `fresh`: it must read everything anew. */
export type Changes =
  | { readonly kind: "changes"; readonly changed: readonly string[]; readonly removed: readonly string[] }
  | { readonly kind: "fresh" };

/** One reconcile's changes: all of them counted, the first of them by name. */
export interface ChangeTally {
  added: number;
  changed: number;
  removed: number;
  /** Paths to whether they are still there; null once they are too many to be remembered. */
  paths: Map<string, boolean> | null;
  note(kind: "added" | "changed" | "removed", path: () => string): void;
}

const MOST_PATHS = 10_000;

/** `expected`: so many changes at least; where that is too many, none is noted by name. */
export function createTally(expected: number): ChangeTally {
  return {
    added: 0,
    changed: 0,
    removed: 0,
    paths: expected > MOST_PATHS ? null : new Map(),
    note(kind, path) {
      this[kind] += 1;
      if (this.paths === null) return;
      if (this.paths.size >= MOST_PATHS) this.paths = null;
      else this.paths.set(path(), kind !== "removed");
    },
  };
}

/** Remembers the last changes, of about as many files as a client would rather not read all over again. */
export interface ChangeLog {
  record(generation: number, tally: ChangeTally): void;
  since(generation: number): Changes;
}

export function createChangeLog(firstGeneration: number): ChangeLog {
  let last = firstGeneration;
  /** The oldest generation whose changes are all remembered. */
  let floor = firstGeneration;
  let held = 0;
  const entries: { readonly generation: number; readonly paths: ReadonlyMap<string, boolean> }[] = [];
  const drop = (): void => {
    const oldest = entries.shift();
    held -= oldest === undefined ? 0 : costOf(oldest.paths);
    floor = oldest?.generation ?? floor;
  };
  return {
    record(generation, { paths }) {
      last = generation;
      if (paths === null) {
        while (entries.length > 0) drop();
        floor = generation;
        return;
      }
      entries.push({ generation, paths });
      held += costOf(paths);
      while (held > MOST_PATHS && entries.length > 1) drop();
    },
    since(generation) {
      if (!Number.isSafeInteger(generation) || generation < floor || generation > last) {
        return { kind: "fresh" };
      }
      const state = new Map<string, boolean>();
      for (const entry of entries) {
        if (entry.generation <= generation) continue;
        for (const [path, present] of entry.paths) state.set(path, present);
      }
      const paths = (present: boolean): readonly string[] =>
        [...state].flatMap(([path, is]) => (is === present ? [path] : [])).sort();
      return { kind: "changes", changed: paths(true), removed: paths(false) };
    },
  };
}

/** A reconcile that changed no file costs something too. */
function costOf(paths: ReadonlyMap<string, boolean>): number {
  return paths.size + 1;
}
