import {
  type DataFile,
  type FileGroup,
  matchesFilters,
  type Plan,
  parsePartitionFilter,
  refusedChanges,
} from "@tamp/core";
import type { DaemonDeps } from "./daemon.ts";
import type { EngineLimits } from "./engine.ts";
import { maintain } from "./maintain.ts";
import type { OpenDataset } from "./open-dataset.ts";
import { mergeClasses } from "./planning.ts";
import { type RecoveredGroup, touchedBy } from "./recover.ts";
import { executePlan, type RunReport } from "./run.ts";

export interface ExecuteRequest {
  readonly deps: DaemonDeps;
  readonly dataset: OpenDataset;
  readonly plan: Plan;
  readonly planId: string;
  readonly limits: EngineLimits;
  readonly overlapMs: number;
  readonly signal: AbortSignal;
  readonly onProgress: (percentage: number, message: string) => void;
}

export interface Executed {
  readonly kind: RunReport["kind"] | "nothing_to_do";
  readonly reason: string | null;
  readonly report: RunReport | null;
  /** What recovery did with leftovers before the run began. */
  readonly recovered: readonly RecoveredGroup[];
  readonly afterFileCount: number;
  readonly afterTotalBytes: number;
}

/** Carries out a plan under the dataset's lock, then counts what is there. */
export async function execute(request: ExecuteRequest): Promise<Executed> {
  const { dataset, plan } = request;
  const refusal = plan.kind === "refused" ? plan.reason : dataset.refusal();
  const ran = refusal === null && plan.groups.length > 0 ? await runPlan(request) : null;
  const report = ran?.report ?? null;
  if (ran !== null) await dataset.refresh(null, touchedPaths(plan, ran));
  const after = countFiles(dataset, plan);
  const kind = report?.kind ?? (refusal === null ? "nothing_to_do" : "refused");
  const recovered = ran?.recovered ?? [];
  return { kind, reason: refusal ?? report?.reason ?? null, report, recovered, ...after };
}

interface Ran {
  readonly report: RunReport;
  readonly recovered: readonly RecoveredGroup[];
}

function runPlan({ deps, dataset, plan, ...rest }: ExecuteRequest): Promise<Ran> {
  const { classes } = mergeClasses(dataset.schemaClasses(), plan.policy.allow);
  return maintain({ ports: deps.ports, root: dataset.root, workspace: dataset.workspace }, async (held) => {
    const report = await executePlan({
      held,
      plan,
      engine: deps.engine,
      createChecker: deps.createChecker,
      refusalOf: (groups) => refusalOf({ deps, dataset, plan }, groups),
      keyValuesOf: (schemaClass) => classes.get(schemaClass)?.keyValues ?? [],
      ...rest,
    });
    return { report, recovered: held.recovered };
  });
}

/** A plan may come from a file and from long ago: its groups must still be of one schema class that may be rewritten. */
async function refusalOf(
  { deps, dataset, plan }: Pick<ExecuteRequest, "deps" | "dataset" | "plan">,
  groups: readonly FileGroup[],
): Promise<string | null> {
  await dataset.refresh();
  const foreign = dataset.refusal();
  if (foreign !== null) return foreign;
  const { classes, rename } = mergeClasses(dataset.schemaClasses(), plan.policy.allow);
  const view = dataset.view();
  const current = (path: string): DataFile | undefined => {
    const found = view.find(path);
    return found === null ? undefined : rename([found])[0];
  };
  for (const group of groups) {
    const columns = classes.get(group.schemaClass)?.columns ?? [];
    const stale = group.inputs.find(({ path }) => classOf(current(path)) !== group.schemaClass);
    if (stale !== undefined)
      return `the plan is stale: ${stale.path} has changed or is gone; make a new plan`;
    const change = refusedChanges(deps.engine.predictChanges(columns), plan.policy.allow)[0];
    if (change !== undefined) return `${deps.engine.name} would change ${change.column}: ${change.attribute}`;
  }
  return null;
}

function classOf(file: DataFile | undefined): string | null {
  return file?.kind === "readable" ? file.stats.schemaClass : null;
}

/** Files whose times our own links and renames changed. */
function touchedPaths(plan: Plan, { report, recovered }: Ran): readonly string[] {
  const sources = plan.groups.flatMap((group) => group.inputs.map((file) => file.path));
  const earlier = touchedBy(recovered);
  return [
    ...sources,
    ...earlier,
    ...report.records.flatMap((record) => record.outputs.map((output) => output.path)),
  ];
}

function countFiles(dataset: OpenDataset, plan: Plan): Pick<Executed, "afterFileCount" | "afterTotalBytes"> {
  const filters = plan.partitionFilter.flatMap((text) => parsePartitionFilter(text) ?? []);
  const { totals } = dataset.view().fold((partition) => matchesFilters(partition, filters));
  return { afterFileCount: totals.fileCount, afterTotalBytes: totals.totalBytes };
}
