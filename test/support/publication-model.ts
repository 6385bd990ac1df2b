import type { JournalRecord, JournalState, Observation, Presence, PublicationStep } from "@tamp/core";

/**
 * Names and inodes of one group as publication changes them, and nothing else: no bytes, no folders. A name change
 * lasts through a power cut only once a `sync` followed it; the journal is durable at once.
 */
export interface World {
  /** Name → inode as any process sees it. */
  readonly names: ReadonlyMap<string, string>;
  /** Name → inode as of the last sync. */
  readonly durable: ReadonlyMap<string, string>;
  /** Changes since the last sync, oldest first. */
  readonly pending: readonly Change[];
  readonly state: JournalState;
}

type Change =
  | { readonly kind: "link" | "rename"; readonly from: string; readonly to: string }
  | { readonly kind: "unlink"; readonly name: string };

/** One atomic effect: between two of them a process may die. */
export type Effect =
  | Change
  | { readonly kind: "sync" }
  | { readonly kind: "journal"; readonly state: JournalState };

/** A step that cannot be done as it stands: a run then goes back. */
export class StepFailed extends Error {}

export function recordOf(sources: number, outputs: number): JournalRecord {
  const identity = (inode: string) => ({
    device: "1",
    inode,
    sizeBytes: 1,
    mtimeNs: "1",
    rows: 1,
    footerHash: "",
  });
  return {
    version: 1,
    runId: "r1",
    group: 1,
    planId: "p1",
    stateSince: "",
    operation: "compact",
    state: "COMMIT",
    root: { path: "/d", device: "1", inode: "1" },
    owner: "nonce",
    startedAt: "",
    engine: "",
    partition: "",
    sources: Array.from({ length: sources }, (_, index) => ({
      ...identity(`S${index}`),
      path: `source${index}`,
      ctimeNs: "1",
      pin: `pin${index}`,
      trash: `trash${index}`,
    })),
    outputs: Array.from({ length: outputs }, (_, index) => ({
      ...identity(`O${index}`),
      path: `output${index}`,
      stage: `stage${index}`,
    })),
    groupsInRun: 1,
    rowGroupsBefore: 1,
    duplicateWindowMs: 0,
  };
}

/** The world as COMMIT finds it: sources live and pinned, outputs staged, all of it durable. */
export function committedWorld(record: JournalRecord): World {
  const names = new Map([
    ...record.sources.flatMap(({ path, pin, inode }) => [[path, inode] as const, [pin, inode] as const]),
    ...record.outputs.map(({ stage, inode }) => [stage, inode] as const),
  ]);
  return { names, durable: names, pending: [], state: record.state };
}

/** Every row (i, j) stands in source i and in output j; those that no listed file holds. */
export function absentRows(world: World, record: JournalRecord): readonly (readonly [number, number])[] {
  const listed = (path: string, inode: string): boolean => world.names.get(path) === inode;
  return record.sources.flatMap((source, i) =>
    record.outputs.flatMap((output, j) =>
      listed(source.path, source.inode) || listed(output.path, output.inode) ? [] : [[i, j] as const],
    ),
  );
}

export function observe(world: World, record: JournalRecord): Observation {
  const presence = (name: string, inode: string): Presence => {
    const found = world.names.get(name);
    return found === undefined ? "missing" : found === inode ? "ours" : "other";
  };
  return {
    sources: record.sources.map(({ path, trash, inode }) => ({
      live: presence(path, inode),
      trash: isStray(world, path, trash, inode) ? "stray" : presence(trash, inode),
    })),
    outputs: record.outputs.map(({ path, stage, inode }) => ({
      live: presence(path, inode),
      stage: isStray(world, path, stage, inode) ? "stray" : presence(stage, inode),
    })),
  };
}

function isStray({ names }: World, path: string, trash: string, inode: string): boolean {
  const [live, moved] = [names.get(path), names.get(trash)];
  return moved !== undefined && moved !== inode && (live === undefined || live === moved);
}

/** The effects of a step as the disk stands now, checked as the server checks them. */
export function effectsOf(step: PublicationStep, world: World, record: JournalRecord): readonly Effect[] {
  const { names } = world;
  switch (step.kind) {
    case "check_source":
      expectInode(world, sourceAt(record, step.source).path, sourceAt(record, step.source).inode);
      return [];
    case "link_output": {
      const { stage, path } = outputAt(record, step.output);
      return [{ kind: "link", from: stage, to: path }];
    }
    case "retire_source": {
      const { path, trash, inode } = sourceAt(record, step.source);
      return moveAway(world, path, trash, inode);
    }
    case "restore_source": {
      const { path, trash, inode } = sourceAt(record, step.source);
      expectInode(world, trash, inode);
      return [{ kind: "link", from: trash, to: path }];
    }
    case "withdraw_output": {
      const { path, stage, inode } = outputAt(record, step.output);
      return moveAway(world, path, stage, inode);
    }
    case "return_stray":
      return giveName(world, sourceAt(record, step.source).trash, sourceAt(record, step.source).path);
    case "return_stray_output":
      return giveName(world, outputAt(record, step.output).stage, outputAt(record, step.output).path);
    case "clean": {
      const restored = record.sources.filter(
        (s) => names.get(s.trash) === s.inode && (world.state === "PURGED" || names.get(s.path) === s.inode),
      );
      const ours = [
        ...record.sources.map(({ pin }) => pin),
        ...record.outputs.map(({ stage }) => stage),
        ...restored.map(({ trash }) => trash),
      ];
      return ours.filter((name) => names.has(name)).map((name) => ({ kind: "unlink", name }));
    }
    case "write_state":
      return [{ kind: "journal", state: step.state }];
    case "sync":
      return [{ kind: "sync" }];
    case "wait_overlap":
      return [];
  }
}

function giveName({ names }: World, own: string, live: string): readonly Effect[] {
  const link: Effect = { kind: "link", from: own, to: live };
  return [...(names.has(live) ? [] : [link]), { kind: "sync" }, { kind: "unlink", name: own }];
}

/** Renaming onto a hard link of the same inode would leave the live name, so that one is unlinked instead. */
function moveAway(world: World, live: string, away: string, inode: string): readonly Effect[] {
  expectInode(world, live, inode);
  if (world.names.get(away) === inode) return [{ kind: "unlink", name: live }];
  return [{ kind: "rename", from: live, to: away }];
}

/** The world after one effect; throws where a name would be overwritten or is not there. */
export function applyEffect(world: World, effect: Effect): World {
  switch (effect.kind) {
    case "sync":
      return { ...world, durable: world.names, pending: [] };
    case "journal":
      return { ...world, state: effect.state };
    case "link":
    case "rename":
    case "unlink":
      return { ...world, names: changed(world.names, effect), pending: [...world.pending, effect] };
  }
}

function changed(names: ReadonlyMap<string, string>, change: Change): ReadonlyMap<string, string> {
  const next = new Map(names);
  const from = change.kind === "unlink" ? change.name : change.from;
  const inode = names.get(from);
  if (inode === undefined) throw new StepFailed(`${change.kind}: ${from} is not there`);
  if (change.kind !== "link") next.delete(from);
  if (change.kind === "unlink") return next;
  if (names.has(change.to)) throw new StepFailed(`${change.kind}: ${change.to} stands already`);
  return next.set(change.to, inode);
}

/** Every world that a power cut may leave: any of the changes since the last sync may be lost. */
export function powerCuts(world: World): readonly World[] {
  const worlds: World[] = [];
  for (let kept = 0; kept < 2 ** world.pending.length; kept += 1) {
    let names = world.durable;
    for (const [index, change] of world.pending.entries()) {
      if ((kept & (1 << index)) !== 0) names = orSame(names, change);
    }
    worlds.push({ names, durable: names, pending: [], state: world.state });
  }
  return worlds;
}

/** A change that needs one that was lost is lost too. */
function orSame(names: ReadonlyMap<string, string>, change: Change): ReadonlyMap<string, string> {
  try {
    return changed(names, change);
  } catch {
    return names;
  }
}

/** Somebody else gives a name another file, or takes it away (null), durably. */
export function tamper(world: World, name: string, inode: string | null): World {
  const change = (before: ReadonlyMap<string, string>): ReadonlyMap<string, string> => {
    const next = new Map(before);
    if (inode === null) next.delete(name);
    else next.set(name, inode);
    return next;
  };
  const names = change(world.names);
  return { ...world, names, durable: names, pending: [] };
}

export function worldKey(world: World): string {
  const text = (names: ReadonlyMap<string, string>) =>
    [...names]
      .map((pair) => pair.join("="))
      .sort()
      .join(" ");
  return `${world.state}|${text(world.names)}|${text(world.durable)}|${JSON.stringify(world.pending)}`;
}

function expectInode(world: World, name: string, inode: string): void {
  if (world.names.get(name) !== inode) throw new StepFailed(`${name} is not what was recorded`);
}

function sourceAt(record: JournalRecord, index: number): JournalRecord["sources"][number] {
  const source = record.sources[index];
  if (source === undefined) throw new Error(`no source ${index}`);
  return source;
}

function outputAt(record: JournalRecord, index: number): JournalRecord["outputs"][number] {
  const output = record.outputs[index];
  if (output === undefined) throw new Error(`no output ${index}`);
  return output;
}
