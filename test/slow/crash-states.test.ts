import { describe, expect, it, vi } from "vitest";
import { exploreFaults, exploreMeddling, exploreScene, type Scene } from "../support/crash-scenes.ts";
import { playScripts, seedOf } from "../support/crash-script.ts";

// All of it computes, and must not fail on a busy machine.
vi.setConfig({ testTimeout: 1_800_000 });

const RUN_ONE: Scene = { operation: "run", groups: [["", 1, [2]]] };
const RUN_TWO: Scene = { operation: "run", groups: [["", 2, [4]]] };
const RUN_THREE: Scene = { operation: "run", groups: [["", 3, [5, 1]]] };
const FIVE_GROUPS: Scene["groups"] = [
  ["", 2, [4]],
  ["", 1, [1, 1]],
  ["k=1/", 3, [6]],
  ["k=2/", 2, [3, 1]],
  ["k=2/j=1/", 1, [2]],
];
const UNDO_THREE: Scene = { operation: "undo", groups: [["", 3, [5, 1]]] };
const PURGE_THREE: Scene = { operation: "purge", groups: [["", 3, [5, 1]]] };

const WHOLE = { mode: "renames_whole", cutsPerMoment: 300 } as const;
const TORN = { mode: "renames_torn", cutsPerMoment: 300 } as const;

describe("every crash", () => {
  it.each([
    { what: "a run of one file, and four more in a row", scene: RUN_ONE, ...WHOLE, crashes: 5, least: 1_500 },
    { what: "a run of two files, and two more in a row", scene: RUN_TWO, ...WHOLE, crashes: 3, least: 1_500 },
    {
      what: "a run of three files into two, and one more",
      scene: RUN_THREE,
      ...WHOLE,
      crashes: 2,
      least: 2_000,
    },
    { what: "an undo, and three more in a row", scene: UNDO_THREE, ...WHOLE, crashes: 4, least: 300 },
    { what: "a purge, and three more in a row", scene: PURGE_THREE, ...WHOLE, crashes: 4, least: 200 },
    { what: "a run of torn renames, and one more", scene: RUN_TWO, ...TORN, crashes: 2, least: 1_000 },
    { what: "an undo of torn renames, and one more", scene: UNDO_THREE, ...TORN, crashes: 2, least: 300 },
  ] as const)("in $what, loses no row and is recovered from", async ({ scene, least, ...given }) => {
    expect(await exploreScene(scene, given)).toBeGreaterThanOrEqual(least);
  });

  it.each(["run", "undo", "purge"] as const)("in a %s of five groups loses no row", async (operation) => {
    const states = await exploreScene({ operation, groups: FIVE_GROUPS }, { ...WHOLE, crashes: 1 });
    expect(states).toBeGreaterThanOrEqual(200);
  });
});

describe("every failing call of a run of three files into two", () => {
  it.each([
    { code: "EIO", when: "before", lasts: false },
    { code: "EIO", when: "after", lasts: false },
    { code: "ENOSPC", when: "before", lasts: true },
  ] as const)("loses no row: $code $when, lasting: $lasts", async (fault) => {
    const states = await exploreFaults(RUN_THREE, fault, { ...WHOLE, cutsPerMoment: 12, crashes: 1 });
    expect(states).toBeGreaterThanOrEqual(150);
  });
});

describe("somebody else before every call", () => {
  it.each([
    { scene: RUN_THREE, kind: "replace", of: "source" },
    { scene: RUN_THREE, kind: "rewrite", of: "source" },
    { scene: RUN_THREE, kind: "remove", of: "source" },
    { scene: RUN_THREE, kind: "replace", of: "output" },
    { scene: RUN_THREE, kind: "rewrite", of: "output" },
    { scene: RUN_THREE, kind: "remove", of: "output" },
    { scene: RUN_THREE, kind: "arrive", of: "new" },
    { scene: UNDO_THREE, kind: "replace", of: "source" },
    { scene: UNDO_THREE, kind: "rewrite", of: "source" },
    { scene: UNDO_THREE, kind: "replace", of: "output" },
    { scene: UNDO_THREE, kind: "rewrite", of: "output" },
    { scene: UNDO_THREE, kind: "arrive", of: "new" },
    { scene: PURGE_THREE, kind: "replace", of: "source" },
    { scene: PURGE_THREE, kind: "replace", of: "output" },
    { scene: PURGE_THREE, kind: "arrive", of: "new" },
  ] as const)("in a $scene.operation, $kind of $of: no rows are lost", async ({ scene, kind, of }) => {
    const states = await exploreMeddling(scene, { kind, of }, { ...WHOLE, cutsPerMoment: 12, crashes: 1 });
    expect(states).toBeGreaterThanOrEqual(60);
  });
});

describe("random operations, faults, crashes and others who change files", () => {
  it("lose no row in 100,000 states", async () => {
    expect(await playScripts({ firstSeed: seedOf(10_001), leastStates: 100_000 })).toBeGreaterThanOrEqual(
      100_000,
    );
  });
});
