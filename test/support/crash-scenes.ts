import {
  type Exploration,
  explore,
  type Moment,
  newTally,
  type Recording,
  record,
  Violation,
} from "./crash-explorer.ts";
import { type Interference, interfere } from "./crash-meddling.ts";
import { canUndo, listedFiles, problemAtRest, problemNow, type Truth, truthOf } from "./crash-oracle.ts";
import { randomOf } from "./dice.ts";
import { find, type Gate, GO, type Image } from "./memory-fs.ts";
import { diskWith, type Machine, type Operation, type PlannedGroup, ROOT } from "./memory-machine.ts";

/** A small run, or the undo or purge of it, of which every crash is tried. */
export interface Scene {
  /** Folder of the group below the root, its number of sources, rows of its outputs; sources have two rows each. */
  readonly groups: readonly (readonly [folder: string, sources: number, outputRows: readonly number[]])[];
  readonly operation: Operation["kind"];
}

export type SceneExploration = Pick<Exploration, "mode" | "crashes" | "cutsPerMoment"> & {
  readonly locks?: boolean;
};

interface Stage {
  readonly image: Image;
  readonly truth: Truth;
  readonly operation: Operation;
}

/** Explores a scene; answers how many different states were judged. */
export async function exploreScene(scene: Scene, given: SceneExploration): Promise<number> {
  const tally = newTally();
  const { moments, outcome, end } = await playScene(await stageOf(scene, given.mode));
  if (outcome.error !== null) throw outcome.error;
  expectNone(problemAtRest(end, moments.at(-1)?.truth as Truth, outcome), "without any crash");
  const missed = scene.operation === "purge" && canUndo(end);
  expectNone(missed ? "a published run keeps its originals" : null, "after a purge of all");
  await explore(moments, { locks: false, random: randomOf(1), ...given }, tally);
  return tally.states;
}

/** Every call of the scene fails in turn; the process goes on, ends, or dies. */
export async function exploreFaults(scene: Scene, fault: Fault, given: SceneExploration): Promise<number> {
  const tally = newTally();
  const stage = await stageOf(scene, given.mode);
  const { calls } = await playScene(stage);
  for (let nth = 1; nth <= calls; nth += 1) {
    const { moments, outcome, end } = await playScene(stage, faultyGate(nth, fault));
    const told = `${fault.code} ${fault.when} call ${nth}${fault.lasts ? " and on" : ""}`;
    for (const moment of moments)
      expectNone(problemNow(moment.image, moment.truth), `${told}${moment.trail}`);
    const kind = outcome.run?.kind;
    if (kind === "published" || kind === "rolled_back") {
      expectNone(problemAtRest(end, { ...stage.truth, mayLeave: true }, outcome), `${told}, ${kind}`);
    }
    const marked = moments.map((moment): Moment => ({ ...moment, trail: `\n  ${told}${moment.trail}` }));
    await explore(marked, { locks: false, random: randomOf(nth), ...given }, tally);
  }
  return tally.states;
}

/** Whose name somebody else takes, writes to or deletes. */
export interface Meddling {
  readonly kind: Interference["kind"];
  /** `new`: a name that nobody else uses. */
  readonly of: "source" | "output" | "new";
}

/**
 * Before every call of the scene in turn somebody else interferes with a name; then the process goes on, ends, or dies.
 */
export async function exploreMeddling(
  scene: Scene,
  { kind, of }: Meddling,
  given: SceneExploration,
): Promise<number> {
  const tally = newTally();
  const stage = await stageOf(scene, given.mode);
  const { calls, end } = await playScene(stage);
  const published = [...listedFiles(stage.image).keys(), ...listedFiles(end).keys()];
  const output = published.find((path) => path.includes("compacted-")) ?? "";
  const meddling = { kind, path: { source: "g0s0.parquet", output, new: "guest.parquet" }[of] };
  for (let nth = 1; nth <= calls; nth += 1) {
    const { moments, met } = await playMeddled(stage, nth, meddling);
    const told = `\n  ${kind} ${meddling.path} before call ${nth}`;
    const marked = moments
      .slice(met)
      .map((moment): Moment => ({ ...moment, trail: `${told}${moment.trail}` }));
    await explore(marked, { locks: false, random: randomOf(nth), ...given }, tally);
  }
  return tally.states;
}

/** `met`: index of the first moment after the interference. */
async function playMeddled(
  { image, truth: before, operation }: Stage,
  nth: number,
  { kind, path }: Pick<Interference, "kind" | "path">,
): Promise<{ readonly moments: readonly Moment[]; readonly met: number }> {
  let truth = before;
  let machine: Machine | null = null;
  let calls = 0;
  const gate: Gate = () => {
    calls += 1;
    const takesName = kind === "arrive" || kind === "replace";
    const meets =
      machine !== null && calls === nth && (takesName || find(machine.disk, `${ROOT}/${path}`) !== null);
    if (machine !== null && meets) {
      truth = interfere(machine.disk, truth, { kind, path, rows: ["guest1", "guest2"] });
      machine.disk.onChange();
    }
    return GO;
  };
  const onMachine = (lent: Machine): void => {
    machine = lent;
  };
  const { moments } = await record(image, operation, {
    boot: 1,
    pid: 10,
    truth: () => truth,
    gate,
    onMachine,
  });
  const met = moments.findIndex((moment) => moment.truth !== before);
  return { moments, met: met < 0 ? moments.length : met };
}

export interface Fault {
  readonly code: string;
  readonly when: "before" | "after";
  /** Every later call fails as well. */
  readonly lasts: boolean;
}

function faultyGate(nth: number, { code, when, lasts }: Fault): Gate {
  let calls = 0;
  return () => {
    calls += 1;
    return calls === nth || (lasts && calls > nth) ? { kind: "fail", code, when } : { kind: "go" };
  };
}

function expectNone(problem: string | null, where: string): void {
  if (problem !== null) throw new Violation(`${problem}: ${where}`);
}

async function stageOf({ groups, operation }: Scene, mode: Exploration["mode"]): Promise<Stage> {
  const dataset: Record<string, readonly string[]> = { "unrelated.parquet": ["u1", "u2"] };
  const planned = groups.map(([folder, sources, outputRows], group): PlannedGroup => {
    const inputs = Array.from({ length: sources }, (_, index) => `${folder}g${group}s${index}.parquet`);
    for (const path of inputs) dataset[path] = [`${path}:1`, `${path}:2`];
    return { inputs, outputRows };
  });
  const image = diskWith(dataset);
  const truth = { ...truthOfGroups(image, planned), ...(mode === "renames_torn" ? TORN : {}) };
  const run: Operation = { kind: "run", groups: planned };
  if (operation === "recover") return { image, truth, operation: { kind: "recover" } };
  if (operation === "run") return { image, truth, operation: run };
  const { end, outcome } = await record(image, run, { boot: 0, pid: 1, truth });
  if (outcome.run?.kind !== "published") throw new Error(`not published: ${String(outcome.error)}`);
  if (operation === "undo") return { image: end, truth, operation: { kind: "undo" } };
  const unrelated = [...truth.kept].filter(([inode]) => [...truth.unrelated.values()].includes(inode));
  return {
    image: end,
    truth: { ...truth, kept: new Map(unrelated), originals: null },
    operation: { kind: "purge" },
  };
}

/** Where the halves of a rename may be lost apart, rows still must stand and originals still exist. */
const TORN = { mayQuarantine: true, originals: null };

function truthOfGroups(image: Image, groups: readonly PlannedGroup[]): Truth {
  const at = (path: string) => ({ path, inode: find(image, `${ROOT}/${path}`) as number });
  const { path, inode } = at("unrelated.parquet");
  return {
    ...truthOf(image),
    unrelated: new Map([[path, inode]]),
    groups: groups.map(({ inputs }) => inputs.map(at)),
  };
}

function playScene({ image, truth, operation }: Stage, gate?: Gate): Promise<Recording> {
  return record(image, operation, { boot: 1, pid: 10, truth, ...(gate === undefined ? {} : { gate }) });
}
