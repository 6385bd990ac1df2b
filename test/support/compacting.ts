import { lstatSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import type { DaemonClient } from "../../server/src/cli/client.ts";
import type { ExecuteParams, PlanDocument, RunResult, WirePolicy } from "../../server/src/protocol.ts";
import { type FileSpec, makeRoot, writeDataset } from "./dataset.ts";

/** Rewrites whatever two small files of `smallFiles` there are. */
export const POLICY: WirePolicy = { minFiles: 2, settleMs: 0, allow: ["nullability", "time-unit"] };

const roots: string[] = [];

/** A dataset that `removeDatasets` removes, with its workspace. */
export function dataset(given: Readonly<Record<string, FileSpec>>): string {
  const root = writeDataset(makeRoot(), given);
  roots.push(root);
  return root;
}

export function removeDatasets(): void {
  for (const root of roots.splice(0)) {
    rmSync(root, { recursive: true, force: true });
    rmSync(workspaceOf(root), { recursive: true, force: true });
  }
}

export function workspaceOf(root: string): string {
  return join(dirname(root), `.${basename(root)}.tamp`);
}

/** `count` files of 100 rows in each of the partitions. */
export function smallFiles(partitions: readonly string[], count = 4): Record<string, FileSpec> {
  const names = Array.from({ length: count }, (_, index) => index);
  return Object.fromEntries(
    partitions.flatMap((partition) =>
      names.map((n) => [`${partition}/part-${n}.parquet`, { rows: 100, from: n * 100 }]),
    ),
  );
}

export async function open(client: DaemonClient, root: string, policy: WirePolicy = POLICY): Promise<void> {
  await client.request("tamp/dataset/open", { dataset: root, policy, watch: false });
}

export async function plan(client: DaemonClient, root: string): Promise<PlanDocument> {
  const { planId } = await client.request("tamp/plan", { dataset: root, operation: "compact", sync: true });
  return client.request("tamp/plan/document", { planId });
}

export async function compact(
  client: DaemonClient,
  root: string,
  given: Partial<ExecuteParams> = {},
): Promise<RunResult> {
  const { planId } = await plan(client, root);
  return client.request("tamp/execute", { dataset: root, planId, overlapMs: 0, ...given });
}

export function files(root: string): readonly string[] {
  const names = readdirSync(root, { recursive: true, encoding: "utf8" });
  return names.filter((name) => lstatSync(join(root, name)).isFile()).sort();
}

/** Inode and bytes of every file. */
export function fingerprints(root: string): Readonly<Record<string, string>> {
  const print = (name: string): string =>
    `${statSync(join(root, name)).ino} ${readFileSync(join(root, name)).toString("base64")}`;
  return Object.fromEntries(files(root).map((name) => [name, print(name)]));
}
