import { assertNever } from "./invariant.ts";

/** What identifies a file through links and renames. ctime is a drift hint and no part of it. */
export interface FileIdentity {
  readonly device: string;
  readonly inode: string;
  readonly sizeBytes: number;
  readonly mtimeNs: string;
}

export interface SourceRecord extends FileIdentity {
  /** Live name, relative to the dataset root. */
  readonly path: string;
  readonly rows: number;
  /** SHA-256 of the footer bytes, hex. */
  readonly footerHash: string;
  /** ctime after our last link of the inode: compared until it is retired, never by recovery. */
  readonly ctimeNs: string;
  /** Names inside the group's folder. */
  readonly pin: string;
  readonly trash: string;
}

export interface OutputRecord extends FileIdentity {
  /** Final live name, relative to the dataset root. */
  readonly path: string;
  readonly rows: number;
  readonly footerHash: string;
  /** Name inside the group's folder. */
  readonly stage: string;
}

/**
 * PREPARED: nothing live was touched. COMMIT: outputs are durable and validated, the swap may be under way.
 * RETIRED: the swap is complete. UNDOING and UNDONE: the originals come back, are back. ROLLED_BACK: the swap was
 * given up, the originals stayed or are back.
 */
export type JournalState = "PREPARED" | "COMMIT" | "RETIRED" | "UNDOING" | "UNDONE" | "ROLLED_BACK";

/** Nothing is left to do for a group in one of these states. */
export function isAtRest({ state }: Pick<JournalRecord, "state">): boolean {
  return state === "RETIRED" || state === "UNDONE" || state === "ROLLED_BACK";
}

export interface JournalRecord {
  readonly version: 1;
  readonly runId: string;
  /** Counts the groups of a run from 1. */
  readonly group: number;
  /** Groups that the run planned: some of them may never have begun. */
  readonly groupsInRun: number;
  readonly operation: "compact";
  readonly state: JournalState;
  /** Real path of the dataset root when the run began, and what identified it. */
  readonly root: { readonly path: string; readonly device: string; readonly inode: string };
  /** Nonce of the lock that the run held. */
  readonly owner: string;
  readonly startedAt: string;
  readonly engine: string;
  readonly partition: string;
  readonly sources: readonly SourceRecord[];
  readonly outputs: readonly OutputRecord[];
  readonly rowGroupsBefore: number;
  readonly duplicateWindowMs: number;
}

/**
 * Milliseconds that old and new files stand side by side before either leaves: long enough for a local listing to
 * end. A reader that lists meanwhile sees rows twice, never none.
 */
export const DEFAULT_OVERLAP_MS = 50;

/** One effect on the disk. Why a step comes next is decided here; how it is done, in the server. */
export type PublicationStep =
  /** The live source is still the recorded one, ctime included. */
  | { readonly kind: "check_source"; readonly source: number }
  /** Hard link stage → live name; an existing name is a failure, never overwritten. */
  | { readonly kind: "link_output"; readonly output: number }
  /** fsync of every live directory of the group and of the group's folders. */
  | { readonly kind: "sync" }
  | { readonly kind: "wait_overlap" }
  /** Rename live → trash after checking the identity, and check what was moved. */
  | { readonly kind: "retire_source"; readonly source: number }
  /** Hard link trash → live name, never overwriting. */
  | { readonly kind: "restore_source"; readonly source: number }
  /** Rename live output → the group's folder, by identity. */
  | { readonly kind: "withdraw_output"; readonly output: number }
  /** Replace the journal durably. */
  | { readonly kind: "write_state"; readonly state: JournalState }
  /** Remove our own links: pins, stages and, where the live name holds the same inode, trash. */
  | { readonly kind: "clean" };

const SYNC: PublicationStep = { kind: "sync" };
const CLEAN: PublicationStep = { kind: "clean" };

/** S8 to S11: from a durable COMMIT record to the swapped directory. Rows are never absent from it. */
export function publishSteps(record: JournalRecord): readonly PublicationStep[] {
  const sources = record.sources.map((_, source) => source);
  return [
    ...sources.map((source) => ({ kind: "check_source", source }) as const),
    ...record.outputs.map((_, output) => ({ kind: "link_output", output }) as const),
    SYNC,
    { kind: "wait_overlap" },
    ...sources.map((source) => ({ kind: "retire_source", source }) as const),
    SYNC,
    { kind: "write_state", state: "RETIRED" },
    CLEAN,
  ];
}

/** What a name holds now: the recorded inode, nothing, or something else. */
export type Presence = "ours" | "missing" | "other";

export interface Observation {
  readonly sources: readonly { readonly live: Presence; readonly trash: Presence }[];
  readonly outputs: readonly { readonly live: Presence; readonly stage: Presence }[];
}

export type RecoveryDecision =
  /** Nothing to do: the group is at rest. */
  | { readonly kind: "at_rest" }
  | { readonly kind: "discard"; readonly steps: readonly PublicationStep[] }
  | { readonly kind: "roll_back"; readonly steps: readonly PublicationStep[] }
  | { readonly kind: "roll_forward"; readonly steps: readonly PublicationStep[] }
  | { readonly kind: "undo"; readonly steps: readonly PublicationStep[] }
  /** Touch nothing and report. */
  | { readonly kind: "quarantine"; readonly reason: string };

/**
 * What to do with a group found in this state. After a crash a swap that had begun to retire goes `forward`;
 * after a failure in the run itself it goes `back`, since going on would fail again.
 */
export function decideRecovery(
  record: JournalRecord,
  found: Observation,
  direction: "forward" | "back" = "forward",
): RecoveryDecision {
  switch (record.state) {
    case "PREPARED":
      return found.sources.some(({ trash }) => trash !== "missing")
        ? { kind: "quarantine", reason: "a group that never committed has files in its trash" }
        : { kind: "discard", steps: [{ kind: "write_state", state: "ROLLED_BACK" }, CLEAN] };
    case "COMMIT":
      return decideCommitted(record, found, direction);
    case "UNDOING":
      return giveBack(record, found, "UNDONE");
    case "RETIRED":
    case "UNDONE":
    case "ROLLED_BACK":
      return { kind: "at_rest" };
    default:
      return assertNever(record.state);
  }
}

function decideCommitted(
  record: JournalRecord,
  found: Observation,
  direction: "forward" | "back",
): RecoveryDecision {
  if (record.outputs.length === 0)
    return { kind: "quarantine", reason: "a committed group lists no outputs" };
  const published = found.outputs.some(({ live }) => live === "ours");
  const gone = found.sources.findIndex(({ live, trash }) => live === "missing" && trash === "missing");
  // Somebody who found both after a crash may have deleted the originals: the outputs then hold the only rows.
  if (direction === "forward" && published && gone >= 0) {
    const path = record.sources[gone]?.path;
    return { kind: "quarantine", reason: `${path} is gone and the published outputs hold its rows` };
  }
  const retired = found.sources.some(({ live, trash }) => live !== "ours" && trash === "ours");
  if (!retired) return giveBack(record, found, "ROLLED_BACK");
  const changed = found.sources.some(({ live, trash }) => live !== "ours" && trash !== "ours");
  // Something foreign under a trash name: retiring would fail there, or overwrite it.
  const blocked = found.sources.some(({ trash }) => trash === "other");
  const complete = found.outputs.every(
    ({ live, stage }) => live === "ours" || (live === "missing" && stage === "ours"),
  );
  if (direction === "back" || changed || blocked || !complete) return giveBack(record, found, "ROLLED_BACK");
  return { kind: "roll_forward", steps: forwardSteps(found) };
}

function forwardSteps(found: Observation): readonly PublicationStep[] {
  const steps: PublicationStep[] = [];
  found.outputs.forEach(({ live }, output) => {
    if (live === "missing") steps.push({ kind: "link_output", output });
  });
  steps.push(SYNC);
  found.sources.forEach(({ live }, source) => {
    if (live === "ours") steps.push({ kind: "retire_source", source });
  });
  return [...steps, SYNC, { kind: "write_state", state: "RETIRED" }, CLEAN];
}

/**
 * Restores what was retired, then withdraws what was published: in this order, so that no row is ever absent.
 * Where a retired source cannot have its name back (another file took it, the original is gone or changed),
 * nothing is touched.
 */
function giveBack(
  record: JournalRecord,
  found: Observation,
  state: "UNDONE" | "ROLLED_BACK",
): RecoveryDecision {
  const restore: PublicationStep[] = [];
  for (const [source, { live, trash }] of found.sources.entries()) {
    if (live === "ours") continue;
    const path = record.sources[source]?.path ?? "";
    if (trash === "missing") {
      // Before it was retired, its owner changed or deleted it: theirs to do. Once the run was published, our
      // outputs may hold its only rows.
      if (state === "ROLLED_BACK") continue;
      return { kind: "quarantine", reason: `the retained original of ${path} is gone` };
    }
    if (trash === "other")
      return { kind: "quarantine", reason: `the retained original of ${path} was changed` };
    if (live === "other") return { kind: "quarantine", reason: `another file has taken the name ${path}` };
    restore.push({ kind: "restore_source", source });
  }
  const withdraw: PublicationStep[] = [];
  found.outputs.forEach(({ live }, output) => {
    if (live === "ours") withdraw.push({ kind: "withdraw_output", output });
  });
  // A reader that lists while names come back may miss them as it may in a swap: both sides stand for a while.
  const overlap: readonly PublicationStep[] = restore.length > 0 ? [{ kind: "wait_overlap" }] : [];
  const written: PublicationStep = { kind: "write_state", state };
  const steps = [...restore, SYNC, ...overlap, ...withdraw, SYNC, written, CLEAN];
  return restore.length > 0 ? { kind: "undo", steps } : { kind: "roll_back", steps };
}

export type UndoDecision =
  | { readonly kind: "undo"; readonly steps: readonly PublicationStep[] }
  | { readonly kind: "refused"; readonly reason: string };

/** Undo of a finished group: only where every output is as published and every original can have its name back. */
export function decideUndo(record: JournalRecord, found: Observation): UndoDecision {
  if (record.state !== "RETIRED")
    return { kind: "refused", reason: `the group is ${record.state}, not RETIRED` };
  const output = found.outputs.findIndex(({ live }) => live !== "ours");
  if (output >= 0) {
    return { kind: "refused", reason: `${record.outputs[output]?.path} is no longer what the run published` };
  }
  for (const [source, { live, trash }] of found.sources.entries()) {
    const path = record.sources[source]?.path;
    if (trash !== "ours") return { kind: "refused", reason: `the original of ${path} is no longer retained` };
    if (live === "other") return { kind: "refused", reason: `another file has taken the name ${path}` };
  }
  const back = giveBack(record, found, "UNDONE");
  if (back.kind === "quarantine") return { kind: "refused", reason: back.reason };
  const steps = back.kind === "at_rest" ? [] : back.steps;
  return { kind: "undo", steps: [{ kind: "write_state", state: "UNDOING" }, ...steps] };
}
