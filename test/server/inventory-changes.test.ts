import { expect, it } from "vitest";
import { type Changes, createChangeLog, createTally } from "../../server/src/inventory-changes.ts";

/** `+a` came, `~a` changed, `-a` went; a number stands for so many files that came. */
type Reconcile = readonly (string | number)[];

function logOf(
  firstGeneration: number,
  reconciles: readonly Reconcile[],
): ReturnType<typeof createChangeLog> {
  const log = createChangeLog(firstGeneration);
  for (const [at, items] of reconciles.entries()) {
    const tally = createTally(0);
    for (const item of items) note(tally, item);
    log.record(firstGeneration + at + 1, tally);
  }
  return log;
}

function note(tally: ReturnType<typeof createTally>, item: string | number): void {
  if (typeof item === "number") {
    for (let at = 0; at < item; at += 1) tally.note("added", () => `many-${at}`);
    return;
  }
  const kind = ({ "+": "added", "~": "changed", "-": "removed" } as const)[item[0] ?? ""];
  if (kind !== undefined) tally.note(kind, () => item.slice(1));
}

const FRESH: Changes = { kind: "fresh" };
const changes = (changed: readonly string[], removed: readonly string[] = []): Changes => ({
  kind: "changes",
  changed,
  removed,
});

const THREE: readonly Reconcile[] = [
  ["+a", "+b"],
  ["~b", "-a"],
  ["+a", "-b", "+c"],
];

it.each<[string, number, readonly Reconcile[], number, Changes]>([
  ["nothing since now", 0, THREE, 3, changes([])],
  ["the last reconcile", 0, THREE, 2, changes(["a", "c"], ["b"])],
  ["the last word on each path", 0, THREE, 1, changes(["a", "c"], ["b"])],
  ["all from the beginning", 0, THREE, 0, changes(["a", "c"], ["b"])],
  ["a generation to come", 0, THREE, 4, FRESH],
  ["no generation", 0, THREE, 0.5, FRESH],
  ["not a number", 0, THREE, Number.NaN, FRESH],
  ["one before the first", 7, THREE, 6, FRESH],
  ["the first", 7, THREE, 7, changes(["a", "c"], ["b"])],
  ["before too many in one reconcile", 0, [["+a"], [10_001], ["+b"]], 1, FRESH],
  ["after too many in one reconcile", 0, [["+a"], [10_001], ["+b"]], 2, changes(["b"])],
  ["before too many in all", 0, [["+a", "+c"], [9_999], ["+b"]], 0, FRESH],
  ["a reconcile that changed no file", 0, [["+a"], []], 1, changes([])],
])("tells %s", (_, first, reconciles, since, expected) => {
  expect(logOf(first, reconciles).since(since)).toEqual(expected);
});

it("holds few reconciles without end", () => {
  const log = logOf(0, new Array<Reconcile>(20_000).fill([]));
  expect(log.since(0)).toEqual(FRESH);
  expect(log.since(19_000)).toEqual(changes([]));
});

it("counts what it does not name", () => {
  const tally = createTally(10_001);
  tally.note("removed", () => {
    throw new Error("too many to be named");
  });
  expect(tally).toMatchObject({ removed: 1, paths: null });
});
