import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { appendFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { nodeFs } from "../../server/src/fs.ts";
import { takeLock } from "../../server/src/lock.ts";
import { hostProcesses } from "../../server/src/processes.ts";
import { buildEntry } from "../support/build-worker.ts";
import { judgeLock } from "../support/lock-log.ts";
import { createRandom, SEED } from "../support/seed.ts";

const CONTENDERS = 16;
const ROUNDS = process.env.TAMP_FULL === "1" ? 1500 : 300;
const MOST_STOPPED_MS = 80;
const MOST_PAUSE_MS = 40;
/** So many rounds at most without another holder. */
const ROUNDS_APART = 5;

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "tamp-contend-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const HELD = "enter 1 a\nmutate 1 a\n";
const LOGS: readonly { readonly what: string; readonly log: string; readonly violations: number }[] = [
  { what: "one after the other", log: `${HELD}exit 1 a\nenter 2 b\nexit 2 b\n`, violations: 0 },
  { what: "one after another's kill", log: `${HELD}kill 1\nmutate 1 a\nenter 2 b\n`, violations: 0 },
  { what: "two at once", log: `${HELD}enter 2 b\n`, violations: 1 },
  { what: "two at once, of which a third was killed", log: `${HELD}kill 3\nenter 2 b\n`, violations: 1 },
  { what: "a change after the lock was lost", log: `${HELD}kill 1\nenter 2 b\nmutate 1 a\n`, violations: 1 },
  { what: "a living holder that lost the lock", log: `${HELD}lost 1 a\n`, violations: 1 },
  { what: "a change after the exit", log: `${HELD}exit 1 a\nmutate 1 a\n`, violations: 1 },
];
it.each(LOGS)("a log of $what has $violations violations", ({ log, violations }) => {
  expect(judgeLock(log).violations).toHaveLength(violations);
});

/** Contenders that are killed, replaced, stopped and continued at random; `dispose` ends them all. */
function startContenders(entry: string, log: string) {
  const start = (): ChildProcess =>
    spawn(process.execPath, [entry, join(folder, "lock"), log], { stdio: ["ignore", "ignore", "inherit"] });
  const children = Array.from({ length: CONTENDERS }, start);
  const continued: Promise<unknown>[] = [];
  const random = createRandom(SEED);
  const kill = (child: ChildProcess): void => {
    appendFileSync(log, `kill ${child.pid}\n`);
    child.kill("SIGKILL");
  };
  const hit = (): void => {
    // Every other time it is the holder: by chance alone that would be rare.
    const holder = random() < 0.5 ? children.find(({ pid }) => pid === latestHolder(log)) : undefined;
    const child = holder ?? (children[Math.floor(random() * CONTENDERS)] as ChildProcess);
    if (random() < 0.5) {
      kill(child);
      children[children.indexOf(child)] = start();
    } else {
      child.kill("SIGSTOP");
      continued.push(delay(random() * MOST_STOPPED_MS).then(() => child.kill("SIGCONT")));
    }
  };
  return {
    async harass(): Promise<void> {
      for (let round = 0; round < ROUNDS; round += 1) {
        if (round % ROUNDS_APART === 0) await nextHolder(log);
        hit();
        await delay(random() * MOST_PAUSE_MS);
        expect(children.filter((child) => child.exitCode !== null)).toEqual([]);
      }
    },
    async dispose(): Promise<void> {
      await Promise.all(continued);
      for (const child of children) {
        const ended = once(child, "exit");
        kill(child);
        await ended;
      }
    },
  };
}

function latestHolder(log: string): number {
  return Number(holdersOf(log).at(-1));
}

function holdersOf(log: string): readonly string[] {
  return readFileSync(log, "utf8").match(/(?<=^enter )\d+/gm) ?? [];
}

/** Whatever was done to the contenders, another one gets the lock. */
async function nextHolder(log: string): Promise<void> {
  const before = holdersOf(log).length;
  while (holdersOf(log).length === before) await delay(10);
}

describe(`of ${CONTENDERS} processes that contend for one lock`, () => {
  it(`never two hold it while ${ROUNDS} times one is killed or stopped`, async () => {
    const log = join(folder, "log");
    writeFileSync(log, "");
    const contenders = startContenders(await buildEntry("test/support/lock-contender.ts"), log);
    try {
      await contenders.harass();
    } finally {
      await contenders.dispose();
    }
    const verdict = judgeLock(readFileSync(log, "utf8"));
    expect(verdict.violations, `seed ${SEED}`).toEqual([]);
    expect(verdict.holders, `seed ${SEED}`).toBeGreaterThanOrEqual(ROUNDS / ROUNDS_APART);
    expect(verdict.processes, `seed ${SEED}`).toBeGreaterThan(CONTENDERS);
    expect(verdict.takeovers, `seed ${SEED}`).toBeGreaterThan(0);
    const path = join(folder, "lock");
    await (await takeLock({ fs: nodeFs, processes: hostProcesses, path, root: "/", since: "now" })).release();
    expect(readdirSync(folder)).toEqual(["log"]);
  }, 900_000);
});
