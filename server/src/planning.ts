import { createHash } from "node:crypto";
import {
  type ColumnChange,
  comparableKeyValues,
  type DataFile,
  describeChange,
  keptKeyValues,
  type PartitionFilter,
  type Plan,
  type Policy,
  planCompaction,
  planContent,
  refusedChanges,
  schemaText,
} from "@tamp/core";
import type { Engine } from "./engine.ts";
import type { SchemaClass } from "./inventory.ts";

export interface PlanningInput {
  readonly files: readonly DataFile[];
  readonly classes: ReadonlyMap<string, SchemaClass>;
  readonly policy: Policy;
  readonly filters: readonly PartitionFilter[];
  readonly engine: Engine;
  readonly nowMs: number;
  readonly learnedRatio: number | null;
  /** Why nothing may be planned here, or null. */
  readonly refusal: string | null;
}

/** Plans over what an inventory knows: the engine's declared changes decide which classes may be rewritten. */
export function makePlan(input: PlanningInput): Plan {
  const merged = mergeClasses(input.classes, input.policy.allow);
  const unsupportedClasses = new Map<string, string>();
  for (const [id, schemaClass] of merged.classes) {
    const refused = refusedChanges(changesOf(input.engine, schemaClass), input.policy.allow)[0];
    if (refused !== undefined) unsupportedClasses.set(id, describeChange(refused));
  }
  const { policy, filters, nowMs, learnedRatio } = input;
  const files = merged.rename(input.files).map((file) => withReadableCodec(file, input.engine));
  const plan = planCompaction({ files, policy, nowMs, unsupportedClasses, filters, learnedRatio });
  return input.refusal === null ? plan : { ...plan, kind: "refused", reason: input.refusal };
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

/** The plan's content hash: SHA-256, the first 32 hex digits. */
export function planIdOf(plan: Pick<Plan, "operation" | "policy" | "groups">): string {
  const hash = createHash("sha256");
  for (const piece of planContent(plan)) hash.update(piece);
  return hash.digest("hex").slice(0, 32);
}
