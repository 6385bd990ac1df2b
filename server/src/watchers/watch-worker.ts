/** Entry of the watcher's worker thread: one worker for all roots, away from the daemon's event loop. */
import { readFileSync } from "node:fs";
import { parentPort, workerData } from "node:worker_threads";
import { assertNever } from "@tamp/core";
import { HINT_LIMITS, maxRawEvents } from "./hints.ts";
import type { FromWorker, ToWorker, WorkerSettings } from "./messages.ts";
import { RootWatch } from "./root-watch.ts";
import { openTree } from "./tree.ts";

const { pollMs } = workerData as WorkerSettings;
const limits = { ...HINT_LIMITS, maxEvents: maxRawEvents(queuedEvents()) };
const roots = new Map<number, RootWatch>();

// chokidar lets these variables overrule its options. The thread has a copy of the environment of its own.
for (const name of Object.keys(process.env)) {
  if (name.startsWith("CHOKIDAR_")) delete process.env[name];
}

parentPort?.on("message", (message: ToWorker) => {
  switch (message.kind) {
    case "watch":
      void open(message.id, message.root);
      return;
    case "unwatch":
      void close(message.id);
      return;
    default:
      assertNever(message);
  }
});

async function open(id: number, root: string): Promise<void> {
  const watch = new RootWatch({
    root,
    openTree,
    limits,
    pollMs,
    now: () => Date.now(),
    events: {
      onHint: (directories) => send({ kind: "hint", id, directories }),
      onOverflow: (reason) => send({ kind: "overflow", id, reason }),
      onState: (state) => send({ kind: "state", id, state }),
    },
  });
  roots.set(id, watch);
  await watch.check();
  send({ kind: "ready", id });
}

async function close(id: number): Promise<void> {
  const watch = roots.get(id);
  roots.delete(id);
  await watch?.dispose();
  send({ kind: "closed", id });
}

function send(message: FromWorker): void {
  parentPort?.postMessage(message);
}

/** How many events the kernel keeps for a reader that is late; null where that is not known. */
function queuedEvents(): number | null {
  try {
    return Number(readFileSync("/proc/sys/fs/inotify/max_queued_events", "utf8"));
  } catch {
    return null;
  }
}
