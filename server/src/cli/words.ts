import type { SkipReason } from "@tamp/core";
import type { RunGroup, WireGroup, WireHealth, WireRecovered } from "../protocol.ts";
import { printable } from "./text.ts";

const SKIPPED: Readonly<Record<SkipReason, string>> = {
  at_target: "inside the size band: nothing to gain",
  no_gain: "a rewrite would not lower the number of files",
  too_few_files: "too few small files in the partition to pay",
  too_young: "not enough small files yet, or a run just wrote it",
  unsettled: "changed a moment ago: may still be written",
  unsupported: "a type or a name that no allowed engine keeps",
  hard_linked: "one file under several names of the dataset",
  other_device: "on another device than the dataset: cannot be linked",
  foreign_schema: "no other small file of its partition has its schema",
  quarantined: "broken, or failed before: left alone",
  filtered_out: "outside the partition filter",
  over_budget: "beyond the limits of one run: would be next",
  excluded: "excluded by the policy",
};

/** What a reason for skipping a file means; `""` for one that this version does not know. */
export function explainSkip(reason: string): string {
  return new Map(Object.entries<string>(SKIPPED)).get(reason) ?? "";
}

const GROUP_REASONS: Readonly<Record<WireGroup["reasons"][number], string>> = {
  small_files: "small files",
  oversize: "oversize",
  row_groups: "too many row groups",
  codec: "another codec",
};

export function explainGroup(reasons: WireGroup["reasons"]): string {
  return reasons.map((reason) => GROUP_REASONS[reason] ?? words(reason)).join(", ");
}

const HEALTH_REASONS: Readonly<Record<WireHealth["reasons"][number]["kind"], string>> = {
  small_files: "small files: fewer, larger ones pay",
  oversize: "oversize files: splitting them pays",
  row_groups: "more row groups than their rows need",
  codec: "another codec than the one asked for",
  foreign_format: "kept by a table format: never rewritten here",
};

export function explainHealth(kind: WireHealth["reasons"][number]["kind"]): string {
  return HEALTH_REASONS[kind] ?? words(kind);
}

const GROUP_OUTCOMES: Readonly<Record<RunGroup["kind"], string>> = {
  published: "published",
  rolled_back: "rolled back",
  cancelled: "cancelled",
  unknown: "not known",
  skipped: "published before",
};

export function explainOutcome(kind: RunGroup["kind"]): string {
  return GROUP_OUTCOMES[kind] ?? words(kind);
}

const ACTIONS: Readonly<Record<WireRecovered["action"], string>> = {
  discard: "discarded: nothing had begun",
  roll_back: "rolled back: the originals stand",
  roll_forward: "finished: the outputs stand",
  undo: "undone: the originals stand",
  quarantine: "quarantined: left as it is",
};

export function explainAction(action: WireRecovered["action"]): string {
  return ACTIONS[action] ?? words(action);
}

/** `at_target` → `at target`. */
export function words(identifier: string): string {
  return printable(identifier.replaceAll("_", " "));
}
