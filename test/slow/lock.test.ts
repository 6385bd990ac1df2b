import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { appendFileSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { nodeFs } from "../../server/src/fs.ts";
import { takeLock } from "../../server/src/lock.ts";
import { hostProcesses } from "../../server/src/processes.ts";
import { buildEntry } from "../support/build-worker.ts";
import { judgeLock } from "../support/lock-log.ts";

const CONTENDERS = 16;
const ROUNDS = process.env.TAMP_FULL === "1" ? 1000 : 250;
const MOST_STOPPED_MS = 60;

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "tamp-contend-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** Numbers from 0 to below 1, the same for the same seed (mulberry32). */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

describe(`${CONTENDERS} processes that contend for one lock`, () => {
  it(`are never two holders while ${ROUNDS} times one of them is killed or stopped`, async () => {
    const seed = Number(process.env.TAMP_SEED ?? Date.now() % 2 ** 31);
    const random = seeded(seed);
    const entry = await buildEntry("test/support/lock-contender.ts");
    const path = join(folder, "lock");
    const log = join(folder, "log");
    const start = (): ChildProcess => spawn(process.execPath, [entry, path, log], { stdio: ["ignore", "ignore", "pipe"] });
    const children = Array.from({ length: CONTENDERS }, start);
    const stopped: Promise<unknown>[] = [];
    const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T;
    await delay(1000);
    for (let round = 0; round < ROUNDS; round += 1) {
      // Every other time the one that holds the lock is hit: by chance alone that is rare.
      const holder = /^enter (\d+) \w+$(?![^]*^enter)/m.exec(readFileSync(log, "utf8").slice(-4096))?.[1];
      const hit = children.find(({ pid }) => String(pid) === holder);
      const child = random() < 0.5 && hit !== undefined ? hit : pick(children);
      if (random() < 0.5) {
        appendFileSync(log, `kill ${child.pid}\n`);
        child.kill("SIGKILL");
        children[children.indexOf(child)] = start();
      } else {
        child.kill("SIGSTOP");
        stopped.push(delay(random() * MOST_STOPPED_MS).then(() => child.kill("SIGCONT")));
      }
      await delay(random() * 40);
    }
    await Promise.all(stopped);
    for (const child of children) { appendFileSync(log, `kill ${child.pid}\n`); child.kill("SIGKILL"); await once(child, "exit"); }
    const verdict = judgeLock(readFileSync(log, "utf8"));
    console.log(verdict, readdirSync(folder).length);
    const message = `seed ${seed}`;
    expect(verdict.violations, message).toEqual([]);
    const lock = await takeLock({ fs: nodeFs, processes: hostProcesses, path, root: "/data", since: "now" });
    await lock.release();
    console.log(readdirSync(folder));
  });
});
