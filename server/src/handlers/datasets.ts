import { isAbsolute } from "node:path";
import type { DataFile, PolicyInput } from "@tamp/core";
import { invalid, type ParamReader } from "../check.ts";
import { pageOf, presentFile } from "../present.ts";
import type { DatasetStats, DatasetSummary, Page, WireFile } from "../protocol.ts";
import { type HandlerContext, requireTrust } from "./context.ts";

export async function openDataset(context: HandlerContext): Promise<DatasetSummary> {
  const { daemon, params } = context;
  const recover = params.optionalBoolean("recover") ?? false;
  const automate = params.optionalBoolean("automate") ?? false;
  if (recover || automate) requireTrust(context, "the dataset was not opened");
  const dataset = await daemon.open({
    root: rootOf(params),
    policy: policyParam(params),
    workspace: absolute("workspace", params.optionalString("workspace") ?? null),
    watch: params.optionalBoolean("watch") ?? true,
    mustExist: params.optionalBoolean("mustExist") ?? false,
    recover,
    automate,
  });
  return dataset.summary();
}

export async function closeDataset({ daemon, params }: HandlerContext): Promise<null> {
  await daemon.close(rootOf(params));
  return null;
}

export async function listDatasets({
  daemon,
}: HandlerContext): Promise<{ datasets: readonly DatasetSummary[] }> {
  for (const dataset of daemon.list()) await dataset.judgeIfStale();
  return { datasets: daemon.list().map((dataset) => dataset.summary()) };
}

export async function datasetStats({ daemon, params }: HandlerContext): Promise<DatasetStats> {
  const dataset = daemon.dataset(rootOf(params));
  if (params.optionalBoolean("sync") === true) await dataset.refresh();
  const filters = params.strings("partitionFilter");
  return dataset.stats(filters, await dataset.makePlan(filters));
}

export async function datasetFiles({ daemon, params }: HandlerContext): Promise<Page<WireFile>> {
  const dataset = daemon.dataset(rootOf(params));
  const now = daemon.deps.ports.now();
  const view = dataset.view();
  const slice = (start: number, end: number): readonly DataFile[] => view.page(start, end - start);
  return pageOf({ length: view.fileCount, slice }, params, (file) =>
    presentFile(file, dataset.currentPolicy(), now),
  );
}

/** The root that every dataset method names: an absolute path. */
export function rootOf(params: ParamReader): string {
  return absolute("dataset", params.string("dataset"));
}

function absolute<T extends string | null>(name: string, path: T): T {
  if (path === null || (isAbsolute(path) && !path.includes("\0"))) return path;
  throw invalid(`${name} must be an absolute path`);
}

/** Thresholds as given: their types and ranges are checked where a policy is made of them. */
export function policyParam(params: ParamReader): PolicyInput {
  return (params.optionalObject("policy") ?? {}) as PolicyInput;
}
