import { appendFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { TampError } from "../../server/src/errors.ts";
import { nodeFs } from "../../server/src/fs.ts";
import { type Lock, takeLock } from "../../server/src/lock.ts";
import { hostProcesses } from "../../server/src/processes.ts";

/**
 * One of many processes that want the same lock: `node lock-contender.mjs LOCK LOG`. It takes the lock, writes down
 * what it does while it holds it, gives the lock back, and begins again until it is killed. Each line is one write at
 * the end of the log, so lines of several processes never mix.
 */
const [path = "", log = ""] = process.argv.slice(2);
const MOST_MUTATIONS = 4;

function tell(event: string, nonce: string): void {
  appendFileSync(log, `${event} ${process.pid} ${nonce}\n`);
}

async function tryTake(): Promise<Lock | null> {
  try {
    return await takeLock({ fs: nodeFs, processes: hostProcesses, path, root: "/data", since: "now" });
  } catch (error) {
    if (error instanceof TampError && error.code === "Locked") return null;
    throw error;
  }
}

async function workUnder(lock: Lock): Promise<void> {
  tell("enter", lock.nonce);
  for (let left = Math.random() * MOST_MUTATIONS; left > 0; left -= 1) {
    await lock.assertHeld();
    tell("mutate", lock.nonce);
    await delay(Math.random() * 2);
  }
  tell("exit", lock.nonce);
  await lock.release();
}

for (;;) {
  const lock = await tryTake();
  if (lock === null) await delay(Math.random() * 4);
  else await workUnder(lock).catch(() => tell("lost", lock.nonce));
}
