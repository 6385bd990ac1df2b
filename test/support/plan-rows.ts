import {
  type CompactionInput,
  type FileStats,
  type Plan,
  type PolicyInput,
  planCompaction,
} from "@tamp/core";
import { expect } from "vitest";
import { HOUR_MS, inputOf, NOW_MS, policyOf, readable } from "./file-stats.ts";

export type Given = Partial<FileStats>;

/** Sizes in a policy whose target is 1000: small under 750, oversize over 1800. */
const POLICY: PolicyInput = { targetSize: 1000, minFiles: 3, rowsPerGroup: 2048 };

/** A plan to be made, and what it must say. */
export interface Row {
  readonly name: string;
  /** By file name without extension. */
  readonly files: Readonly<Record<string, Given>>;
  readonly policy?: PolicyInput;
  readonly input?: Partial<CompactionInput>;
  /** Each group as `inputs > rows of outputs (reasons)`. */
  readonly groups?: readonly string[];
  readonly skipped?: Readonly<Record<string, string>>;
}

export function check({ files, policy = {}, input = {}, groups = [], skipped = {} }: Row): void {
  const listed = Object.entries(files).map(([name, given]) =>
    readable({ path: `${name}.parquet`, ...given }),
  );
  const plan = planCompaction(inputOf(listed, { policy: policyOf({ ...POLICY, ...policy }), ...input }));
  expect(plan.groups.map(describeGroup)).toEqual(groups);
  expect(Object.fromEntries(plan.skipped.map(({ path, reason }) => [bare(path), reason]))).toEqual(skipped);
  expect(plan.kind).toBe(groups.length > 0 ? "planned" : "nothing_to_do");
}

function describeGroup({ inputs, outputRows, reasons }: Plan["groups"][number]): string {
  return `${inputs.map(({ path }) => bare(path)).join(" ")} > ${outputRows.join(" ")} (${reasons.join(" ")})`;
}

function bare(path: string): string {
  return path.replace(/\.parquet$/, "");
}

export const small: Given = { sizeBytes: 200 };
export const young: Given = { sizeBytes: 200, changedMs: NOW_MS - HOUR_MS + 1 };
export const SMALL_THREE = { a: small, b: small, c: small };
