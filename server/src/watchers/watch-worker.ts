/** Entry of the watcher's worker thread: one worker for all roots, away from the daemon's event loop. */
import { readFileSync } from "node:fs";
import { parentPort, workerData } from "node:worker_threads";
import { assertNever } from "@tamp/core";
import { treeOpener } from "./choose-tree.ts";
import { createFloodGauge, HINT_LIMITS, maxRawEvents } from "./hints.ts";
import type { FromWorker, ToWorker, WorkerSettings } from "./messages.ts";
import { canRead, find } from "./root.ts";
import { RootWatch } from "./root-watch.ts";

const { pollMs, tree } = workerData as WorkerSettings;
const limits = { ...HINT_LIMITS, maxEvents: maxRawEvents(queuedEvents()) };
const roots = new Map<number, RootWatch>();
/** Full looks that were asked for and are not done. */
const looks = new Map<number, () => void>();
let lastLook = 0;
// libuv reads all that the kernel has queued before immediates run.
const onRaw = createFloodGauge(limits.maxEvents, setImmediate, () => {
  for (const watch of roots.values()) watch.lose("burst");
});

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
    case "looked":
      looks.get(message.look)?.();
      looks.delete(message.look);
      return;
    default:
      assertNever(message);
  }
});

async function open(id: number, root: string): Promise<void> {
  const watch = new RootWatch({
    root,
    openTree: treeOpener(tree),
    disk: { find, canRead },
    limits,
    pollMs,
    clock: () => performance.now(),
    now: () => Date.now(),
    onRaw,
    events: {
      onHint: (directories) => send({ kind: "hint", id, directories }),
      onOverflow: (reason) => askForLook(id, reason),
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

function askForLook(id: number, reason: string): Promise<void> {
  lastLook += 1;
  const look = lastLook;
  send({ kind: "overflow", id, look, reason });
  return new Promise((resolve) => looks.set(look, resolve));
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
