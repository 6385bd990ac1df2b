import { assertNever } from "./invariant.ts";
import type { JournalRecord, PublicationStep } from "./publication.ts";

/** What a name holds now: the recorded inode, nothing, or something else. */
export type Presence = "ours" | "missing" | "other";

/** `stray`: a file of somebody else, or the recorded one rewritten by somebody, whose live name is free or is a link of it. */
export type OwnPresence = Presence | "stray";

/** `elsewhere`: gone from its name, but the staged inode has another one, as after a move of its directory. */
export type OutputPresence = Presence | "elsewhere";

export interface Observation {
  readonly sources: readonly { readonly live: Presence; readonly trash: OwnPresence }[];
  readonly outputs: readonly { readonly live: OutputPresence; readonly stage: OwnPresence }[];
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
        : // On a full disk the record needs the room that the staged outputs take.
          { kind: "discard", steps: [{ kind: "clean" }, { kind: "write_state", state: "ROLLED_BACK" }] };
    case "COMMIT":
      return decideCommitted(record, found, direction);
    case "UNDOING":
      return movedOutput(record, found) ?? giveBack(record, found, "UNDONE");
    case "RETIRED":
    case "UNDONE":
    case "ROLLED_BACK":
    case "PURGED":
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
  const moved = movedOutput(record, found);
  if (moved !== null) return moved;
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
  if (direction === "back") return asCommitted(giveBack(record, found, "ROLLED_BACK"), found);
  if (changed || blocked || !complete) return giveBack(record, found, "ROLLED_BACK");
  return { kind: "roll_forward", steps: forwardSteps(found) };
}

/**
 * Whatever is done here, its rows would stand twice once the directory is back. In an undo an output is at its name or
 * withdrawn: where it is neither, it was moved as well, for all that can be told.
 */
function movedOutput(record: JournalRecord, { outputs }: Observation): RecoveryDecision | null {
  const index = outputs.findIndex(
    ({ live, stage }) =>
      live === "elsewhere" || (record.state === "UNDOING" && live === "missing" && stage === "missing"),
  );
  if (index < 0) return null;
  const path = record.outputs[index]?.path;
  return {
    kind: "quarantine",
    reason: `${path} was published and has left its name, as if its directory had been moved: recover when it is back`,
  };
}

/**
 * A run that goes back after every original has left may have failed while it wrote RETIRED, which may stand in the
 * journal all the same: a power cut on the way back would leave a group that is neither before nor after and calls
 * itself at rest.
 */
function asCommitted(decision: GivingBack, { sources }: Observation): GivingBack {
  const maybeRetired = sources.every(({ live }) => live !== "ours");
  if (!maybeRetired || decision.kind !== "undo") return decision;
  return { ...decision, steps: [{ kind: "write_state", state: "COMMIT" }, ...decision.steps] };
}

function forwardSteps(found: Observation): readonly PublicationStep[] {
  const steps: PublicationStep[] = [];
  found.outputs.forEach(({ live }, output) => {
    if (live === "missing") steps.push({ kind: "link_output", output });
  });
  const linked = steps.length > 0;
  steps.push({ kind: "sync" });
  if (linked) steps.push({ kind: "wait_overlap" });
  found.sources.forEach(({ live }, source) => {
    if (live === "ours") steps.push({ kind: "retire_source", source });
  });
  return [...steps, { kind: "sync" }, { kind: "write_state", state: "RETIRED" }, { kind: "clean" }];
}

type GivingBack = Extract<RecoveryDecision, { readonly kind: "undo" | "roll_back" | "quarantine" }>;

/**
 * Restores what was retired, then withdraws what was published: in this order, so that no row is ever absent.
 * Where a retired source cannot have its name back (another file took it, the original is gone or changed),
 * nothing is touched.
 */
function giveBack(record: JournalRecord, found: Observation, state: "UNDONE" | "ROLLED_BACK"): GivingBack {
  const strays: PublicationStep[] = [];
  const restore: PublicationStep[] = [];
  for (const [source, { live, trash }] of found.sources.entries()) {
    if (trash === "stray" && state === "ROLLED_BACK") {
      strays.push({ kind: "return_stray", source });
      continue;
    }
    if (live === "ours") continue;
    const path = record.sources[source]?.path ?? "";
    if (trash === "missing") {
      // Before it was retired, its owner changed or deleted it: theirs to do. Once the run was published, our
      // outputs may hold its only rows.
      if (state === "ROLLED_BACK") continue;
      return { kind: "quarantine", reason: `the retained original of ${path} is gone` };
    }
    if (trash !== "ours")
      return { kind: "quarantine", reason: `the retained original of ${path} was changed` };
    if (live === "other") return { kind: "quarantine", reason: `another file has taken the name ${path}` };
    restore.push({ kind: "restore_source", source });
  }
  const withdraw: PublicationStep[] = [];
  found.outputs.forEach(({ live, stage }, output) => {
    if (live === "ours") withdraw.push({ kind: "withdraw_output", output });
    if (stage === "stray") strays.push({ kind: "return_stray_output", output });
  });
  // A reader that lists while names come back may miss them as it may in a swap: both sides stand for a while.
  const overlap: readonly PublicationStep[] = restore.length > 0 ? [{ kind: "wait_overlap" }] : [];
  const steps: readonly PublicationStep[] = [
    ...strays,
    ...restore,
    { kind: "sync" },
    ...overlap,
    ...withdraw,
    { kind: "sync" },
    { kind: "write_state", state },
    { kind: "clean" },
  ];
  return restore.length > 0 || state === "UNDONE" ? { kind: "undo", steps } : { kind: "roll_back", steps };
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
  for (const [source, { trash }] of found.sources.entries()) {
    const path = record.sources[source]?.path;
    if (trash !== "ours") return { kind: "refused", reason: `the original of ${path} is no longer retained` };
  }
  const back = giveBack(record, found, "UNDONE");
  if (back.kind === "quarantine") return { kind: "refused", reason: back.reason };
  return { kind: "undo", steps: [{ kind: "write_state", state: "UNDOING" }, ...back.steps] };
}

export type PurgeDecision =
  | { readonly kind: "purge"; readonly steps: readonly PublicationStep[] }
  | { readonly kind: "refused"; readonly reason: string };

/** Purge of a finished group: undo is given up durably before the first original goes. */
export function decidePurge(record: JournalRecord, found: Observation): PurgeDecision {
  if (record.state !== "RETIRED")
    return { kind: "refused", reason: `the group is ${record.state}, not RETIRED` };
  const changed = found.sources.findIndex(({ trash }) => trash !== "ours" && trash !== "missing");
  if (changed >= 0)
    return {
      kind: "refused",
      reason: `the retained original of ${record.sources[changed]?.path} was changed`,
    };
  return { kind: "purge", steps: [{ kind: "write_state", state: "PURGED" }, { kind: "clean" }] };
}
