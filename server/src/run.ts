import { dirname, join } from "node:path";
import { type FileGroup, findDrift, formatSize, isAtRest, type JournalRecord, type Plan } from "@tamp/core";
import type { Engine, EngineLimits, KeyValue, RunningEngine } from "./engine.ts";
import { TampError } from "./errors.ts";
import { readJournals } from "./journal.ts";
import { type Maintenance, refuseHeldPartitions } from "./maintain.ts";
import { mapLimit } from "./map-limit.ts";
import { type GroupOutcome, type Phase, type PublishedOutput, runGroup } from "./run-group.ts";
import type { Checker } from "./validate.ts";
import { groupFolder, runFolder } from "./workspace.ts";

export interface RunRequest {
  readonly held: Maintenance;
  readonly plan: Plan;
  readonly engine: Engine;
  readonly limits: EngineLimits;
  readonly overlapMs: number;
  readonly createChecker: (deadlineMs: number) => Checker;
  /** Key-value metadata that outputs of a schema class carry, as in one of its files. */
  readonly keyValuesOf: (schemaClass: string) => readonly KeyValue[];
  readonly signal: AbortSignal;
  readonly onProgress: (percentage: number, message: string) => void;
}

export interface GroupReport {
  readonly partition: string;
  readonly kind: GroupOutcome["kind"] | "skipped";
  readonly reason: string | null;
  readonly inputs: number;
  readonly inputBytes: number;
  readonly outputs: readonly PublishedOutput[];
}

export interface RunReport {
  readonly kind: "published" | "partly_published" | "rolled_back" | "cancelled" | "unknown" | "refused";
  readonly runId: string;
  readonly reason: string | null;
  readonly groups: readonly GroupReport[];
  readonly records: readonly JournalRecord[];
  readonly phases: Readonly<Record<Phase, number>>;
  readonly durationMs: number;
  readonly duplicateWindowMs: number;
}

/**
 * Executes a plan group by group: each is staged, validated and published on its own, so that a failure or a
 * cancel costs its group only. The caller holds the lock. A plan whose sources have changed is refused whole.
 */
export async function executePlan(request: RunRequest): Promise<RunReport> {
  const { held, plan } = request;
  const begin = held.clock();
  const run = new RunState(request, runIdAt(held));
  await refuseHeldPartitions(
    held,
    held.workspace.root,
    plan.groups.map((group) => group.partition),
  );
  const refusal = (await unfinishedRefusal(held, plan.groups)) ?? (await driftOf(held, plan.groups));
  if (refusal !== null) return run.report("refused", refusal, begin);
  await checkSpace(held, plan);
  await held.fs.mkdir(runFolder(held.workspace, run.runId));
  await held.fs.sync(dirname(runFolder(held.workspace, run.runId)));
  const checker = request.createChecker(request.limits.deadlineMs);
  try {
    for (const [index, group] of plan.groups.entries()) await run.step(group, index, checker);
  } finally {
    await run.dispose();
    await checker.dispose();
  }
  return run.report(null, null, begin);
}

/** Sorts by time: `20261123t201530123` and six random hex digits. */
function runIdAt({ now, randomHex }: Maintenance): string {
  const at = new Date(now())
    .toISOString()
    .replace(/[-:.Z]/g, "")
    .toLowerCase();
  return `${at}${randomHex(3)}`;
}

/**
 * A group that recovery could not bring to rest may stand in the dataset twice: rewriting its files would make the
 * doubled rows last. In words; null where the plan touches no such file.
 */
async function unfinishedRefusal(held: Maintenance, groups: readonly FileGroup[]): Promise<string | null> {
  const owners = new Map<string, string>();
  const journals = await mapLimit(held.workspaces, 4, (workspace) => readJournals(held.fs, workspace));
  for (const found of journals.flat()) {
    if (found.kind !== "journal" || isAtRest(found.record)) continue;
    const { sources, outputs, runId } = found.record;
    for (const { path } of [...sources, ...outputs]) owners.set(path, runId);
  }
  const first = groups.flatMap((group) => group.inputs).find(({ path }) => owners.has(path));
  if (first === undefined) return null;
  return `${first.path} belongs to the interrupted run ${owners.get(first.path)}, which could not be recovered: see \`tamp recover\``;
}

/** The first source that is not as the plan saw it, in words; null where none is. */
async function driftOf(held: Maintenance, groups: readonly FileGroup[]): Promise<string | null> {
  const { fs, workspace } = held;
  const inputs = groups.flatMap((group) => group.inputs);
  const entries = await mapLimit(inputs, 16, (file) => fs.lstat(join(workspace.root, file.path)));
  const found = new Map(inputs.map((file, index) => [file.path, entries[index] ?? null]));
  const drift = findDrift(groups, (path) => found.get(path) ?? null);
  const first = drift[0];
  if (first === undefined) return null;
  const what = first.kind === "missing" ? "is gone" : `has another ${first.what}`;
  const more = drift.length > 1 ? ` (and ${drift.length - 1} more files)` : "";
  return `the plan is stale: ${first.path} ${what}${more}; make a new plan`;
}

async function checkSpace({ fs, workspace }: Maintenance, plan: Plan): Promise<void> {
  const free = await fs.freeBytes(workspace.folder);
  if (plan.estimate.neededBytes <= free) return;
  throw new TampError(
    "NotEnoughSpace",
    `the run needs about ${formatSize(plan.estimate.neededBytes)} beside the originals and ${formatSize(free)} are free`,
    { hint: "free space, or plan less with --partition or --max-bytes" },
  );
}

const NOT_BEGUN: GroupOutcome = { kind: "cancelled", reason: "cancelled before it began" };

/** What accumulates over the groups of one run. */
class RunState {
  readonly runId: string;
  private readonly request: RunRequest;
  private readonly groups: GroupReport[] = [];
  private readonly records: JournalRecord[] = [];
  private readonly phases: Record<Phase, number> = { pin: 0, rewrite: 0, validate: 0, sync: 0, publish: 0 };
  private readonly totalBytes: number;
  private running: RunningEngine | null = null;
  private doneBytes = 0;
  private outputs = 0;

  constructor(request: RunRequest, runId: string) {
    this.request = request;
    this.runId = runId;
    this.totalBytes = request.plan.groups.reduce((sum, group) => sum + group.inputBytes, 0);
  }

  async step(group: FileGroup, index: number, checker: Checker): Promise<void> {
    const { signal } = this.request;
    const outcome: GroupOutcome = signal.aborted ? NOT_BEGUN : await this.rewrite(group, index, checker);
    if (outcome.kind === "published") this.records.push(outcome.record);
    else await this.dropEngine();
    this.groups.push({
      partition: group.partition,
      kind: outcome.kind,
      reason: outcome.kind === "published" ? null : outcome.reason,
      inputs: group.inputs.length,
      inputBytes: group.inputBytes,
      outputs: outcome.kind === "published" ? outcome.outputs : [],
    });
    this.outputs += group.outputRows.length;
    this.doneBytes += group.inputBytes;
    this.tell(0, 0);
  }

  private async rewrite(group: FileGroup, index: number, checker: Checker): Promise<GroupOutcome> {
    const { held, plan, engine, signal, keyValuesOf, overlapMs, limits } = this.request;
    const kill = (): void => {
      this.running?.kill();
      // No group begins after a cancel.
      void checker.dispose();
    };
    try {
      this.running ??= await engine.start(limits, signal);
      signal.addEventListener("abort", kill);
      if (signal.aborted) return NOT_BEGUN;
      return await runGroup({
        context: {
          ...held,
          folder: groupFolder(held.workspace, this.runId, index + 1),
          overlapMs,
          checkCtime: true,
        },
        group,
        ordinal: index + 1,
        groupsInRun: plan.groups.length,
        firstOutput: this.outputs + 1,
        runId: this.runId,
        engine: `${engine.name} ${engine.version}`,
        owner: held.owner,
        startedAt: new Date(held.now()).toISOString(),
        rowsPerGroup: plan.policy.rowsPerGroup,
        allow: plan.policy.allow,
        keyValues: keyValuesOf(group.schemaClass),
        running: this.running,
        checker,
        signal,
        onProgress: (fraction) => this.tell(fraction, group.inputBytes),
        onPhase: (phase, durationMs) => {
          this.phases[phase] += durationMs;
        },
      });
    } catch (error) {
      if (signal.aborted && this.running === null) return NOT_BEGUN;
      return { kind: "rolled_back", reason: error instanceof Error ? error.message : String(error) };
    } finally {
      signal.removeEventListener("abort", kill);
    }
  }

  private tell(fraction: number, bytes: number): void {
    const share = this.totalBytes === 0 ? 1 : (this.doneBytes + fraction * bytes) / this.totalBytes;
    const done = `${this.groups.length} of ${this.request.plan.groups.length} groups`;
    this.request.onProgress(Math.min(100, Math.round(share * 100)), done);
  }

  /** An engine that failed or was cancelled is not trusted with the next group. */
  private async dropEngine(): Promise<void> {
    this.running?.kill();
    await this.dispose();
  }

  async dispose(): Promise<void> {
    const { running } = this;
    this.running = null;
    await running?.dispose();
  }

  report(kind: "refused" | null, reason: string | null, begin: number): RunReport {
    return {
      kind: kind ?? runKind(this.groups.map((group) => group.kind)),
      runId: this.runId,
      reason: reason ?? this.groups.find((group) => group.reason !== null)?.reason ?? null,
      groups: this.groups,
      records: this.records,
      phases: this.phases,
      durationMs: Math.round(this.request.held.clock() - begin),
      duplicateWindowMs: Math.max(0, ...this.records.map((record) => record.duplicateWindowMs)),
    };
  }
}

function runKind(kinds: readonly GroupReport["kind"][]): RunReport["kind"] {
  if (kinds.every((kind) => kind === "published")) return "published";
  if (kinds.includes("unknown")) return "unknown";
  if (kinds.includes("published")) return "partly_published";
  return kinds.includes("cancelled") ? "cancelled" : "rolled_back";
}
