import { createHash } from "node:crypto";
import { performance } from "node:perf_hooks";
import { setImmediate } from "node:timers/promises";
import {
  type ColumnChange,
  comparableKeyValues,
  type DataFile,
  describeChange,
  drain,
  keptKeyValues,
  type PartitionFiles,
  type PartitionFilter,
  type Plan,
  type PlanRefusal,
  type Policy,
  planCompactionSteps,
  planContent,
  refusedChanges,
  schemaText,
} from "@tamp/core";
import type { Engine } from "./engine.ts";
import type { SchemaClass } from "./inventory.ts";

export interface PlanningInput {
  /** Walked more than once; each piece is asked for its files when its turn comes. */
  readonly partitions: Iterable<PartitionFiles>;
  readonly classes: ReadonlyMap<string, SchemaClass>;
  readonly policy: Policy;
  readonly filters: readonly PartitionFilter[];
  readonly engine: Engine;
  readonly nowMs: number;
  readonly learnedRatio: number | null;
  /** Paths that the policy leaves out. */
  readonly isExcluded: (path: string) => boolean;
  /** Why nothing may be planned here, or null. */
  readonly refusal: PlanRefusal | null;
  /** False: the plan only counts what it skips. Default true. */
  readonly listSkipped?: boolean;
}

/** The event loop is given back at least this often. */
const SLICE_MS = 5;

/**
 * Plans over what an inventory knows, in slices: the engine's declared changes decide which classes may be
 * rewritten.
 */
export async function makePlan(input: PlanningInput): Promise<Plan> {
  const { policy, filters, isExcluded, nowMs, learnedRatio, listSkipped = true } = input;
  const merged = mergeClasses(input.classes, policy.allow);
  const unsupportedClasses = new Map<string, string>();
  for (const [id, schemaClass] of merged.classes) {
    const refused = refusedChanges(changesOf(input.engine, schemaClass), policy.allow)[0];
    if (refused !== undefined) unsupportedClasses.set(id, describeChange(refused));
  }
  const judge = (files: readonly DataFile[]): readonly DataFile[] =>
    merged.rename(files).map((file) => withReadableCodec(file, input.engine));
  const partitions = { [Symbol.iterator]: () => judgedPieces(input.partitions, judge) };
  const plan = await inSlices(
    planCompactionSteps({
      partitions,
      policy,
      nowMs,
      unsupportedClasses,
      filters,
      isExcluded,
      learnedRatio,
      listSkipped,
    }),
  );
  return input.refusal === null ? plan : { ...plan, kind: "refused", ...input.refusal };
}

/** Pieces whose files are judged when they are asked for, and not where their inodes are enough. */
function* judgedPieces(
  partitions: Iterable<PartitionFiles>,
  judge: (files: readonly DataFile[]) => readonly DataFile[],
): Generator<PartitionFiles, undefined> {
  for (const piece of partitions) {
    const { partition, inodes } = piece;
    yield {
      partition,
      get files() {
        return judge(piece.files);
      },
      ...(inodes === undefined ? {} : { inodes }),
    };
  }
}

/** Runs steps to their end; between slices of a few milliseconds other work has its turn. */
async function inSlices<T>(steps: Generator<unknown, T>): Promise<T> {
  let until = performance.now() + SLICE_MS;
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
    if (performance.now() < until) continue;
    await setImmediate();
    until = performance.now() + SLICE_MS;
  }
}

/** A file with a codec that the engine does not know cannot be rewritten; its footer was read all the same. */
function withReadableCodec(file: DataFile, engine: Engine): DataFile {
  const codec =
    file.kind === "readable" ? file.stats.codecs.find((name) => !engine.codecs.includes(name)) : undefined;
  if (file.kind === "unreadable" || codec === undefined) return file;
  const { path, sizeBytes, mtimeNs, inode, otherDevice, changedMs } = file.stats;
  const detail = `${engine.name} cannot read the codec ${codec}`;
  return {
    kind: "unreadable",
    file: { path, sizeBytes, mtimeNs, inode, otherDevice, changedMs, reason: "unsupported", detail },
  };
}

function changesOf(engine: Engine, schemaClass: SchemaClass): readonly ColumnChange[] {
  return engine.predictChanges(schemaClass.columns);
}

export interface MergedClasses {
  readonly classes: ReadonlyMap<string, SchemaClass>;
  readonly rename: (files: readonly DataFile[]) => readonly DataFile[];
}

/** Classes that differ only in metadata keys which the policy lets go are one class. */
export function mergeClasses(
  classes: ReadonlyMap<string, SchemaClass>,
  allow: readonly string[],
): MergedClasses {
  if (!allow.some((name) => name.startsWith("metadata:"))) return { classes, rename: (files) => files };
  const ids = new Map<string, string>();
  const merged = new Map<string, SchemaClass>();
  for (const [id, schemaClass] of classes) {
    const mergedId = classId(schemaClass, allow);
    ids.set(id, mergedId);
    const keyValues = keptKeyValues(schemaClass.keyValues, allow);
    merged.set(mergedId, { ...schemaClass, id: mergedId, keyValues });
  }
  const rename = (file: DataFile): DataFile => {
    if (file.kind !== "readable") return file;
    const schemaClass = ids.get(file.stats.schemaClass) ?? file.stats.schemaClass;
    return { kind: "readable", stats: { ...file.stats, schemaClass } };
  };
  return { classes: merged, rename: (files) => files.map(rename) };
}

function classId({ columns, keyValues }: SchemaClass, allow: readonly string[]): string {
  const text = `${schemaText(columns)}\n${JSON.stringify(comparableKeyValues(keyValues, allow))}`;
  return createHash("sha256").update(text).digest("hex").slice(0, 16);
}

type Hashed = Pick<Plan, "operation" | "policy" | "groups">;

/** The plan's content hash: SHA-256, the first 32 hex digits. */
export function planIdOf(plan: Hashed): string {
  return drain(hashSteps(plan));
}

/** `planIdOf` in slices, for a plan of any size. */
export function hashPlan(plan: Hashed): Promise<string> {
  return inSlices(hashSteps(plan));
}

function* hashSteps(plan: Hashed): Generator<void, string> {
  const hash = createHash("sha256");
  for (const piece of planContent(plan)) {
    hash.update(piece);
    yield;
  }
  return hash.digest("hex").slice(0, 32);
}
