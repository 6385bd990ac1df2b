import { canUndo, listedFiles, problemAtRest, problemNow, type Truth } from "./crash-oracle.ts";
import { type Change, type Image, imageOf } from "./memory-fs.ts";
import { isLock, keyOf } from "./memory-key.ts";
import {
  bootMachine,
  type Machine,
  type MachineOptions,
  type Operation,
  type Outcome,
  perform,
} from "./memory-machine.ts";
import { type Choose, everyChoice, type PowerMode, powerCut } from "./memory-power.ts";

/** One moment of an operation: right after a change, or right before the first. */
export interface Moment {
  readonly image: Image;
  /** What holds of it: somebody else may have changed files since the operation began. */
  readonly truth: Truth;
  /** How the disk came to be so, for who has to find out why. */
  readonly trail: string;
}

export interface Recording {
  readonly moments: readonly Moment[];
  readonly end: Image;
  readonly outcome: Outcome;
  readonly calls: number;
}

/** A state of the disk that breaks a promise; the message says which one and how the disk came to be so. */
export class Violation extends Error {}

export interface RecordOptions extends MachineOptions {
  readonly truth: Truth | (() => Truth);
  readonly trail?: string;
  /** Lends the machine to whoever interferes. */
  readonly onMachine?: (machine: Machine) => void;
}

/** Performs an operation and keeps every moment of it. */
export async function record(
  image: Image,
  operation: Operation,
  { truth, trail = "", ...options }: RecordOptions,
): Promise<Recording> {
  let call = "the start";
  let calls = 0;
  const gate: MachineOptions["gate"] = (name, path) => {
    call = `${name} ${path}`;
    calls += 1;
    return options.gate?.(name, path) ?? { kind: "go" };
  };
  const machine = bootMachine(image, { ...options, gate });
  const moments: Moment[] = [];
  const keep = (): void => {
    const holds = typeof truth === "function" ? truth() : truth;
    const now = `${trail}\n  ${operation.kind}: after ${call}`;
    moments.push({ image: imageOf(machine.disk), truth: holds, trail: now });
  };
  keep();
  machine.disk.onChange = keep;
  options.onMachine?.(machine);
  const outcome = await perform(machine, operation);
  call = "the end";
  keep();
  return { moments, end: imageOf(machine.disk), outcome, calls };
}

export interface Exploration {
  readonly mode: PowerMode;
  /** How many crashes may follow each other. */
  readonly crashes: number;
  /** Most power cuts that are tried in one moment; beyond, so many are drawn at random. */
  readonly cutsPerMoment: number;
  readonly random: () => number;
  /** Whether lock files make a difference between two states. */
  readonly locks: boolean;
  readonly reusesInodes?: boolean;
}

export interface Tally {
  /** Different states of the disk from which recovery was judged. */
  states: number;
  /** Crashes in a row after which there was nothing new. */
  readonly seen: Set<string>;
  readonly seenMoments: Set<string>;
  readonly rested: Set<string>;
  lastPid: number;
}

export function newTally(): Tally {
  return { states: 0, seen: new Set(), seenMoments: new Set(), rested: new Set(), lastPid: 100 };
}

/**
 * Judges every crash state of every moment, then those of the recoveries from them, and so on: breadth first, each
 * different state once. Answers whether nothing new was left to look at. Throws `Violation`.
 */
export async function explore(
  moments: readonly Moment[],
  exploration: Exploration,
  tally: Tally,
): Promise<boolean> {
  let now = moments;
  for (let round = 0; round < exploration.crashes; round += 1) {
    const next: Moment[] = [];
    for (const moment of now) {
      const key = keyOf(moment.image, { pending: true, locks: exploration.locks });
      if (tally.seenMoments.has(key)) continue;
      tally.seenMoments.add(key);
      const problem = problemNow(moment.image, moment.truth);
      if (problem !== null) throw new Violation(`${problem}, at this moment:${moment.trail}`);
      for (const state of crashStates(moment, exploration)) {
        next.push(...(await judge(state, exploration, tally)));
      }
    }
    now = next;
  }
  return now.length === 0;
}

/** The process killed, and every power cut. */
function* crashStates({ image, truth, trail }: Moment, exploration: Exploration): Generator<Moment> {
  yield { image, truth, trail: `${trail}: killed` };
  const { mode, cutsPerMoment, random } = exploration;
  const cut = (choose: Choose): Image => powerCut(image, { mode, choose, bundled: isLockChange });
  const all = everyChoice(cutsPerMoment, cut);
  const draw = (count: number): number => Math.floor(random() * count);
  const images = all ?? Array.from({ length: cutsPerMoment }, () => cut(draw));
  for (const image of images) yield { image, truth, trail: `${trail}: power cut` };
}

function isLockChange({ parts }: Change): boolean {
  return isLock(parts[0]);
}

/** Recovers from one state of the disk and checks what holds before and after; answers the moments of recovery. */
export async function judge(
  { image, truth, trail }: Moment,
  { locks, reusesInodes = false }: Pick<Exploration, "locks" | "reusesInodes">,
  tally: Tally,
): Promise<readonly Moment[]> {
  const key = keyOf(image, { pending: true, locks });
  if (tally.seen.has(key)) return [];
  tally.seen.add(key);
  tally.states += 1;
  tally.lastPid += 1;
  const expectNone = (problem: string | null): void => {
    if (problem !== null) throw new Violation(`${problem}, after:${trail}`);
  };
  expectNone(problemNow(image, truth));
  // After a power cut another boot: there, a process with the number of the dead one may live.
  const boot = trail.endsWith("killed") ? 1 : tally.lastPid;
  const options = { boot, pid: tally.lastPid, reusesInodes, truth, trail };
  const recovery = await record(image, { kind: "recover" }, options);
  expectNone(problemAtRest(recovery.end, truth, recovery.outcome));
  const restKey = keyOf(recovery.end, { pending: false, locks: false });
  if (!tally.rested.has(restKey)) {
    tally.rested.add(restKey);
    expectNone(await problemOfUndo(recovery.end, { ...truth, groups: [] }, restKey));
  }
  return recovery.moments;
}

/** A second recovery does nothing; what was published can be undone, run by run, down to the originals. */
async function problemOfUndo(image: Image, truth: Truth, restKey: string): Promise<string | null> {
  let boot = 1_000_000;
  const again = await record(image, { kind: "recover" }, { boot, pid: 7, truth });
  const moved = again.outcome.recovered.filter(({ action }) => action !== "quarantine");
  if (moved.length > 0) return `a second recovery did ${JSON.stringify(moved)}`;
  if (keyOf(again.end, { pending: false, locks: false }) !== restKey)
    return `a second recovery changed the disk from\n${restKey} to\n${keyOf(again.end, { pending: false, locks: false })}`;
  if (truth.mayQuarantine) return null;
  let current = again.end;
  while (canUndo(current)) {
    boot += 1;
    const undo = await record(current, { kind: "undo" }, { boot, pid: 7, truth });
    const { undone, error } = undo.outcome;
    if (undone?.kind !== "undone") return `undo is impossible: ${undone?.reason ?? String(error)}`;
    for (const moment of undo.moments) {
      const problem = problemNow(moment.image, truth);
      if (problem !== null) return `${problem}, in${moment.trail}`;
    }
    const problem = problemAtRest(undo.end, truth, undo.outcome);
    if (problem !== null) return `after undo: ${problem}`;
    current = undo.end;
  }
  if (truth.originals === null) return null;
  const listed = textOf([...listedFiles(current)].map(([path, { inode }]) => [path, inode]));
  return listed === textOf([...truth.originals])
    ? null
    : `undone to ${listed}, not to ${textOf([...truth.originals])}`;
}

function textOf(files: readonly (readonly [string, number])[]): string {
  return files
    .map(([path, inode]) => `${path} (inode ${inode})`)
    .sort()
    .join(", ");
}
