import { describe, expect, it, vi } from "vitest";
import { exploreFaults, exploreMeddling, exploreScene, type Scene } from "../support/crash-scenes.ts";
import { playScripts, seedOf } from "../support/crash-script.ts";

// All of it computes; what takes 8 s on an idle machine must not fail on a busy one. The deeper part is in test/slow.
vi.setConfig({ testTimeout: 300_000 });

const RUN_ONE: Scene = { operation: "run", groups: [["", 1, [2]]] };
const RUN_TWO: Scene = { operation: "run", groups: [["", 2, [4]]] };
const RUN_THREE: Scene = { operation: "run", groups: [["", 3, [5, 1]]] };
const PARTITIONS: Scene["groups"] = [
  ["k=1/", 2, [4]],
  ["k=2/", 1, [1, 1]],
];
const UNDO_TWO: Scene = { operation: "undo", groups: [["", 2, [4]]] };
const PURGE_TWO: Scene = { operation: "purge", groups: [["", 2, [4]]] };
const LOCK: Scene = { operation: "recover", groups: [["", 1, [2]]] };

describe("every crash", () => {
  it.each([
    { what: "a run of one file, and in the recovery from it", scene: RUN_ONE, crashes: 2, least: 300 },
    { what: "a run of two files", scene: RUN_TWO, crashes: 1, least: 100 },
    { what: "a run of three files into two", scene: RUN_THREE, crashes: 1, least: 300 },
    {
      what: "a run over two partitions",
      scene: { operation: "run", groups: PARTITIONS },
      crashes: 1,
      least: 300,
    },
    { what: "an undo, and in the recovery from it", scene: UNDO_TWO, crashes: 2, least: 100 },
    {
      what: "an undo over two partitions",
      scene: { operation: "undo", groups: PARTITIONS },
      crashes: 1,
      least: 100,
    },
    { what: "a purge, and in the recovery from it", scene: PURGE_TWO, crashes: 2, least: 60 },
    {
      what: "taking the lock, and in the next two to take it",
      scene: LOCK,
      crashes: 3,
      locks: true,
      least: 800,
    },
  ] as const)("in $what, loses no row and is recovered from", async ({ scene, least, ...given }) => {
    const states = await exploreScene(scene, { mode: "renames_whole", cutsPerMoment: 100, ...given });
    expect(states).toBeGreaterThanOrEqual(least);
  });

  it("leaves every row and every original where even the halves of a rename last apart", async () => {
    const states = await exploreScene(RUN_TWO, { mode: "renames_torn", crashes: 1, cutsPerMoment: 100 });
    expect(states).toBeGreaterThanOrEqual(100);
  });
});

describe("every failing call", () => {
  it.each([
    {
      what: "in a run, without effect",
      scene: RUN_TWO,
      code: "EIO",
      when: "before",
      lasts: false,
      least: 300,
    },
    {
      what: "in a run, though it took effect",
      scene: RUN_TWO,
      code: "EIO",
      when: "after",
      lasts: false,
      least: 300,
    },
    {
      what: "in a run, and all after it",
      scene: RUN_TWO,
      code: "ENOSPC",
      when: "before",
      lasts: true,
      least: 60,
    },
    { what: "in an undo", scene: UNDO_TWO, code: "EIO", when: "before", lasts: false, least: 30 },
    { what: "in a purge", scene: PURGE_TWO, code: "EIO", when: "before", lasts: false, least: 20 },
  ] as const)(
    "$what, loses no row, whether the process goes on or dies",
    async ({ scene, least, ...fault }) => {
      const given = { mode: "renames_whole", crashes: 1, cutsPerMoment: 3 } as const;
      expect(await exploreFaults(scene, fault, given)).toBeGreaterThanOrEqual(least);
    },
  );
});

describe("somebody else before every call", () => {
  it.each([
    { what: "takes a source's name", scene: RUN_TWO, kind: "replace", of: "source", least: 400 },
    { what: "writes to a source", scene: RUN_TWO, kind: "rewrite", of: "source", least: 300 },
    { what: "deletes a source", scene: RUN_TWO, kind: "remove", of: "source", least: 200 },
    { what: "takes an output's name", scene: RUN_TWO, kind: "replace", of: "output", least: 700 },
    { what: "takes a source's name in an undo", scene: UNDO_TWO, kind: "replace", of: "source", least: 100 },
    { what: "takes an output's name in an undo", scene: UNDO_TWO, kind: "replace", of: "output", least: 100 },
    { what: "adds a file in an undo", scene: UNDO_TWO, kind: "arrive", of: "new", least: 200 },
  ] as const)("$what, and neither their rows nor ours are lost", async ({ scene, least, kind, of }) => {
    const given = { mode: "renames_whole", crashes: 1, cutsPerMoment: 2 } as const;
    expect(await exploreMeddling(scene, { kind, of }, given)).toBeGreaterThanOrEqual(least);
  });
});

describe("random operations, faults, crashes and others who change files", () => {
  it("lose no row", async () => {
    expect(await playScripts({ firstSeed: seedOf(1), leastStates: 1_000 })).toBeGreaterThanOrEqual(1_000);
  });
});
