import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, rmSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type Digest, dataFiles, digestFiles } from "../../demo/digest.ts";
import { makeRoot, writeDataset } from "../support/dataset.ts";

const TAMP = fileURLToPath(new URL("../../server/bin/tamp.mjs", import.meta.url));
const FLAGS = [
  "--json",
  "--yes",
  "--settle",
  "0",
  "--min-files",
  "2",
  "--allow",
  "nullability",
  "--allow",
  "time-unit",
];
const KILLS = 24;
let root: string;
let workspace: string;
let rows: Digest;

beforeAll(async () => {
  root = makeRoot();
  workspace = join(dirname(root), `.${basename(root)}.tamp`);
  const names = Array.from({ length: 40 }, (_, n) => n);
  const file = (p: number, n: number) =>
    [`p=${p}/part-${n}.parquet`, { rows: 500, from: (p * 40 + n) * 500 }] as const;
  writeDataset(root, Object.fromEntries([0, 1, 2, 3, 4, 5].flatMap((p) => names.map((n) => file(p, n)))));
  rows = await digestFiles(dataFiles(root));
});
afterAll(() => {
  for (const folder of [root, workspace]) rmSync(folder, { recursive: true, force: true });
});

/** Runs `tamp` in a process group of its own, so that a kill takes its children as a power cut would. */
function tamp(...args: readonly string[]): ChildProcess {
  return spawn(process.execPath, [TAMP, ...args], { detached: true, stdio: ["ignore", "pipe", "inherit"] });
}

async function finished(
  child: ChildProcess,
): Promise<{ readonly code: number | null; readonly text: string }> {
  let text = "";
  child.stdout?.on("data", (chunk: Buffer) => {
    text += chunk.toString();
  });
  const [code] = await once(child, "close");
  return { code, text };
}

async function timeOneRun(): Promise<number> {
  const begin = performance.now();
  const { code, text } = await finished(tamp("compact", root, ...FLAGS));
  expect(JSON.parse(text)).toMatchObject({ kind: "published" });
  expect(code).toBe(0);
  const ms = performance.now() - begin;
  expect((await finished(tamp("undo", root, "--json", "--yes"))).code).toBe(0);
  return ms;
}

it(`loses no row when killed at ${KILLS} moments spread over a run`, async () => {
  const original = inodes();
  const runMs = await timeOneRun();
  const seen = new Set<string>();
  for (let kill = 0; kill < KILLS; kill += 1) {
    const child = tamp("compact", root, ...FLAGS);
    const done = finished(child);
    await delay((runMs * (kill + 1)) / (KILLS + 1));
    if (child.exitCode === null && child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
    await done;
    await expectNoRowMissing();
    const recovered = await finished(tamp("recover", root, "--json"));
    expect(recovered.code, recovered.text).toBe(0);
    seen.add(JSON.parse(recovered.text).kind);
    expect(await digestFiles(dataFiles(root))).toEqual(rows);
    expect(JSON.parse((await finished(tamp("recover", root, "--json"))).text).kind).toBe("nothing_to_do");
    await undoEverything();
    expect(inodes()).toEqual(original);
  }
  expect([...seen]).toContain("recovered");
}, 600_000);

/** Every row in at least one listed file: rows may be there twice, never less than once. */
async function expectNoRowMissing(): Promise<void> {
  const found = await digestFiles(dataFiles(root));
  expect(found.rows).toBeGreaterThanOrEqual(rows.rows);
}

async function undoEverything(): Promise<void> {
  for (;;) {
    const { code, text } = await finished(tamp("undo", root, "--json", "--yes"));
    expect(code, text).toBe(0);
    if (JSON.parse(text).kind === "nothing_to_do") return;
  }
}

function inodes(): Readonly<Record<string, number>> {
  const names = readdirSync(root, { recursive: true, encoding: "utf8" }).filter((name) =>
    name.endsWith(".parquet"),
  );
  return Object.fromEntries(names.sort().map((name) => [name, statSync(join(root, name)).ino]));
}
