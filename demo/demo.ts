import { statSync } from "node:fs";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { formatSize } from "@tamp/core";
import type { PlanSummary, RunResult, ThresholdCrossedParams } from "@tamp/server/protocol";
import type { DaemonClient } from "../server/src/cli/client.ts";
import { startDaemon } from "./daemon.ts";
import { type Digest, dataFiles, digestFiles } from "./digest.ts";
import { createLoader, FLIGHTS, type Loader, REPOSITORY } from "./flights.ts";

/** Small files in one month from which a rewrite pays; the past stays just below it, late data crosses it. */
const MIN_FILES = 610;
const HISTORY_HOURS = 600;
const POLICY = { minFiles: MIN_FILES, settleMs: 500, targetSize: "16MiB" };

const began = performance.now();
const count = (value: number): string => value.toLocaleString("en-US");

function say(text = ""): void {
  console.log(text);
}

function chapter(title: string): void {
  say(`\n[${((performance.now() - began) / 1000).toFixed(0).padStart(3)} s] ${title}`);
}

function fact(name: string, value: string): void {
  say(`        ${name.padEnd(26)} ${value}`);
}

async function main(): Promise<void> {
  const parent = await mkdtemp(join(tmpdir(), "tamp-demo-"));
  const root = join(parent, "flights");
  await mkdir(root);
  say("Tamp on real data: three million US flights of 2001, the way a careless hourly loader leaves them.");
  say(`Everything happens in ${parent}, which is removed at the end.`);
  const loader = await createLoader(root);
  const daemon = await startDaemon(REPOSITORY, join(parent, "home"));
  try {
    await tell({ root, loader, daemon });
  } finally {
    await daemon.close();
    loader.close();
    await rm(parent, { recursive: true, force: true });
  }
  say(
    `\nDone in ${((performance.now() - began) / 1000).toFixed(0)} s. ${parent} was removed; nothing else was written.`,
  );
}

interface Stage {
  readonly root: string;
  readonly loader: Loader;
  readonly daemon: DaemonClient;
}

async function tell(stage: Stage): Promise<void> {
  await loadHistory(stage);
  await waitForThreshold(stage);
  await showStats(stage);
  const plan = await showPlan(stage);
  const source = await digestFiles([FLIGHTS]);
  const before = { files: snapshot(stage.root), digest: await digestFiles(dataFiles(stage.root)) };
  expectSame("the dataset against the source", source, before.digest);
  const slow = await stage.loader.query(stage.root);
  const result = await run(stage, plan);
  expectSame("the compacted dataset against the source", source, await digestFiles(dataFiles(stage.root)));
  await compareQueries(stage, slow);
  showFacts(plan, result);
  await undo(stage, before.files);
  expectSame("the restored dataset against the source", source, await digestFiles(dataFiles(stage.root)));
}

async function loadHistory({ root, loader }: Stage): Promise<void> {
  chapter("The loader writes the past: one file an hour, partitioned by month.");
  const files = await loader.writeHistory(HISTORY_HOURS);
  fact("files", count(files));
  fact("for example", dataFiles(root)[0]?.slice(root.length + 1) ?? "");
}

/** The daemon watches while the loader goes on; it tells when maintenance pays. */
async function waitForThreshold({ root, loader, daemon }: Stage): Promise<void> {
  chapter("The daemon opens the dataset and watches it over JSON-RPC.");
  let crossed: ThresholdCrossedParams | null = null;
  daemon.onNotification("tamp/dataset/thresholdCrossed", (params) => {
    crossed = params;
  });
  const begin = performance.now();
  const summary = await daemon.request("tamp/dataset/open", { dataset: root, policy: POLICY });
  fact("files known after", `${(performance.now() - begin).toFixed(0)} ms: ${count(summary.fileCount)}`);
  fact(
    "health",
    `${summary.health.score} of 100: no month has ${MIN_FILES} small files yet, this demo's threshold`,
  );
  chapter(`Late hours arrive, live. A month with ${MIN_FILES} small files crosses the threshold.`);
  let written = 0;
  for (let files = await loader.writeLate(); files > 0; files = await loader.writeLate()) written += files;
  fact("files written meanwhile", count(written));
  const deadline = performance.now() + 30_000;
  while (crossed === null && performance.now() < deadline) await delay(50);
  if (crossed === null) throw new Error("the daemon did not notice that the threshold was crossed");
  const { health, plan }: ThresholdCrossedParams = crossed;
  fact(
    "the daemon says",
    `health ${health.score}, ${count(plan.stats.compactedFileCount)} files worth a rewrite`,
  );
}

async function showStats({ root, daemon }: Stage): Promise<void> {
  const stats = await daemon.request("tamp/dataset/stats", { dataset: root, sync: true });
  chapter("Statistics, folded from the footers.");
  fact(
    "files, rows",
    `${count(stats.fileCount)} files, ${count(stats.totalRows)} rows, ${formatSize(stats.totalBytes)}`,
  );
  fact("small files", `${count(stats.smallFileCount)} (${formatSize(stats.smallFileBytes)})`);
  fact("row groups", count(stats.rowGroupCount));
  for (const reason of stats.health.reasons)
    fact("health reason", `${reason.kind}: ${count(reason.files)} files in ${reason.partitions} partitions`);
}

async function showPlan({ root, daemon }: Stage): Promise<PlanSummary> {
  chapter("The plan: a dry run that changes nothing.");
  const policy = { ...POLICY, minFiles: 12 };
  const plan = await daemon.request("tamp/plan", { dataset: root, operation: "compact", policy, sync: true });
  const { items } = await daemon.request("tamp/plan/groups", { planId: plan.planId, limit: 10 });
  for (const group of items) {
    const size = `${count(group.inputs.length)} files (${formatSize(group.inputBytes)}) -> ${group.outputRows.length}`;
    fact(group.partition, `${size}, because of ${group.reasons.join(", ")}`);
  }
  for (const [reason, files] of Object.entries(plan.skippedByReason))
    fact("left alone", `${files} files: ${reason}`);
  fact("files", `${count(plan.stats.beforeFileCount)} -> ${count(plan.stats.afterFileCount)} (certain)`);
  fact(
    "bytes",
    `${formatSize(plan.stats.beforeTotalBytes)} -> ~${formatSize(plan.stats.afterTotalBytes)} (estimate)`,
  );
  return plan;
}

async function run({ root, daemon }: Stage, plan: PlanSummary): Promise<RunResult> {
  chapter("The run: rewrite, validate every row, publish group by group, originals into the trash.");
  const result = await daemon.request(
    "tamp/execute",
    { dataset: root, planId: plan.planId },
    {
      onProgress(value) {
        if (value.kind === "report") fact(`${String(value.percentage).padStart(3)} %`, value.message);
      },
    },
  );
  if (result.kind !== "published") throw new Error(`the run ended as ${result.kind}: ${result.reason ?? ""}`);
  return result;
}

function showFacts(plan: PlanSummary, result: RunResult): void {
  chapter("Facts next to the estimates.");
  const row = (name: string, planned: string, counted: string): void =>
    fact(name, `planned ${planned}, counted ${counted}`);
  row("files", count(plan.stats.afterFileCount), count(result.stats.afterFileCount));
  row("bytes", `~${formatSize(plan.stats.afterTotalBytes)}`, formatSize(result.stats.afterTotalBytes));
  fact("rows validated", `${count(result.validation.rowsCompared)}, with their positions`);
  fact(
    "time",
    `${(result.durationMs / 1000).toFixed(1)} s, of it ${(result.validation.durationMs / 1000).toFixed(1)} s validating`,
  );
  fact("rows seen twice for", `${result.duplicateWindowMs} ms at most, by a reader that listed just then`);
}

async function compareQueries({ root, loader }: Stage, before: number): Promise<void> {
  const after = await loader.query(root);
  chapter("Three typical queries in DuckDB, the best of three passes.");
  fact(
    "before, after",
    `${before.toFixed(2)} s, ${after.toFixed(2)} s: ${(before / after).toFixed(1)} times faster`,
  );
}

async function undo({ root, daemon }: Stage, originals: ReadonlyMap<string, number>): Promise<void> {
  chapter("Undo: the original files come back, the same inodes.");
  const undone = await daemon.request("tamp/undo", { dataset: root });
  const now = snapshot(root);
  const same =
    now.size === originals.size && [...originals].every(([path, inode]) => now.get(path) === inode);
  if (undone.kind !== "undone" || !same)
    throw new Error(`undo ended as ${undone.kind}, with the originals ${same ? "back" : "not back"}`);
  fact("restored", `${count(undone.restoredFiles)} files, ${count(undone.withdrawnFiles)} withdrawn`);
}

function snapshot(root: string): ReadonlyMap<string, number> {
  return new Map(dataFiles(root).map((path) => [path, statSync(path).ino]));
}

function expectSame(what: string, wanted: Digest, found: Digest): void {
  if (wanted.rows !== found.rows || wanted.sum !== found.sum) {
    throw new Error(
      `${what}: ${count(found.rows)} rows ${found.sum} instead of ${count(wanted.rows)} rows ${wanted.sum}`,
    );
  }
  fact("every row is there", `${count(found.rows)} rows, digest ${found.sum} (by hyparquet)`);
}

await main();
