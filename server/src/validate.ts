import { compareColumns, describeChange, refusedChanges } from "@tamp/core";
import type { KeyValue, RewriteTask, RunningEngine, TaskInput, TaskOutput } from "./engine.ts";
import type { FooterFacts } from "./footer.ts";

/** What the independent parser found in one file. */
export type CheckedFooter =
  | { readonly kind: "footer"; readonly facts: FooterFacts; readonly hash: string }
  | { readonly kind: "unreadable"; readonly detail: string };

export type CheckRequest =
  | { readonly kind: "footers"; readonly paths: readonly string[] }
  /** Rows `0..rows` of the source against `outputRow..outputRow+rows` of the output. */
  | {
      readonly kind: "compare";
      readonly source: string;
      readonly output: string;
      readonly outputRow: number;
      readonly rows: number;
    };

export type CheckReply =
  | { readonly kind: "footers"; readonly footers: readonly CheckedFooter[] }
  | { readonly kind: "compare"; readonly equal: boolean };

/** The independent parser in a worker of its own, for one run. */
export interface Checker {
  footers(paths: readonly string[]): Promise<readonly CheckedFooter[]>;
  sameRows(request: Extract<CheckRequest, { readonly kind: "compare" }>): Promise<boolean>;
  dispose(): Promise<void>;
}

/** A staged output does not keep a promise of the plan. Its message says which one. */
export class ValidationError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "ValidationError";
  }
}

export interface ValidationRequest {
  readonly checker: Checker;
  readonly running: RunningEngine;
  readonly task: RewriteTask;
  /** Absolute paths, in the order of the task. */
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
}

export interface ValidatedOutput {
  readonly rows: number;
  readonly rowGroups: number;
  readonly footerHash: string;
}

/**
 * Rejects with `ValidationError` unless the staged outputs hold the inputs' rows in their order and nothing else
 * changed. V0: footers by an independent parser (rows, columns, codec, row groups, key-value metadata) and one
 * sampled stretch of rows of each output decoded by it. V2: a digest of all rows with their positions.
 */
export async function validate(request: ValidationRequest): Promise<readonly ValidatedOutput[]> {
  const footers = await request.checker.footers(request.outputs);
  const validated = footers.map((footer, index) => checkFooter(footer, request, index));
  await compareSamples(request);
  await compareDigests(request);
  return validated;
}

function checkFooter(footer: CheckedFooter, { task }: ValidationRequest, index: number): ValidatedOutput {
  const expected = task.outputs[index];
  if (expected === undefined) throw new ValidationError("there are more outputs than planned");
  if (footer.kind === "unreadable")
    throw new ValidationError(`output ${index + 1} cannot be read: ${footer.detail}`);
  const { facts } = footer;
  if (facts.rows !== expected.rows) {
    throw new ValidationError(`output ${index + 1} has ${facts.rows} rows instead of ${expected.rows}`);
  }
  const refused = refusedChanges(compareColumns(task.columns, facts.columns), task.allow)[0];
  if (refused !== undefined) throw new ValidationError(`the schema changed: ${describeChange(refused)}`);
  const most = Math.max(Math.floor(task.rowsPerGroup * MOST_OVERSHOOT), task.rowsPerGroup + VECTOR_ROWS);
  const needed = Math.max(1, Math.ceil(facts.rows / task.rowsPerGroup));
  if (facts.largestRowGroupRows > most || (facts.rows > 0 && facts.rowGroupCount >= 2 * needed)) {
    throw new ValidationError(
      `output ${index + 1} has ${facts.rowGroupCount} row groups of up to ${facts.largestRowGroupRows} rows`,
    );
  }
  if (facts.rows > 0 && facts.codecs.some((codec) => codec !== task.codec)) {
    throw new ValidationError(
      `output ${index + 1} is compressed with ${facts.codecs.join(", ")}, not ${task.codec}`,
    );
  }
  checkKeyValues(task.keyValues, facts.keyValues);
  return { rows: facts.rows, rowGroups: facts.rowGroupCount, footerHash: footer.hash };
}

/** A row group may exceed its target by this factor, or by one vector of a vectorized engine where that is more. */
const MOST_OVERSHOOT = 1.1;
const VECTOR_ROWS = 2048;

function checkKeyValues(expected: readonly KeyValue[], found: readonly KeyValue[]): void {
  const have = new Map(found.map(({ key, value }) => [key, value]));
  for (const { key, value } of expected) {
    if (have.get(key) !== value)
      throw new ValidationError(`the key-value metadata ${key} was not carried over`);
  }
  const extra = found.find(({ key }) => !expected.some((item) => item.key === key));
  if (extra !== undefined) throw new ValidationError(`the key-value metadata ${extra.key} was invented`);
}

const SAMPLE_ROWS = 1_000;

/** Of each output, the first rows of the source nearest to its middle. */
async function compareSamples({ checker, task, inputs, outputs }: ValidationRequest): Promise<void> {
  let start = 0;
  for (const [index, output] of task.outputs.entries()) {
    const sample = sampleOf(task.inputs, start, output);
    const source = inputs[sample?.input ?? -1];
    const staged = outputs[index];
    start += output.rows;
    if (sample === null || source === undefined || staged === undefined) continue;
    const same = await checker.sameRows({ kind: "compare", source, output: staged, ...sample.range });
    if (!same) throw new ValidationError(`output ${index + 1} differs from its source in sampled rows`);
  }
}

interface Sample {
  readonly input: number;
  readonly range: { readonly outputRow: number; readonly rows: number };
}

/** The input that begins nearest after the middle of the output, else the one that begins last before it. */
function sampleOf(inputs: readonly TaskInput[], outputStart: number, output: TaskOutput): Sample | null {
  const middle = outputStart + output.rows / 2;
  let best: Sample | null = null;
  let distance = Number.POSITIVE_INFINITY;
  let position = 0;
  for (const [input, { rows }] of inputs.entries()) {
    const inside = position >= outputStart && position < outputStart + output.rows;
    if (inside && rows > 0 && Math.abs(position - middle) < distance) {
      distance = Math.abs(position - middle);
      const most = Math.min(rows, SAMPLE_ROWS, outputStart + output.rows - position);
      best = { input, range: { outputRow: position - outputStart, rows: most } };
    }
    position += rows;
  }
  return best;
}

async function compareDigests({ running, task }: ValidationRequest): Promise<void> {
  const { folder, columns } = task;
  const before = await running.digest({ folder, files: task.inputs, columns });
  const after = await running.digest({ folder, files: task.outputs, columns });
  if (before.rows !== after.rows) {
    throw new ValidationError(`the outputs hold ${after.rows} rows, the sources ${before.rows}`);
  }
  if (before.sum !== after.sum)
    throw new ValidationError("the rows of the outputs differ from the rows of the sources");
}
