import { dirname } from "node:path";
import type { FileGroup, JournalRecord, Plan } from "@tamp/core";
import type { Engine, EngineLimits, KeyValue, RunningEngine } from "./engine.ts";
import { readableOf, removeIfEmpty } from "./journal.ts";
import type { Maintenance } from "./maintain.ts";
import { refuseSharedPartitions } from "./neighbours.ts";
import { publishedGroups, refusalOfPlan } from "./plan-refusal.ts";
import type { PurgedRun } from "./purge.ts";
import { makeRoom } from "./room.ts";
import { type GroupOutcome, type Phase, type PublishedOutput, runGroup } from "./run-group.ts";
import { nextRunId } from "./run-id.ts";
import type { Checker } from "./validate.ts";
import { groupFolder, runFolder } from "./workspace.ts";

export interface RunRequest {
  readonly held: Maintenance;
  readonly plan: Plan;
  /** The plan's content hash: groups that an earlier run of the same plan has published are passed over. */
  readonly planId: string;
  readonly engine: Engine;
  readonly limits: EngineLimits;
  readonly overlapMs: number;
  readonly createChecker: (deadlineMs: number) => Checker;
  /** Why these groups may not be rewritten as the dataset is now, in words; null where they may. */
  readonly refusalOf: (groups: readonly FileGroup[]) => Promise<string | null>;
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
  /** Runs whose originals were deleted before this one began. */
  readonly purged: readonly PurgedRun[];
}

/**
 * Executes a plan group by group: each is staged, validated and published on its own, so that a failure or a
 * cancel costs its group only, and the same plan goes on with the others later. The caller holds the lock. A plan
 * whose sources have changed is refused whole.
 */
export async function executePlan(request: RunRequest): Promise<RunReport> {
  const { held, plan } = request;
  const begin = held.clock();
  const published = publishedGroups(readableOf(held.journals), request.planId);
  const remaining = plan.groups.filter((_, index) => !published.has(index + 1));
  const run = new RunState(
    request,
    nextRunId(
      held.now(),
      held.journals.map(({ runId }) => runId),
      held.randomHex,
    ),
    published,
    remaining,
  );
  await refuseSharedPartitions(
    held,
    held.workspace.root,
    remaining.map((group) => group.partition),
  );
  const refusal = await refusalOfPlan(held, { published, remaining, ofDataset: request.refusalOf });
  if (refusal !== null) return run.report("refused", refusal, begin);
  const room = await makeRoom(held, plan, remaining);
  if (room.kind === "refused") return run.report("refused", room.reason, begin);
  run.purged = room.purged;
  await held.fs.mkdir(runFolder(held.workspace, run.runId));
  await held.fs.sync(dirname(runFolder(held.workspace, run.runId)));
  const checker = request.createChecker(request.limits.deadlineMs);
  try {
    for (const [index, group] of plan.groups.entries()) await run.step(group, index, checker);
  } finally {
    await run.dispose();
    await checker.dispose();
    // Where no group began, nothing is to be listed.
    await removeIfEmpty(held.fs, runFolder(held.workspace, run.runId)).catch(() => {});
  }
  return run.report(null, null, begin);
}

const NOT_BEGUN: GroupOutcome = { kind: "cancelled", reason: "cancelled before it began" };

/** What accumulates over the groups of one run. */
class RunState {
  readonly runId: string;
  purged: readonly PurgedRun[] = [];
  private readonly request: RunRequest;
  private readonly published: ReadonlyMap<number, string>;
  private readonly remaining: readonly FileGroup[];
  private readonly groups: GroupReport[] = [];
  private readonly records: JournalRecord[] = [];
  private readonly phases: Record<Phase, number> = { pin: 0, rewrite: 0, validate: 0, sync: 0, publish: 0 };
  private readonly totalBytes: number;
  private running: RunningEngine | null = null;
  private doneBytes = 0;
  private outputs = 0;

  constructor(
    request: RunRequest,
    runId: string,
    published: ReadonlyMap<number, string>,
    remaining: readonly FileGroup[],
  ) {
    this.request = request;
    this.runId = runId;
    this.published = published;
    this.remaining = remaining;
    this.totalBytes = remaining.reduce((sum, group) => sum + group.inputBytes, 0);
  }

  async step(group: FileGroup, index: number, checker: Checker): Promise<void> {
    const { signal } = this.request;
    const before = this.published.get(index + 1);
    if (before !== undefined) return this.passOver(group, before);
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

  private passOver({ partition, inputs, inputBytes, outputRows }: FileGroup, runId: string): void {
    const reason = `published by run ${runId}`;
    this.groups.push({ partition, kind: "skipped", reason, inputs: inputs.length, inputBytes, outputs: [] });
    this.outputs += outputRows.length;
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
          identity: "run",
        },
        openWriters: held.openWriters,
        group,
        ordinal: index + 1,
        groupsInRun: this.remaining.length,
        planId: this.request.planId,
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
    const settled = this.groups.length - (this.request.plan.groups.length - this.remaining.length);
    const done = `${Math.max(0, settled)} of ${this.remaining.length} groups`;
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
      runId: kind === "refused" ? "" : this.runId,
      reason: reason ?? this.groups.find(({ kind }) => !DONE.includes(kind))?.reason ?? null,
      groups: this.groups,
      records: this.records,
      phases: this.phases,
      durationMs: Math.round(this.request.held.clock() - begin),
      duplicateWindowMs: this.records.reduce((most, record) => Math.max(most, record.duplicateWindowMs), 0),
      purged: this.purged,
    };
  }
}

const DONE: readonly GroupReport["kind"][] = ["published", "skipped"];

function runKind(kinds: readonly GroupReport["kind"][]): RunReport["kind"] {
  if (kinds.every((kind) => DONE.includes(kind))) return "published";
  if (kinds.includes("unknown")) return "unknown";
  if (kinds.includes("published")) return "partly_published";
  return kinds.includes("cancelled") ? "cancelled" : "rolled_back";
}
