import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type DuckDBConnection, DuckDBInstance } from "@duckdb/node-api";
import type { PlanDocument, RunResult } from "@tamp/server/protocol";
import { startDaemon } from "../demo/daemon.ts";
import type { DaemonClient } from "../server/src/cli/client.ts";

/** `tamp compact` in all (pins, rewrite, validation, fsync, publication) against DuckDB's bare COPY of the groups. */
const SHAPES = [
  { name: "2000 files x 5000 rows", files: 2_000, rows: 5_000 },
  { name: "200 files x 50000 rows", files: 200, rows: 50_000 },
] as const;
const ROUNDS = 3;
const AIM = 2.5;

async function main(): Promise<void> {
  const parent = mkdtempSync(join(tmpdir(), "tamp-bench-"));
  const instance = await DuckDBInstance.create(":memory:");
  const db = await instance.connect();
  await db.run("SET threads = 2");
  const daemon = await startDaemon(process.env.TAMP_REPOSITORY ?? process.cwd(), join(parent, "home"));
  try {
    for (const shape of SHAPES)
      await measure({ ...shape, root: join(parent, shape.name.replaceAll(" ", "-")), db, daemon });
  } finally {
    await daemon.close();
    db.closeSync();
    rmSync(parent, { recursive: true, force: true });
  }
}

interface Case {
  readonly name: string;
  readonly files: number;
  readonly rows: number;
  readonly root: string;
  readonly db: DuckDBConnection;
  readonly daemon: DaemonClient;
}

async function measure({ name, files, rows, root, db, daemon }: Case): Promise<void> {
  await writeFiles(db, root, files, rows);
  const policy = { minFiles: 2, settleMs: 0, minAgeMs: 0 };
  await daemon.request("tamp/dataset/open", { dataset: root, policy, watch: false });
  const ratios: number[] = [];
  const runs: RunResult[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    const { planId } = await daemon.request("tamp/plan", { dataset: root, operation: "compact", sync: true });
    const plan = await daemon.request("tamp/plan/document", { planId });
    const copySeconds = await copyGroups(db, plan);
    const result = await daemon.request("tamp/execute", { dataset: root, planId });
    if (result.kind !== "published")
      throw new Error(`the run ended as ${result.kind}: ${result.reason ?? ""}`);
    await daemon.request("tamp/undo", { dataset: root });
    runs.push(result);
    ratios.push(result.durationMs / 1000 / copySeconds);
    print({ dataset: name, figure: "copy_seconds", round, value: rounded(copySeconds) });
    print({
      dataset: name,
      figure: "compact_seconds",
      round,
      value: result.durationMs / 1000,
      phases: result.phases,
    });
  }
  print({ dataset: name, figure: "compact_over_copy", value: rounded(median(ratios)), aim: AIM });
}

async function writeFiles(db: DuckDBConnection, root: string, files: number, rows: number): Promise<void> {
  mkdirSync(root);
  for (let file = 0; file < files; file += 1) {
    const columns = `${file} * ${rows} + i AS id, TIMESTAMP '2024-01-01' + INTERVAL (${file} * ${rows} + i) SECOND AS at,
      'user ' || (hash(i) % 5000) AS name, (hash(i + ${file}) % 100000) / 7.0 AS amount, 'country ' || (i % 200) AS country,
      repeat(md5((i % 3000)::VARCHAR), 2) AS payload`;
    const path = join(root, `part-${String(file).padStart(5, "0")}.parquet`);
    await db.run(
      `COPY (SELECT ${columns} FROM range(${rows}) t(i)) TO '${path}' (FORMAT parquet, COMPRESSION snappy)`,
    );
  }
}

/** What anyone would type: read the files, write one; no fsync, no validation, no way back. */
async function copyGroups(db: DuckDBConnection, plan: PlanDocument): Promise<number> {
  const out = mkdtempSync(join(tmpdir(), "tamp-copy-"));
  const begin = performance.now();
  for (const [index, group] of plan.groups.entries()) {
    const list = group.inputs.map((file) => `'${join(plan.dataset, file.path)}'`).join(", ");
    const options = `(FORMAT parquet, COMPRESSION ${group.codec}, ROW_GROUP_SIZE ${plan.policy.rowsPerGroup})`;
    await db.run(
      `COPY (SELECT * FROM read_parquet([${list}])) TO '${join(out, `${index}.parquet`)}' ${options}`,
    );
  }
  const seconds = (performance.now() - begin) / 1000;
  rmSync(out, { recursive: true, force: true });
  return seconds;
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

function rounded(value: number): number {
  return Math.round(value * 1000) / 1000;
}

function print(figure: object): void {
  console.log(JSON.stringify({ bench: "compact", ...figure }));
}

await main();
