import type { ColumnChange, ColumnSchema, ReaderAids } from "@tamp/core";

/** One group to rewrite. The engine sees files under safe names in one run folder, never the dataset. */
export interface RewriteTask {
  /** Folder that holds every path below; the engine may read and write nowhere else. */
  readonly folder: string;
  /** Pinned sources, in the order that their rows keep. Relative to `folder`. */
  readonly inputs: readonly TaskInput[];
  /** Staged outputs: consecutive row ranges of the inputs that together cover all of their rows. */
  readonly outputs: readonly TaskOutput[];
  readonly codec: string;
  readonly rowsPerGroup: number;
  /** File key-value metadata to write into every output. */
  readonly keyValues: readonly KeyValue[];
  readonly columns: readonly ColumnSchema[];
  /** Allowed changes by name, as in the policy. */
  readonly allow: readonly string[];
}

export interface TaskInput {
  readonly path: string;
  readonly rows: number;
}

export interface TaskOutput {
  readonly path: string;
  readonly rows: number;
}

export interface KeyValue {
  readonly key: string;
  readonly value: string;
}

export interface EngineLimits {
  /** Bytes the engine may hold; it spills or fails beyond. */
  readonly memoryBytes: number;
  readonly threads: number;
  /** Wall-clock milliseconds per request; the child is killed beyond. */
  readonly deadlineMs: number;
}

/**
 * A digest of whole rows with their positions, exact as text: equal for inputs and outputs if and only if
 * (up to hash collisions) the same rows stand in the same order.
 */
export interface RowDigest {
  readonly rows: number;
  /** Sum over rows of a 64-bit hash of position and values, as a decimal string (128-bit sum). */
  readonly sum: string;
}

export interface DigestTask {
  readonly folder: string;
  readonly files: readonly TaskInput[];
  readonly columns: readonly ColumnSchema[];
}

/** A running engine: one child process that serves one run and ends with it. */
export interface RunningEngine {
  /** Writes every output of the task; resolves when they are complete, though not yet fsynced. */
  rewrite(task: RewriteTask, onProgress: (fraction: number) => void): Promise<void>;
  /** V2 of validation: order-sensitive digest of all rows of `files`, read one after the other. */
  digest(task: DigestTask): Promise<RowDigest>;
  /** Kills the child at once; calls under way reject with `Cancelled`. */
  kill(): void;
  /** Ends the child in an orderly way. */
  dispose(): Promise<void>;
}

/** What reads and writes groups. Adding an engine is one adapter; the planner and the run stay as they are. */
export interface Engine {
  readonly name: string;
  readonly version: string;
  /** Codecs it can write, lower case. */
  readonly codecs: readonly string[];
  /** What a rewrite of these columns would change, declared, without running anything. */
  predictChanges(columns: readonly ColumnSchema[]): readonly ColumnChange[];
  /** What a rewrite loses of what speeds readers up, in words; no meaning is lost with it. */
  describeLosses(aids: readonly ReaderAids[]): readonly string[];
  /** Rejects with `EngineUnavailable` where it does not start, and with `Cancelled` once `signal` is aborted. */
  start(limits: EngineLimits, signal?: AbortSignal): Promise<RunningEngine>;
}
