import {
  type CompactionInput,
  type DataFile,
  type Plan,
  type Policy,
  partitionFiles,
  planCompaction,
  publishedName,
} from "@tamp/core";
import fc from "fast-check";
import { expect, test } from "vitest";
import {
  directoryPath,
  filesOf,
  HOUR_MS,
  pathOf,
  randomFiles,
  randomInput,
  readable,
} from "../support/file-stats.ts";

/** What a run of the plan leaves, where outputs shrink by `ratio` and bytes spread evenly over rows. */
function apply(
  files: readonly DataFile[],
  plan: Plan,
  run: { readonly id: string; readonly ratio: number; readonly changedMs: number },
): readonly DataFile[] {
  const gone = new Set(plan.stats.plannedGroups.flat());
  let ordinal = 0;
  const outputs = plan.groups.flatMap((group) => {
    const rowsIn = group.outputRows.reduce((sum, rows) => sum + rows, 0);
    return group.outputRows.map((rows) => {
      ordinal += 1;
      const share = rowsIn === 0 ? 1 : rows / rowsIn;
      return readable({
        path: directoryPath(group.partition, publishedName("compact", run.id, ordinal)),
        sizeBytes: Math.max(1, Math.floor(group.inputBytes * run.ratio * share)),
        rows,
        rowGroupCount: Math.ceil(rows / plan.policy.rowsPerGroup),
        codecs: rows === 0 ? [] : [group.codec],
        schemaClass: group.schemaClass,
        changedMs: run.changedMs,
      });
    });
  });
  return [...files.filter((file) => !gone.has(pathOf(file))), ...outputs];
}

/** Oversize, ill-grouped or wrongly coded, in words of the design and not of the planner. */
function isFaulty(file: DataFile, policy: Policy): boolean {
  if (file.kind === "unreadable") return false;
  const { rows, sizeBytes, rowGroupCount, codecs } = file.stats;
  const oversize =
    rows > 1 && (sizeBytes > policy.oversizeBytes || rows > (policy.targetRows ?? Number.POSITIVE_INFINITY));
  const illGrouped =
    rows > 0 && rowGroupCount >= policy.rowGroupFactor * Math.ceil(rows / policy.rowsPerGroup);
  const wronglyCoded = rows > 0 && policy.compression !== null && codecs[0] !== policy.compression;
  return oversize || illGrouped || wronglyCoded;
}

type Potential = readonly [faulty: number, files: number];

function potential(files: readonly DataFile[], policy: Policy): Potential {
  return [files.filter((file) => isFaulty(file, policy)).length, files.length];
}

function isLower([faulty, files]: Potential, [faultyBefore, filesBefore]: Potential): boolean {
  return faulty < faultyBefore || (faulty === faultyBefore && files < filesBefore);
}

const ratio = fc.double({ min: 0.2, max: 1, noNaN: true });

test("the plan right after its own run is empty", () => {
  fc.assert(
    fc.property(randomInput, ratio, (input, shrink) => {
      const plan = planCompaction(input);
      const settledMs = input.nowMs - input.policy.settleMs;
      const files = apply(filesOf(input), plan, { id: "r1", ratio: shrink, changedMs: settledMs });
      const next = planCompaction({ ...input, partitions: partitionFiles(files) });
      expect(next.groups.map(({ inputs }) => inputs.map(({ path }) => path))).toEqual([]);
      expect(next.kind).toBe("nothing_to_do");
    }),
    { numRuns: 300 },
  );
});

interface Step {
  readonly ratio: number;
  readonly advanceMs: number;
  readonly arrivals?: readonly DataFile[];
}

const DAY_MS = 24 * HOUR_MS;

/** Runs plan after plan until neither a plan nor time alone gives anything to do; the number of plans that were run. */
function settle(input: CompactionInput, steps: readonly Step[]): number {
  let { nowMs } = input;
  let files = filesOf(input);
  let runs = 0;
  for (let turn = 0; turn < 2000; turn += 1) {
    const step = steps[turn % steps.length] ?? { ratio: 1, advanceMs: 0 };
    if (turn < steps.length) files = arrive(files, step.arrivals ?? [], turn);
    const plan = planCompaction({ ...input, partitions: partitionFiles(files), nowMs });
    expect(plan.crossings.length > 0).toBe(plan.kind === "planned");
    if (plan.kind === "nothing_to_do") {
      if (turn >= steps.length && plan.nextDueMs === null) return runs;
      expect(plan.nextDueMs ?? nowMs + 1).toBeGreaterThan(nowMs);
      nowMs = plan.nextDueMs ?? nowMs + step.advanceMs;
      continue;
    }
    runs += 1;
    const before = potential(files, input.policy);
    files = apply(files, plan, { id: `n${turn}`, ratio: step.ratio, changedMs: nowMs });
    const after = potential(files, input.policy);
    expect([before, after, isLower(after, before)]).toEqual([before, after, true]);
    nowMs += step.advanceMs;
  }
  throw new Error("compaction does not end");
}

function arrive(
  files: readonly DataFile[],
  arrivals: readonly DataFile[],
  turn: number,
): readonly DataFile[] {
  const renamed = arrivals.flatMap((file) =>
    file.kind === "readable" ? [readable({ ...file.stats, path: `${file.stats.path}.${turn}.parquet` })] : [],
  );
  return [...files, ...renamed];
}

const advanceMs = fc.constantFrom(0, HOUR_MS, DAY_MS);
const budget = fc.constantFrom(null, 1, 3);

test("planning over its own outputs ends, and each run lowers the potential", () => {
  const steps = fc.array(fc.record({ ratio, advanceMs }), { minLength: 1, maxLength: 12 });
  fc.assert(
    fc.property(randomInput, steps, budget, (input, schedule, maxRunGroups) => {
      settle({ ...input, policy: { ...input.policy, maxRunGroups } }, schedule);
    }),
    { numRuns: 150 },
  );
});

test("it ends once files stop arriving", () => {
  const steps = fc.array(fc.record({ ratio, advanceMs, arrivals: randomFiles }), {
    minLength: 1,
    maxLength: 4,
  });
  fc.assert(
    fc.property(randomInput, steps, (input, schedule) => {
      settle(input, schedule);
    }),
    { numRuns: 40 },
  );
});
