import { createHash } from "node:crypto";
import type { FileGroup, Plan } from "@tamp/core";
import { type Maintenance, maintain, type Ports } from "../../server/src/maintain.ts";
import { processesOf } from "../../server/src/processes.ts";
import { type Purged, purgeRuns } from "../../server/src/purge.ts";
import type { RecoveredGroup } from "../../server/src/recover.ts";
import { executePlan, type RunReport } from "../../server/src/run.ts";
import { type Undone, undoRun } from "../../server/src/undo.ts";
import { policyOf } from "./file-stats.ts";
import { fileText, memoryChecker, memoryEngine, rowsOf } from "./memory-engine.ts";
import {
  createFile,
  type Disk,
  diskOf,
  emptyImage,
  find,
  type Gate,
  GO,
  giveFile,
  type Image,
  imageOf,
  makeFolder,
  memoryFs,
  settle,
  writeFile,
} from "./memory-fs.ts";

export const ROOT = "/d/data";
export const HOME = "/d/.data.tamp";

/** One process on one boot of a computer with this disk; every process before it is dead. */
export interface Machine {
  readonly disk: Disk;
  readonly ports: Ports;
  /** Cancels a run. */
  readonly cancel: AbortController;
}

export interface MachineOptions {
  readonly boot: number;
  readonly pid: number;
  readonly gate?: Gate;
  readonly reusesInodes?: boolean;
}

export function bootMachine(
  image: Image,
  { boot, pid, gate = () => GO, reusesInodes }: MachineOptions,
): Machine {
  const disk = diskOf(image, reusesInodes);
  const place = {
    host: "memory",
    machineId: "memory",
    bootId: `boot${boot}`,
    pidNamespace: "pid:[4026531836]",
  };
  // Whoever has this process's number now began at another time: fields 3, 20 and 22 of proc(5).
  const fields = ["S", ...Array.from({ length: 16 }, () => "0"), "1", "0", String(pid)];
  const stat = `${process.pid} (node) ${fields.join(" ")}`;
  let random = boot * 7919 + pid * 104_729 + image.ticks;
  const ports: Ports = {
    fs: memoryFs(disk, gate),
    processes: processesOf({ place: async () => place, stat: async () => stat, isAlive: () => true }),
    openWriters: async (files) => files.map(() => null),
    stateFolder: null,
    user: { configFolder: null, home: null, environment: {} },
    // The clock of the disk goes on over every boot: ids of runs sort by time.
    now: () => Date.UTC(2026, 0, 1) + disk.ticks,
    clock: () => disk.ticks,
    sleep: async () => {},
    randomHex: (bytes) => {
      random = (Math.imul(random, 1_664_525) + 1_013_904_223) >>> 0;
      return random
        .toString(16)
        .padStart(8, "0")
        .repeat(Math.ceil(bytes / 4))
        .slice(0, bytes * 2);
    },
  };
  return { disk, ports, cancel: new AbortController() };
}

/** Path below the root → its rows. */
export type Dataset = Readonly<Record<string, readonly string[]>>;

/** Mode and owner of the dataset's files: what is published must have the same. */
export const USERS = { mode: 0o640, uid: 1000 };

/** A dataset that has been on the disk for long. */
export function diskWith(dataset: Dataset): Image {
  const disk = diskOf(emptyImage());
  makeFolder(disk, "/d");
  makeFolder(disk, ROOT);
  for (const [path, rows] of Object.entries(dataset)) {
    for (const [index] of [...path].entries()) {
      const above = `${ROOT}/${path.slice(0, index)}`;
      if (path[index] === "/" && find(disk, above) === null) makeFolder(disk, above);
    }
    createFile(disk, `${ROOT}/${path}`);
    writeFile(disk, `${ROOT}/${path}`, fileText(rows));
    giveFile(disk, `${ROOT}/${path}`, USERS);
  }
  settle(disk);
  return imageOf(disk);
}

export interface PlannedGroup {
  /** Paths below the root, all in one folder. */
  readonly inputs: readonly string[];
  readonly outputRows: readonly number[];
}

/** The plan that rewrites these groups as they lie on the disk now. */
export function planOf(image: Image, groups: readonly PlannedGroup[]): Plan {
  const planned = groups.map((group) => groupOf(image, group));
  const bytes = planned.reduce((sum, { inputBytes }) => sum + inputBytes, 0);
  const files = planned.flatMap(({ inputs }) => inputs);
  return {
    kind: "planned",
    operation: "compact",
    policy: policyOf({ minFiles: 2, settleMs: 0, minAgeMs: 0 }),
    partitionFilter: [],
    groups: planned,
    skipped: [],
    skippedByReason: {},
    crossings: [],
    nextDueMs: null,
    stats: {
      beforeFileCount: files.length,
      afterFileCount: files.length,
      beforeTotalBytes: bytes,
      afterTotalBytes: bytes,
      compactedFileCount: files.length,
      rewrittenBytes: bytes,
      compressionCodec: "zstd",
      dryRun: true,
      clusterColumns: [],
      plannedGroups: planned.map(({ inputs }) => inputs.map(({ path }) => path)),
    },
    estimate: { basis: "inputs", ratio: 1, neededBytes: bytes },
    benefit: { filesBefore: 0, filesAfter: 0, rowGroupsBefore: 0, rowGroupsAfter: 0 },
  } as Plan;
}

function groupOf(image: Image, { inputs, outputRows }: PlannedGroup): FileGroup {
  const files = inputs.map((path) => {
    const inode = find(image, `${ROOT}/${path}`);
    const node = inode === null ? undefined : image.nodes.get(inode);
    if (node?.kind !== "file") throw new Error(`${path} is no file`);
    const rows = rowsOf(node.text)?.length ?? 0;
    return { path, sizeBytes: node.text.length, rows, mtimeNs: String(node.mtime), inode: String(inode) };
  });
  const first = inputs[0] ?? "";
  const inputBytes = files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  return {
    partition: first.includes("/") ? first.slice(0, first.lastIndexOf("/")) : "",
    schemaClass: "a",
    inputs: files,
    outputRows,
    codec: "zstd",
    reasons: ["small_files"],
    inputBytes,
    estimatedOutputBytes: inputBytes,
    rowGroupsBefore: files.length,
    rowGroupsAfter: outputRows.length,
  };
}

/** What the command line may do to a dataset. */
export type Operation =
  | { readonly kind: "recover" }
  | { readonly kind: "run"; readonly groups: readonly PlannedGroup[] }
  | { readonly kind: "undo" }
  /** Of everything that may be purged. */
  | { readonly kind: "purge" };

export interface Outcome {
  /** What S0 found; empty where it was not reached. */
  readonly recovered: readonly RecoveredGroup[];
  readonly run: RunReport | null;
  readonly undone: Undone | null;
  readonly purged: Purged | null;
  readonly error: unknown;
}

/** Performs an operation as the daemon does: lock, recovery, the work itself. Never rejects. */
export async function perform(machine: Machine, operation: Operation): Promise<Outcome> {
  let recovered: readonly RecoveredGroup[] = [];
  const outcome = { run: null, undone: null, purged: null, error: null };
  try {
    const plan = operation.kind === "run" ? planOf(machine.disk, operation.groups) : null;
    const done = await maintain({ ports: machine.ports, root: ROOT, workspace: null }, async (held) => {
      recovered = held.recovered;
      if (operation.kind === "purge")
        return { ...outcome, purged: await purgeRuns(held, { kind: "all" }, false) };
      if (plan !== null) return { ...outcome, run: await execute(machine, held, plan) };
      return operation.kind === "undo" ? { ...outcome, undone: await undoRun(held, null) } : outcome;
    });
    return { ...done, recovered };
  } catch (error) {
    return { ...outcome, recovered, error };
  }
}

function execute({ disk, cancel }: Machine, held: Maintenance, plan: Plan): Promise<RunReport> {
  return executePlan({
    held,
    plan,
    planId: createHash("sha256").update(JSON.stringify(plan.groups)).digest("hex"),
    refusalOf: async () => null,
    engine: memoryEngine(disk),
    limits: { memoryBytes: 1, threads: 1, deadlineMs: 1 },
    overlapMs: 1,
    createChecker: () => memoryChecker(disk),
    keyValuesOf: () => [],
    signal: cancel.signal,
    onProgress: () => {},
  });
}
