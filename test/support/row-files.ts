import { lstatSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { type ColumnSchema, type FileGroup, type Plan, type Policy, resolvePolicy } from "@tamp/core";
import type { Engine, RunningEngine, TaskInput } from "../../server/src/engine.ts";
import type { FooterFacts } from "../../server/src/footer.ts";
import { hashFooter } from "../../server/src/footer-hash.ts";
import { nodeFs } from "../../server/src/fs.ts";
import { type Maintenance, maintain, type Ports } from "../../server/src/maintain.ts";
import { executePlan, type RunReport } from "../../server/src/run.ts";
import type { CheckedFooter, Checker } from "../../server/src/validate.ts";
import { testPorts } from "./ports.ts";

/** A file that is all footer: its rows, their length, the magic word. */
export function writeRows(path: string, rows: readonly string[]): void {
  const text = Buffer.from(rows.join("\n"));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(text.length);
  writeFileSync(path, Buffer.concat([text, length, Buffer.from("PAR1")]));
}

export function readRows(path: string): readonly string[] {
  return readFileSync(path).subarray(0, -8).toString().split("\n");
}

export interface RowRun {
  readonly root: string;
  readonly plan: Plan;
  readonly ports?: Partial<Ports>;
  /** Between the rewrite of a group and its end. */
  readonly afterRewrite?: () => void;
}

/** A run of the plan as the daemon performs it, but for the engine and the checker, which know rows alone. */
export function executeRows({ root, plan, ports = {}, afterRewrite = () => {} }: RowRun): Promise<RunReport> {
  return maintain({ ports: testPorts(ports), root, workspace: null }, (held) =>
    executePlan({
      ...REST,
      held,
      plan,
      planId: JSON.stringify(plan.groups),
      engine: rowEngine(afterRewrite),
    }),
  );
}

const REST = {
  limits: { memoryBytes: 1, threads: 1, deadlineMs: 1 },
  overlapMs: 1,
  createChecker: (): Checker => CHECKER,
  refusalOf: async () => null,
  keyValuesOf: () => [],
  signal: new AbortController().signal,
  onProgress: () => {},
};

/** Work under the lock of a root. */
export function maintainRows<T>(
  root: string,
  work: (held: Maintenance) => Promise<T>,
  ports: Partial<Ports> = {},
): Promise<T> {
  return maintain({ ports: testPorts(ports), root, workspace: null }, work);
}

/** The plan that rewrites each of these groups of files, as they are now, into one. */
export function planRows(
  root: string,
  groups: readonly (readonly string[])[],
  policy: Partial<Policy> = {},
): Plan {
  const planned = groups.map((paths) => groupOf(root, paths));
  const bytes = planned.reduce((sum, { inputBytes }) => sum + inputBytes, 0);
  const resolved = resolvePolicy({});
  if (resolved.kind !== "ok") throw new Error("the default policy is invalid");
  const plan: Pick<Plan, "groups" | "policy"> & { readonly estimate: Pick<Plan["estimate"], "neededBytes"> } =
    {
      policy: { ...resolved.policy, ...policy },
      groups: planned,
      estimate: { neededBytes: bytes },
    };
  // All that a run reads of its plan.
  return plan as Plan;
}

function groupOf(root: string, paths: readonly string[]): FileGroup {
  const inputs = paths.map((path) => {
    const { size, mtimeNs, ino } = lstatSync(join(root, path), { bigint: true });
    const rows = readRows(join(root, path)).length;
    return { path, sizeBytes: Number(size), rows, mtimeNs: String(mtimeNs), inode: String(ino) };
  });
  const partition = dirname(paths[0] ?? "");
  const inputBytes = inputs.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  return {
    partition: partition === "." ? "" : partition,
    schemaClass: "rows",
    inputs,
    outputRows: [inputs.reduce((sum, { rows }) => sum + rows, 0)],
    codec: "zstd",
    reasons: ["small_files"],
    inputBytes,
    estimatedOutputBytes: inputBytes,
    rowGroupsBefore: inputs.length,
    rowGroupsAfter: 1,
  };
}

/** Puts all rows into the first output. */
function rowEngine(afterRewrite: () => void): Engine {
  const rowsOf = (folder: string, files: readonly TaskInput[]): readonly string[] =>
    files.flatMap(({ path }) => readRows(join(folder, path)));
  const running: RunningEngine = {
    async rewrite({ folder, inputs, outputs }) {
      writeRows(join(folder, outputs[0]?.path ?? ""), rowsOf(folder, inputs));
      afterRewrite();
    },
    async digest({ folder, files }) {
      const rows = rowsOf(folder, files);
      return { rows: rows.length, sum: rows.join("\n") };
    },
    kill: () => {},
    dispose: async () => {},
  };
  return {
    name: "rows",
    version: "1",
    codecs: ["zstd"],
    predictChanges: () => [],
    describeLosses: () => [],
    start: async () => running,
  };
}

const CHECKER: Checker = {
  footers: (paths) => Promise.all(paths.map(footerOf)),
  async sameRows({ source, output, outputRow, rows }) {
    const stretch = readRows(output).slice(outputRow, outputRow + rows);
    return readRows(source).slice(0, rows).join("\n") === stretch.join("\n");
  },
  dispose: async () => {},
};

const COLUMN: ColumnSchema = {
  path: "row",
  physicalType: "BYTE_ARRAY",
  typeLength: 0,
  logicalType: "STRING",
  repetition: "r",
  groupTypes: "",
  fieldIds: "-",
};

async function footerOf(path: string): Promise<CheckedFooter> {
  const rows = readRows(path).length;
  const sizeBytes = lstatSync(path).size;
  const facts: FooterFacts = {
    rows,
    rowGroupCount: 1,
    largestRowGroupRows: rows,
    compressedBytes: sizeBytes,
    uncompressedBytes: sizeBytes,
    codecs: ["zstd"],
    createdBy: "rows",
    columns: [COLUMN],
    keyValues: [],
    aids: { pageIndex: false, bloomFilter: false, sortingColumns: false },
  };
  return { kind: "footer", facts, hash: await hashFooter(nodeFs, path) };
}
