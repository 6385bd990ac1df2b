import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { realpathSync, rmSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { makeRoot, writeDataset } from "../support/dataset.ts";
import {
  type FolderImage,
  imageOf,
  missingRows,
  type Rows,
  rowsOf,
  sameRows,
} from "../support/dataset-image.ts";
import { createRandom, SEED } from "../support/seed.ts";

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
const FULL = process.env.TAMP_FULL === "1";
const KILLS = FULL ? 200 : 24;
const ROUNDS = FULL ? 20 : 3;
/** Some kills come too late, some before anything was written. */
const LATEST = 1.1;
const MOST_MS = FULL ? 7_200_000 : 1_200_000;
let root: string;
let workspace: string;
let original: FolderImage;
let rows: Rows;

beforeAll(async () => {
  root = realpathSync(makeRoot());
  workspace = join(dirname(root), `.${basename(root)}.tamp`);
  const names = Array.from({ length: 40 }, (_, n) => n);
  const file = (p: number, n: number) =>
    [`p=${p}/part-${n}.parquet`, { rows: 100, from: (p * 40 + n) * 100 }] as const;
  writeDataset(root, Object.fromEntries([0, 1, 2, 3, 4, 5].flatMap((p) => names.map((n) => file(p, n)))));
  original = imageOf(root);
  rows = await rowsOf(root, original);
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
  await expectUndone();
  return ms;
}

describe(`seed ${SEED}: tamp compact`, () => {
  it(`loses no row when killed ${KILLS} times in a row at random times`, { timeout: MOST_MS }, async () => {
    const random = createRandom(SEED);
    const runMs = await timeOneRun();
    const seen = new Set<string>();
    for (let kill = 0; kill < KILLS; kill += 1) {
      const child = tamp("compact", root, ...FLAGS);
      const done = finished(child);
      await delay(runMs * LATEST * random());
      if (child.exitCode === null && child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
      await done;
      expect(missingRows(rows, await rowsOf(root, imageOf(root)))).toEqual([]);
      const recovered = await finished(tamp("recover", root, "--json"));
      expect(recovered.code, recovered.text).toBe(0);
      seen.add(JSON.parse(recovered.text).kind);
      await expectRows();
      const again = imageOf(root);
      expect(JSON.parse((await finished(tamp("recover", root, "--json"))).text).kind).toBe("nothing_to_do");
      expect(imageOf(root)).toEqual(again);
      await expectUndone();
    }
    expect([...seen]).toContain("recovered");
  });

  it(`is published once when started twice at once, ${ROUNDS} times`, { timeout: MOST_MS }, async () => {
    for (let round = 0; round < ROUNDS; round += 1) {
      const both = await Promise.all(
        [0, 1].map(() => finished(tamp("compact", root, ...FLAGS, "--min-age", "1h"))),
      );
      const told = both.map(({ text }) => JSON.parse(text));
      expect(told.filter(({ kind }) => kind === "published")).toHaveLength(1);
      const other = told.find(({ kind }) => kind !== "published");
      // Which of these, is a matter of when the second looked at the files.
      expect(["Locked", "refused", "nothing_to_do"]).toContain(other.error?.code ?? other.kind);
      if (other.error !== undefined) expect(other.error.message).toMatch(/is being maintained by /);
      await expectRows();
      await expectUndone();
    }
  });
});

async function expectRows(): Promise<void> {
  expect(sameRows(await rowsOf(root, imageOf(root)), rows)).toBe(true);
}

/** Every original is back with its inode, its time and its bytes, and nothing else is there. */
async function expectUndone(): Promise<void> {
  for (let kind = ""; kind !== "nothing_to_do"; ) {
    const { code, text } = await finished(tamp("undo", root, "--json", "--yes"));
    expect(code, text).toBe(0);
    ({ kind } = JSON.parse(text));
  }
  expect(imageOf(root)).toEqual(original);
}
