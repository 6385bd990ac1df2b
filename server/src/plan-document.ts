import type { FileGroup, GroupReason, Plan, PlannedFile, Policy } from "@tamp/core";
import { invalid } from "./check.ts";
import { planIdOf } from "./planning.ts";

/**
 * Reads a plan that came from outside. It is taken as it was written or not at all: its id must be the hash of
 * its content, and no path may leave the dataset.
 */
export function readPlanDocument(value: object): { readonly plan: Plan; readonly planId: string } {
  const document = value as Readonly<Record<string, unknown>>;
  if (document.tampPlan !== 1) throw invalid("plan is not a Tamp plan of version 1");
  if (document.operation !== "compact") throw invalid("plan.operation must be compact");
  if (document.kind === "refused") throw invalid("plan is a refusal: there is nothing to execute");
  if (!Array.isArray(document.groups)) throw invalid("plan.groups must be a list");
  const groups = document.groups.map(readGroup);
  refuseRepeated(groups);
  checkProjection(document);
  const policy = readPolicy(document.policy);
  const plan = { ...(document as unknown as Plan), policy, groups };
  const planId = planIdOf(plan);
  if (planId !== document.planId) throw invalid("plan.planId is not the hash of the plan: it was edited");
  return { plan: { ...plan, kind: groups.length > 0 ? "planned" : "nothing_to_do" }, planId };
}

/** A file named twice would be rewritten twice: its rows would double on both sides of every comparison. */
function refuseRepeated(groups: readonly FileGroup[]): void {
  const seen = new Set<string>();
  for (const { path } of groups.flatMap((group) => group.inputs)) {
    if (seen.has(path)) throw invalid(`plan.groups names ${path} twice`);
    seen.add(path);
  }
}

/** The fields that a run's result stands beside; they are no part of the hash. */
function checkProjection({ stats, estimate, partitionFilter }: Readonly<Record<string, unknown>>): void {
  const { beforeFileCount, beforeTotalBytes } = (stats ?? {}) as Partial<Plan["stats"]>;
  const { neededBytes, ratio } = (estimate ?? {}) as Partial<Plan["estimate"]>;
  const counted = isCounts([beforeFileCount, beforeTotalBytes, neededBytes]) && typeof ratio === "number";
  if (!counted || !isTexts(partitionFilter)) {
    throw invalid(
      "plan is incomplete: stats, estimate and partitionFilter must be as tamp/plan/document gave them",
    );
  }
}

function readPolicy(value: unknown): Policy {
  const policy = value as Policy;
  const { targetBytes, rowsPerGroup, settleMs, retentionMs, maxRetainedBytes } = policy ?? {};
  const numbers = [targetBytes, rowsPerGroup, settleMs, retentionMs, maxRetainedBytes ?? 0];
  if (!isCounts(numbers) || !isTexts(policy.allow)) {
    throw invalid("plan.policy is not a resolved policy");
  }
  return policy;
}

function readGroup(value: unknown): FileGroup {
  if (typeof value !== "object" || value === null) throw invalid("plan.groups holds an incomplete group");
  const group = value as FileGroup;
  const inputs = Array.isArray(group.inputs) ? group.inputs.map(readInput) : [];
  const rows = inputs.reduce((sum, file) => sum + file.rows, 0);
  const { outputRows, partition, codec, schemaClass } = group;
  const texts = [partition, codec, schemaClass].every((text) => typeof text === "string");
  if (inputs.length === 0 || !texts || !isCounts(outputRows))
    throw invalid("plan.groups holds an incomplete group");
  if (outputRows.reduce((sum, part) => sum + part, 0) !== rows) {
    throw invalid("plan.groups holds a group whose outputs do not add up to its inputs");
  }
  const apart = inputs.find((file) => directoryOf(file.path) !== partition);
  if (apart !== undefined) throw invalid(`plan.groups holds ${apart.path} outside its partition`);
  return { ...group, inputs, reasons: group.reasons as readonly GroupReason[] };
}

function readInput(value: unknown): PlannedFile {
  const file = value as PlannedFile;
  const counts = isCounts([file?.sizeBytes, file?.rows]);
  const texts = isTexts([file?.path, file?.mtimeNs, file?.inode]);
  if (!counts || !texts) throw invalid("plan.groups holds an incomplete input");
  const parts = file.path.split("/");
  if (file.path.includes("\0") || parts.some((part) => part === "" || part === "." || part === "..")) {
    throw invalid(`plan.groups holds a path that leaves the dataset: ${JSON.stringify(file.path)}`);
  }
  const { path, sizeBytes, rows, mtimeNs, inode } = file;
  return { path, sizeBytes, rows, mtimeNs, inode };
}

function directoryOf(path: string): string {
  return path.includes("/") ? path.slice(0, path.lastIndexOf("/")) : "";
}

function isTexts(values: unknown): boolean {
  return Array.isArray(values) && values.every((value) => typeof value === "string");
}

function isCounts(values: unknown): boolean {
  return Array.isArray(values) && values.every((value) => Number.isSafeInteger(value) && value >= 0);
}
