import type { PublicationFs } from "../../server/src/fs.ts";
import {
  type Exploration,
  judge,
  type Moment,
  newTally,
  record,
  type Tally,
  Violation,
} from "./crash-explorer.ts";
import { type Meddled, meddle, newRows, rowsAt } from "./crash-meddling.ts";
import { listedFiles, problemNow, type Truth, truthOf } from "./crash-oracle.ts";
import { type Dice, diceOf, randomOf } from "./dice.ts";
import { find, type Gate, GO, type Image } from "./memory-fs.ts";
import {
  type Dataset,
  diskWith,
  type Machine,
  type Operation,
  type PlannedGroup,
  ROOT,
} from "./memory-machine.ts";
import { powerCut } from "./memory-power.ts";

/** What one script of operations is like; all of it follows from its seed. */
interface Script extends Meddled {
  readonly tally: Tally;
  readonly exploration: Pick<Exploration, "mode" | "locks" | "reusesInodes">;
  /** Calls that are under way at once take effect in any order. */
  readonly shuffles: boolean;
}

interface Point {
  readonly image: Image;
  readonly truth: Truth;
  readonly trail?: string;
  /** Recovery has run since the last fault. */
  readonly rested: boolean;
}

/** Crash states that are judged of one operation. */
const STATES_PER_OPERATION = 24;

/** The seed to begin with: `TAMP_SEED`, to play again what failed, or else always the same. */
export function seedOf(usual: number): number {
  return Number(process.env.TAMP_SEED ?? usual);
}

/** Plays one script after the other until so many states were judged. */
export async function playScripts(given: {
  readonly firstSeed: number;
  readonly leastStates: number;
}): Promise<number> {
  let states = 0;
  for (let seed = given.firstSeed; states < given.leastStates; seed += 1) states += await playScript(seed);
  return states;
}

/**
 * Plays the script of a seed: operations one after the other with faults and with others who change files, and after
 * each of them crashes in some of its moments, in the recoveries from those, and so on. Answers how many different
 * states were judged; throws `Violation` with the whole script.
 */
export async function playScript(seed: number): Promise<number> {
  const script = newScript(seed);
  try {
    let point = firstPoint(script);
    for (let left = 2 + script.dice.below(3); left > 0; left -= 1) point = await playOperation(script, point);
    return script.tally.states;
  } catch (error) {
    if (!(error instanceof Violation)) throw error;
    throw new Violation(`TAMP_SEED=${seed}: ${error.message}\nThe script:\n${script.lines.join("\n")}`);
  }
}

function newScript(seed: number): Script {
  const dice = diceOf(randomOf(seed));
  const mode = dice.chance(0.2) ? "renames_torn" : "renames_whole";
  return {
    dice,
    tally: newTally(),
    exploration: { mode, locks: true, reusesInodes: dice.chance(0.3) },
    shuffles: dice.chance(0.5),
    meddled: mode === "renames_whole" && dice.chance(0.4),
    lines: [],
    row: 0,
  };
}

function firstPoint(script: Script): Point {
  const { dice, exploration } = script;
  const folders = dice.pick([[""], ["k=1/", "k=2/"], ["", "k=1/j=1/", "k=1/j=2/"]]);
  const dataset: Record<string, readonly string[]> = {};
  for (const folder of folders) {
    for (let file = 1 + dice.below(4); file > 0; file -= 1)
      dataset[`${folder}f${file}.parquet`] = newRows(script);
  }
  const image = diskWith(dataset as Dataset);
  script.lines.push(`${JSON.stringify(dataset)} ${JSON.stringify(exploration)}`);
  const truth = truthOf(image);
  if (exploration.mode === "renames_whole") return { image, truth, rested: true };
  return { image, rested: true, truth: { ...truth, mayQuarantine: true, originals: null } };
}

async function playOperation(script: Script, point: Point): Promise<Point> {
  const { dice, lines, exploration, tally } = script;
  const operation = drawOperation(dice, point.image);
  let truth =
    operation.kind === "purge"
      ? withoutRetained(point)
      : withGroups(point, operation.kind === "run" && point.rested ? operation.groups : []);
  lines.push(`${operation.kind} ${operation.kind === "run" ? JSON.stringify(operation.groups) : ""}`);
  let machine: Machine | null = null;
  const act = (): void => {
    if (machine === null) return;
    truth = meddle(script, machine.disk, truth);
    machine.disk.onChange();
  };
  tally.lastPid += 1;
  const { moments, end } = await record(point.image, operation, {
    boot: tally.lastPid,
    pid: tally.lastPid,
    ...(exploration.reusesInodes === true ? { reusesInodes: true } : {}),
    gate: drawGate(script, { act, cancel: () => machine?.cancel.abort() }),
    truth: () => truth,
    onMachine: (lent) => {
      machine = lent;
    },
  });
  for (const moment of moments) {
    const problem = problemNow(moment.image, moment.truth);
    if (problem !== null) throw new Violation(`${problem}, at this moment:${moment.trail}`);
  }
  const ends: Point[] = [];
  for (let count = STATES_PER_OPERATION; count > 0; count -= 1) ends.push(await crashIn(script, moments));
  const goesOn = dice.chance(0.5);
  lines.push(goesOn ? "went on" : `went on from this crash:${ends.at(-1)?.trail}`);
  return goesOn ? { image: end, truth, rested: false } : (ends.at(-1) as Point);
}

/** Crashes in one of the moments, then maybe in one of the recovery's, and so on. */
async function crashIn(script: Script, moments: readonly Moment[]): Promise<Point> {
  const { dice, exploration, tally } = script;
  const moment = dice.pick(moments);
  const killed = dice.chance(0.3);
  const image = killed
    ? moment.image
    : powerCut(moment.image, { mode: exploration.mode, choose: biased(dice) });
  const trail = `${moment.trail}: ${killed ? "killed" : "power cut"}`;
  const next = await judge({ ...moment, image, trail }, exploration, tally);
  if (next.length > 0 && dice.chance(0.5)) return crashIn(script, next);
  return { ...(next.at(-1) ?? { image, truth: moment.truth }), rested: next.length > 0 };
}

/** Fair, or with most changes kept, or with most lost. */
function biased(dice: Dice): (count: number) => number {
  const kept = dice.pick([0.1, 0.5, 0.9]);
  return (count) => (count === 2 ? (dice.chance(kept) ? 1 : 0) : dice.below(count));
}

function drawOperation(dice: Dice, image: Image): Operation {
  const drawn = dice.below(10);
  if (drawn === 0) return { kind: "recover" };
  if (drawn < 4) return { kind: "undo" };
  if (drawn < 5) return { kind: "purge" };
  const groups = drawGroups(dice, image);
  return groups.length > 0 ? { kind: "run", groups } : { kind: "undo" };
}

function drawGroups(dice: Dice, image: Image): readonly PlannedGroup[] {
  const folders = new Map<string, string[]>();
  for (const path of listedFiles(image).keys()) {
    const folder = path.slice(0, path.lastIndexOf("/") + 1);
    folders.set(folder, [...(folders.get(folder) ?? []), path]);
  }
  const groups: PlannedGroup[] = [];
  for (const paths of folders.values()) {
    let rest = [...paths].sort(() => dice.below(3) - 1);
    while (rest.length > 0 && dice.chance(0.75)) {
      const inputs = rest.slice(0, 1 + dice.below(3));
      rest = rest.slice(inputs.length);
      const rows = inputs.reduce((sum, path) => sum + rowsAt(image, path).length, 0);
      const first = rows > 1 && dice.chance(0.4) ? 1 + dice.below(rows - 1) : rows;
      groups.push({ inputs, outputRows: first < rows ? [first, rows - first] : [rows] });
    }
  }
  return groups;
}

function withGroups({ image, truth }: Point, groups: readonly PlannedGroup[]): Truth {
  const sources = groups.map(({ inputs }) =>
    inputs.map((path) => ({ path, inode: find(image, `${ROOT}/${path}`) as number })),
  );
  return { ...truth, groups: sources };
}

/** What a purge may take: every file that is not live. */
function withoutRetained({ image, truth }: Point): Truth {
  const live = new Set([...listedFiles(image).values()].map(({ inode }) => inode));
  const kept = [...truth.kept].filter(([inode]) => live.has(inode));
  return { ...truth, kept: new Map(kept), groups: [], originals: null };
}

interface Interruptions {
  readonly act: () => void;
  readonly cancel: () => void;
}

/** At some call a fault, at some a cancel, at some call somebody else; calls side by side take effect in some order. */
function drawGate({ dice, shuffles, lines }: Script, { act, cancel }: Interruptions): Gate {
  const never = Number.POSITIVE_INFINITY;
  const cancelsAt = dice.chance(0.1) ? 20 + dice.below(110) : never;
  const actsAt = dice.chance(0.5) ? 10 + dice.below(110) : never;
  const failsAt = dice.chance(0.4) ? dice.below(130) : never;
  const code = dice.pick(["EIO", "ENOSPC"]);
  const lasts = dice.chance(0.3);
  const when = dice.pick(["before", "before", "after"] as const);
  let calls = 0;
  return (call: keyof PublicationFs, path) => {
    calls += 1;
    if (calls === cancelsAt) {
      lines.push(`  cancelled before call ${calls} (${call} ${path})`);
      cancel();
    }
    if (calls === actsAt) {
      lines.push(`  before call ${calls} (${call} ${path}):`);
      act();
    }
    if (calls === failsAt || (lasts && calls > failsAt)) {
      if (calls === failsAt)
        lines.push(`  ${code} ${when} call ${calls}${lasts ? " and on" : ""} (${call} ${path})`);
      return { kind: "fail", code, when };
    }
    return shuffles ? { kind: "later", turns: dice.below(3) } : GO;
  };
}
