import {
  decidePurge,
  decideRecovery,
  decideUndo,
  type JournalRecord,
  type JournalState,
  type Observation,
  type OutputPresence,
  type OwnPresence,
  type Presence,
  type PublicationStep,
  publishSteps,
  type RecoveryDecision,
} from "@tamp/core";
import { describe, expect, test } from "vitest";
import {
  absentRows,
  applyEffect,
  committedWorld,
  effectsOf,
  observe,
  powerCuts,
  recordOf,
  StepFailed,
  tamper,
  type World,
  worldKey,
} from "../support/publication-model.ts";

/** Something that holds at every moment, and what may stand at the end. */
interface Oracle {
  readonly record: JournalRecord;
  /** Rows that somebody else took away or replaced: theirs to lose. */
  readonly exempt?: (source: number, output: number) => boolean;
  /** A name that holds somebody else's file: never touched. */
  readonly foreign?: string;
  readonly mayQuarantine?: boolean;
  readonly seen: Set<string>;
}

type Crash = (world: World) => void;

function checkAlways(world: World, oracle: Oracle): void {
  const absent = absentRows(world, oracle.record).filter(([i, j]) => oracle.exempt?.(i, j) !== true);
  if (absent.length > 0) throw new Error(`rows ${JSON.stringify(absent)} absent in ${worldKey(world)}`);
  if (oracle.foreign !== undefined && world.names.get(oracle.foreign) !== "X")
    throw new Error(`${oracle.foreign} was touched: ${worldKey(world)}`);
}

/** Runs the steps with a crash before each effect and after the last. */
function runSteps(world: World, steps: readonly PublicationStep[], oracle: Oracle, crash: Crash): World {
  let now = world;
  for (const step of steps) {
    for (const effect of effectsOf(step, now, oracle.record)) {
      crash(now);
      now = applyEffect(now, effect);
      checkAlways(now, oracle);
    }
  }
  crash(now);
  return now;
}

/** A process that dies, and every power cut. */
function afterCrash(world: World, next: Crash): void {
  next(world);
  for (const cut of powerCuts(world)) next(cut);
}

/** Recovers, with up to `crashes` further crashes at every point inside, and checks what stands at the end. */
function recover(world: World, oracle: Oracle, crashes: number, direction?: "forward" | "back"): void {
  const key = `${crashes} ${direction} ${worldKey(world)}`;
  if (oracle.seen.has(key)) return;
  oracle.seen.add(key);
  checkAlways(world, oracle);
  const decision = decide(world, oracle.record, direction);
  if (decision.kind === "quarantine") {
    if (oracle.mayQuarantine !== true) throw new Error(`${decision.reason}: ${worldKey(world)}`);
    return;
  }
  if (decision.kind === "at_rest") {
    checkEnd(world, oracle);
    return;
  }
  const again: Crash = (crashed) => afterCrash(crashed, (left) => recover(left, oracle, crashes - 1));
  const end = runSteps(world, decision.steps, oracle, crashes > 0 ? again : () => undefined);
  if (decide(end, oracle.record).kind !== "at_rest") throw new Error(`not at rest: ${worldKey(end)}`);
  checkEnd(end, oracle);
}

function decide(world: World, record: JournalRecord, direction?: "forward" | "back"): RecoveryDecision {
  return decideRecovery({ ...record, state: world.state }, observe(world, record), direction);
}

/** Before or after, nothing in between; what was retired is retained. */
function checkEnd(world: World, { record, exempt, foreign }: Oracle): void {
  const { sources, outputs } = observe(world, record);
  const swapped = world.state === "RETIRED";
  const wrong = [
    ...sources.filter(({ live, trash }, i) => {
      if (exempt?.(i, 0) === true || foreign === record.sources[i]?.path) return false;
      return swapped ? live !== "missing" || trash !== "ours" : live !== "ours";
    }),
    ...outputs.filter(({ live }, j) => {
      if (foreign === record.outputs[j]?.path) return swapped;
      return live !== (swapped ? "ours" : "missing");
    }),
  ];
  if (wrong.length > 0) throw new Error(`neither before nor after: ${worldKey(world)}`);
}

/** Publishes with a crash at every effect and each crash recovered; a failing step turns the run back. */
function publish(world: World, oracle: Oracle, crashes: number): void {
  let last = world;
  const crash: Crash = (now) => {
    last = now;
    afterCrash(now, (left) => recover(left, oracle, crashes));
    recover(now, oracle, crashes, "back");
  };
  try {
    const end = runSteps(world, publishSteps(oracle.record), oracle, crash);
    checkEnd(end, oracle);
  } catch (error) {
    if (!(error instanceof StepFailed)) throw error;
    recover(last, oracle, crashes, "back");
  }
}

const SHAPES = [
  [1, 1],
  [2, 1],
  [3, 1],
  [1, 2],
  [2, 2],
] as const;

function oracleOf(sources: number, outputs: number, given: Partial<Oracle> = {}): Oracle {
  return { record: recordOf(sources, outputs), seen: new Set(), ...given };
}

/** Every world that a publication passes through. */
function passedWorlds(record: JournalRecord): readonly World[] {
  const worlds: World[] = [];
  runSteps(committedWorld(record), publishSteps(record), { record, seen: new Set() }, (now) =>
    worlds.push(now),
  );
  return worlds;
}

describe.each(SHAPES)("%d sources, %d outputs", (sources, outputs) => {
  test("publication keeps every row through a crash, and a crash of its recovery", () => {
    const oracle = oracleOf(sources, outputs);
    publish(committedWorld(oracle.record), oracle, sources + outputs > 3 ? 1 : 2);
    expect(oracle.seen.size).toBeGreaterThan(10);
  });

  test("undo does too", () => {
    const oracle = oracleOf(sources, outputs);
    const published = passedWorlds(oracle.record).at(-1) as World;
    expect(published.state).toBe("RETIRED");
    const decision = decideUndo({ ...oracle.record, state: "RETIRED" }, observe(published, oracle.record));
    const steps = decision.kind === "undo" ? decision.steps : [];
    const end = runSteps(published, steps, oracle, (now) =>
      afterCrash(now, (left) => recover(left, oracle, 1)),
    );
    expect(end.state).toBe("UNDONE");
    checkEnd(end, oracle);
  });
});

describe("somebody else at work in the middle of a publication", () => {
  const { record } = oracleOf(2, 2);

  /** Tampers with every world that publication passes through, then recovers in both directions. */
  function meddle(change: (world: World) => World | null, given: Partial<Oracle>): void {
    let met = 0;
    for (const world of passedWorlds(record)) {
      const changed = change(world);
      if (changed === null || world.state !== "COMMIT") continue;
      met += 1;
      const oracle = oracleOf(2, 2, given);
      recover(changed, oracle, 1);
      recover(changed, oracle, 1, "back");
    }
    expect(met).toBeGreaterThan(0);
  }

  const standing = (name: string, inode: string | null) => (world: World) =>
    world.names.has(name) ? tamper(world, name, inode) : null;
  const taken = (name: string) => (world: World) => (world.names.has(name) ? null : tamper(world, name, "X"));

  test.each([0, 1])("live source %d is deleted", (index) => {
    meddle(standing(`source${index}`, null), { exempt: (i) => i === index, mayQuarantine: true });
  });

  test.each([0, 1])("live source %d is replaced", (index) => {
    meddle(standing(`source${index}`, "X"), { exempt: (i) => i === index, foreign: `source${index}` });
  });

  test.each([0, 1])("another file takes the name of retired source %d", (index) => {
    meddle(taken(`source${index}`), { foreign: `source${index}`, mayQuarantine: true });
  });

  test.each([0, 1])("another file takes the name of output %d", (index) => {
    meddle(taken(`output${index}`), { foreign: `output${index}` });
  });

  test.each([0, 1])("something stands under trash name %d", (index) => {
    meddle(taken(`trash${index}`), { foreign: `trash${index}` });
  });

  test.each([0, 1])("a file that took the place of source %d at the moment of its rename", (index) => {
    const raced = (world: World): World | null => {
      const trash = `trash${index}`;
      if (world.names.get(trash) !== `S${index}` || world.names.has(`source${index}`)) return null;
      return tamper(world, trash, "X");
    };
    const worlds = passedWorlds(record).flatMap((world) => raced(world) ?? []);
    expect(worlds.length).toBeGreaterThan(2);
    for (const world of worlds.filter(({ state }) => state === "COMMIT")) {
      const oracle = oracleOf(2, 2, { exempt: (i) => i === index });
      const end = runSteps(world, stepsOf(decide(world, record)), oracle, () => undefined);
      expect([end.names.get(`source${index}`), end.state]).toEqual(["X", "ROLLED_BACK"]);
      recover(world, oracle, 1);
    }
  });

  test.each(["source0", "source1", "output0", "output1"])(
    "the run itself meets another file at %s",
    (name) => {
      const foreign = tamper(committedWorld(record), name, "X");
      const exempt = (i: number): boolean => name === `source${i}`;
      publish(foreign, oracleOf(2, 2, { exempt, foreign: name }), 1);
    },
  );

  test("a published output replaced after all sources left comes back from the originals", () => {
    const all = passedWorlds(record).filter(
      ({ names, state }) => state === "COMMIT" && !names.has("source1"),
    );
    const world = tamper(all.at(-1) as World, "output0", "X");
    const steps = stepsOf(decide(world, record));
    const end = runSteps(world, steps, oracleOf(2, 2, { exempt: (_, j) => j === 0 }), () => undefined);
    expect(absentRows(end, record)).toEqual([]);
    expect([end.state, end.names.get("output0")]).toEqual(["ROLLED_BACK", "X"]);
  });
});

function stepsOf(decision: RecoveryDecision): readonly PublicationStep[] {
  return "steps" in decision ? decision.steps : [];
}

type Names = readonly [Presence, Presence];
type SideNames = readonly [Presence, OwnPresence];
type OutputNames = readonly [OutputPresence, OwnPresence];

function found(sources: readonly SideNames[], outputs: readonly OutputNames[]): Observation {
  return {
    sources: sources.map(([live, trash]) => ({ live, trash })),
    outputs: outputs.map(([live, stage]) => ({ live, stage })),
  };
}

const OURS: Names = ["ours", "missing"];
const RETIRED: Names = ["missing", "ours"];
const STAGED: Names = ["missing", "ours"];
const LINKED: Names = ["ours", "ours"];
const MOVED: OutputNames = ["elsewhere", "ours"];

describe("the table of recovery", () => {
  const rows: readonly (readonly [
    JournalState,
    readonly SideNames[],
    readonly OutputNames[],
    string,
    string,
  ])[] = [
    ["PREPARED", [OURS, OURS], [], "discard", "clean write_state"],
    ["PREPARED", [OURS, ["missing", "ours"]], [], "quarantine", ""],
    ["COMMIT", [OURS, OURS], [STAGED], "roll_back", "sync sync write_state clean"],
    ["COMMIT", [OURS, OURS], [LINKED], "roll_back", "sync withdraw_output sync write_state clean"],
    ["COMMIT", [RETIRED, OURS], [LINKED], "roll_forward", "sync retire_source sync write_state clean"],
    ["COMMIT", [RETIRED, RETIRED], [LINKED], "roll_forward", "sync sync write_state clean"],
    [
      "COMMIT",
      [["other", "ours"], OURS],
      [LINKED],
      "roll_forward",
      "sync retire_source sync write_state clean",
    ],
    [
      "COMMIT",
      [RETIRED, ["other", "missing"]],
      [LINKED],
      "undo",
      "restore_source sync wait_overlap withdraw_output sync write_state clean",
    ],
    ["COMMIT", [RETIRED, ["missing", "missing"]], [LINKED], "quarantine", ""],
    [
      "COMMIT",
      [RETIRED, ["ours", "other"]],
      [LINKED],
      "undo",
      "restore_source sync wait_overlap withdraw_output sync write_state clean",
    ],
    [
      "COMMIT",
      [RETIRED, RETIRED],
      [STAGED],
      "roll_forward",
      "link_output sync wait_overlap sync write_state clean",
    ],
    [
      "COMMIT",
      [RETIRED, RETIRED],
      [["missing", "missing"]],
      "undo",
      "restore_source restore_source sync wait_overlap sync write_state clean",
    ],
    ["COMMIT", [RETIRED, ["missing", "other"]], [LINKED], "quarantine", ""],
    [
      "COMMIT",
      [RETIRED, ["missing", "stray"]],
      [LINKED],
      "undo",
      "return_stray restore_source sync wait_overlap withdraw_output sync write_state clean",
    ],
    [
      "COMMIT",
      [OURS, ["other", "stray"]],
      [LINKED],
      "roll_back",
      "return_stray sync withdraw_output sync write_state clean",
    ],
    ["UNDOING", [RETIRED, ["missing", "stray"]], [LINKED], "quarantine", ""],
    [
      "UNDOING",
      [["ours", "ours"]],
      [["missing", "stray"], LINKED],
      "undo",
      "return_stray_output sync withdraw_output sync write_state clean",
    ],
    ["COMMIT", [RETIRED, RETIRED], [], "quarantine", ""],
    ["COMMIT", [OURS, OURS], [LINKED, MOVED], "quarantine", ""],
    ["COMMIT", [RETIRED, RETIRED], [MOVED], "quarantine", ""],
    ["UNDOING", [RETIRED], [MOVED], "quarantine", ""],
    ["UNDOING", [RETIRED], [["missing", "missing"]], "quarantine", ""],
    ["COMMIT", [["missing", "missing"], OURS], [LINKED], "quarantine", ""],
    ["COMMIT", [["missing", "missing"], OURS], [STAGED], "roll_back", "sync sync write_state clean"],
    [
      "UNDOING",
      [RETIRED, OURS],
      [LINKED],
      "undo",
      "restore_source sync wait_overlap withdraw_output sync write_state clean",
    ],
    ["UNDOING", [["ours", "ours"]], [["missing", "ours"]], "undo", "sync sync write_state clean"],
    ["UNDOING", [["missing", "missing"]], [LINKED], "quarantine", ""],
    ["UNDOING", [["other", "ours"]], [LINKED], "quarantine", ""],
    ["RETIRED", [RETIRED], [OURS], "at_rest", ""],
    ["UNDONE", [OURS], [["missing", "missing"]], "at_rest", ""],
    ["PURGED", [RETIRED], [OURS], "at_rest", ""],
    ["ROLLED_BACK", [OURS], [["missing", "missing"]], "at_rest", ""],
  ];
  test.each(rows)("%s, sources %j, outputs %j: %s", (state, sources, outputs, kind, steps) => {
    const record = { ...recordOf(sources.length, outputs.length), state };
    const decision = decideRecovery(record, found(sources, outputs));
    expect([
      decision.kind,
      stepsOf(decision)
        .map((step) => step.kind)
        .join(" "),
    ]).toEqual([kind, steps]);
  });

  test("a failing run goes back where a crashed one goes forward", () => {
    const observation = found([RETIRED, OURS], [LINKED]);
    expect(decideRecovery(recordOf(2, 1), observation, "forward").kind).toBe("roll_forward");
    expect(decideRecovery(recordOf(2, 1), observation, "back").kind).toBe("undo");
  });

  test("a run that may have written RETIRED takes it back before it goes back", () => {
    const decision = decideRecovery(recordOf(2, 1), found([RETIRED, RETIRED], [LINKED]), "back");
    expect(stepsOf(decision)[0]).toEqual({ kind: "write_state", state: "COMMIT" });
  });
});

test.each<readonly [JournalState, readonly SideNames[], string]>([
  ["RETIRED", [RETIRED, RETIRED], "purge"],
  ["RETIRED", [RETIRED, ["missing", "missing"]], "purge"],
  ["RETIRED", [RETIRED, ["missing", "other"]], "source1 was changed"],
  ["RETIRED", [RETIRED, ["missing", "stray"]], "source1 was changed"],
  ["COMMIT", [RETIRED], "not RETIRED"],
  ["UNDONE", [OURS], "not RETIRED"],
])("purge of %s, sources %j: %s", (state, sources, expected) => {
  const record = { ...recordOf(sources.length, 1), state };
  const decision = decidePurge(record, found(sources, [OURS]));
  expect(decision.kind === "refused" ? decision.reason : decision.kind).toContain(expected);
});

test.each<readonly [JournalState, readonly Names[], readonly Names[], string]>([
  ["RETIRED", [RETIRED, RETIRED], [OURS], "undo"],
  ["RETIRED", [["ours", "ours"]], [OURS], "undo"],
  ["COMMIT", [RETIRED], [OURS], "not RETIRED"],
  ["UNDONE", [OURS], [OURS], "not RETIRED"],
  ["RETIRED", [RETIRED], [["missing", "missing"]], "output0"],
  ["RETIRED", [RETIRED], [["other", "missing"]], "output0"],
  ["RETIRED", [RETIRED, ["missing", "missing"]], [OURS], "source1"],
  ["RETIRED", [["other", "ours"], RETIRED], [OURS], "source0"],
  ["RETIRED", [["missing", "other"], RETIRED], [OURS], "source0"],
])("undo of %s, sources %j, outputs %j: %s", (state, sources, outputs, expected) => {
  const record = { ...recordOf(sources.length, outputs.length), state };
  const decision = decideUndo(record, found(sources, outputs));
  expect(decision.kind === "refused" ? decision.reason : decision.kind).toContain(expected);
});
