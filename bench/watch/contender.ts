/** A process that does nothing but watch: says how long it took to be ready, and what stays in memory. */
import { setTimeout as delay } from "node:timers/promises";
import { createThreadedWatcher } from "../../server/src/watchers/threaded.ts";

export type Contender = "port" | "chokidar" | "directories" | "parcel";

export interface Said {
  readonly readyMs: number;
  readonly residentMb: number;
}

const SETTLE_MS = 5000;

const [name = "", root = "", worker = ""] = process.argv.slice(2);
const began = performance.now();
await watch(name as Contender);
const readyMs = performance.now() - began;
await delay(SETTLE_MS);
const said: Said = { readyMs, residentMb: process.memoryUsage().rss / 1e6 };
console.log(JSON.stringify(said));
process.exit();

async function watch(contender: Contender): Promise<void> {
  if (contender === "parcel") {
    const { subscribe } = await import("@parcel/watcher");
    await subscribe(root, () => {});
    return;
  }
  const watcher = createThreadedWatcher({
    workerEntry: worker,
    ...(contender === "port" ? {} : { tree: contender }),
  });
  await watcher.watch(root, { onHint: () => {}, onOverflow: () => {}, onState: () => {} });
}
