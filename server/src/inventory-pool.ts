import { Worker } from "node:worker_threads";
import {
  type FooterReply,
  type Footers,
  joinClasses,
  type SchemaClass,
  type WorkerMessage,
  type WorkerRequest,
} from "./inventory-messages.ts";
import type { ForeignHit, ScannedDirectory, ScanRequest } from "./scan.ts";

export interface ScanResult {
  readonly directories: readonly ScannedDirectory[];
  /** Owners above the root; only of a scan of the whole dataset. */
  readonly ancestors: readonly ForeignHit[];
}

/** Lists directories and reads footers off the event loop; one worker for all datasets of a process. */
export interface InventoryPool {
  /** `settle` sees each directory as it comes, and answers what of it is to be held until all have come. */
  scan(request: ScanRequest, settle?: (directory: ScannedDirectory) => ScannedDirectory): Promise<ScanResult>;
  /** Absolute paths. A file that hangs or kills its reader is quarantined; the others are read all the same. */
  read(paths: readonly string[]): Promise<Footers>;
  /** Ends the worker; calls under way reject. */
  dispose(): Promise<void>;
}

export interface InventoryPoolOptions {
  /** The bundled `inventory-worker`. */
  readonly workerEntry: URL | string;
  /** A worker that makes no progress for this long is ended. */
  readonly stallMs?: number;
  readonly memoryMb?: number;
  /** A worker without work is ended after this long, and started again on demand. */
  readonly idleMs?: number;
}

const BATCH_FILES = 256;
const IDLE_MS = 10_000;
const STALLS_TO_START = 10;
/** One job is being worked on while the next already waits in the worker. */
const JOBS_IN_FLIGHT = 2;

export function createInventoryPool(options: InventoryPoolOptions): InventoryPool {
  return new Pool(options);
}

type Job = {
  readonly request: WorkerRequest;
  readonly onMessage: (message: WorkerMessage) => void;
  readonly onFailure: (error: Error) => void;
};

/** The worker is started on demand, kept for a while, and does not keep the process alive while it has no work. */
class Pool implements InventoryPool {
  readonly #options: InventoryPoolOptions;
  readonly #pulse = new Int32Array(new SharedArrayBuffer(12));
  readonly #waiting: Job[] = [];
  /** Jobs handed to the worker, oldest first: it works on the first. */
  readonly #inFlight = new Map<number, Job>();
  #worker: Worker | null = null;
  #watchdog: NodeJS.Timeout | null = null;
  #idle: NodeJS.Timeout | null = null;
  #nextId = 1;
  #disposed = false;
  #causeOfDeath = "";

  constructor(options: InventoryPoolOptions) {
    this.#options = options;
  }

  scan(
    request: ScanRequest,
    settle: (directory: ScannedDirectory) => ScannedDirectory = (directory) => directory,
  ): Promise<ScanResult> {
    const directories: ScannedDirectory[] = [];
    return new Promise((resolve, reject) => {
      const onMessage = (message: WorkerMessage): void => {
        if (message.kind === "part") {
          for (const directory of message.part) directories.push(settle(directory));
        } else if (message.kind === "scanned") resolve({ directories, ancestors: message.ancestors });
      };
      this.#enqueue({ request: { kind: "scan", scan: request }, onMessage, onFailure: reject });
    });
  }

  async read(paths: readonly string[]): Promise<Footers> {
    const batches: Promise<Footers>[] = [];
    for (let start = 0; start < paths.length; start += BATCH_FILES) {
      batches.push(this.#readBatch(paths.slice(start, start + BATCH_FILES)));
    }
    return joinFooters(await Promise.all(batches));
  }

  async dispose(): Promise<void> {
    this.#disposed = true;
    if (this.#idle !== null) clearTimeout(this.#idle);
    await this.#worker?.terminate();
    this.#failAll(new Error("the inventory worker was ended"));
  }

  /** A batch that kills the worker is split around the file that did it; a file that does it alone is quarantined. */
  #readBatch(paths: readonly string[]): Promise<Footers> {
    return new Promise((resolve, reject) => {
      const onMessage = (message: WorkerMessage): void => {
        if (message.kind === "footers") resolve({ replies: message.replies, classes: message.classes });
      };
      const onFailure = (error: Error): void => {
        if (!(error instanceof WorkerDied)) reject(error);
        else if (paths.length === 1) resolve({ replies: [killerReply(error)], classes: [] });
        else {
          const parts = splitAround(paths, error.index).map((part) => this.#readBatch(part));
          Promise.all(parts).then((footers) => resolve(joinFooters(footers)), reject);
        }
      };
      this.#enqueue({ request: { kind: "read", paths }, onMessage, onFailure });
    });
  }

  #enqueue(job: Job): void {
    if (this.#disposed) job.onFailure(new Error("the inventory worker was ended"));
    else {
      this.#waiting.push(job);
      this.#pump();
    }
  }

  #pump(): void {
    while (this.#inFlight.size < JOBS_IN_FLIGHT) {
      const job = this.#waiting.shift();
      if (job === undefined) break;
      const id = this.#nextId;
      this.#nextId += 1;
      this.#inFlight.set(id, job);
      this.#start().postMessage({ id, request: job.request });
    }
    const busy = this.#inFlight.size > 0;
    if (busy) this.#worker?.ref();
    else this.#worker?.unref();
    this.#watch(busy);
    this.#endWhenIdle(busy);
  }

  /** A worker holds tens of megabytes, and most datasets are quiet most of the time. */
  #endWhenIdle(busy: boolean): void {
    if (this.#idle !== null) clearTimeout(this.#idle);
    this.#idle = null;
    if (busy || this.#worker === null || this.#disposed) return;
    this.#idle = setTimeout(() => {
      const worker = this.#worker;
      this.#worker = null;
      worker?.removeAllListeners("exit");
      void worker?.terminate();
    }, this.#options.idleMs ?? IDLE_MS);
    this.#idle.unref();
  }

  #start(): Worker {
    if (this.#worker !== null) return this.#worker;
    this.#pulse.fill(0);
    this.#causeOfDeath = "";
    const worker = new Worker(this.#options.workerEntry, {
      workerData: { pulse: this.#pulse.buffer },
      // stdout of the daemon belongs to the protocol.
      stdout: true,
      resourceLimits: { maxOldGenerationSizeMb: this.#options.memoryMb ?? 512, maxYoungGenerationSizeMb: 64 },
    });
    worker.on("message", (message: WorkerMessage) => this.#onMessage(message));
    worker.on("error", (error: Error) => {
      this.#causeOfDeath ||= error.message;
    });
    worker.on("exit", () => this.#onExit());
    this.#worker = worker;
    return worker;
  }

  #onMessage(message: WorkerMessage): void {
    const job = this.#inFlight.get(message.id);
    if (message.kind !== "part") this.#inFlight.delete(message.id);
    job?.onMessage(message);
    this.#pump();
  }

  /** What the worker was doing fails; what merely waited in it is handed to the next one. */
  #onExit(): void {
    this.#worker = null;
    const at = Atomics.load(this.#pulse, 2);
    const culprit = this.#inFlight.get(at);
    this.#inFlight.delete(at);
    this.#waiting.unshift(...this.#inFlight.values());
    this.#inFlight.clear();
    const cause = this.#causeOfDeath || "it ended";
    const started = Atomics.load(this.#pulse, 0) > 0;
    if (this.#disposed || !started) {
      const error = new Error(`the inventory worker cannot be used: ${cause}`);
      culprit?.onFailure(error);
      this.#failAll(error);
    } else culprit?.onFailure(new WorkerDied(cause, Atomics.load(this.#pulse, 1)));
    this.#pump();
  }

  #failAll(error: Error): void {
    for (const job of [...this.#inFlight.values(), ...this.#waiting.splice(0)]) job.onFailure(error);
    this.#inFlight.clear();
  }

  /** Ends a worker whose pulse stands still: a crafted footer can keep a parser busy for hours. */
  #watch(busy: boolean): void {
    if (busy === (this.#watchdog !== null)) return;
    if (this.#watchdog !== null) {
      clearInterval(this.#watchdog);
      this.#watchdog = null;
      return;
    }
    const stallMs = this.#options.stallMs ?? 15_000;
    let last = -1;
    let starts = 0;
    this.#watchdog = setInterval(() => {
      const beats = Atomics.load(this.#pulse, 0);
      starts = beats === 0 ? starts + 1 : 0;
      // On a busy machine a thread may take long to begin.
      const isLate = starts === 0 || starts > STALLS_TO_START;
      if (beats === last && isLate && this.#worker !== null) {
        this.#causeOfDeath ||= `no progress for ${stallMs} ms`;
        void this.#worker.terminate();
      }
      last = beats;
    }, stallMs);
    this.#watchdog.unref();
  }
}

/** The worker ended while it read the file at `index` of a batch, or while it listed directories. */
class WorkerDied extends Error {
  readonly index: number;

  constructor(cause: string, index: number) {
    super(cause);
    this.index = index;
  }
}

function killerReply({ message }: WorkerDied): FooterReply {
  return { kind: "quarantined", stamp: null, detail: `reading its footer ended the reader: ${message}` };
}

function splitAround(paths: readonly string[], index: number): readonly (readonly string[])[] {
  const at = Math.min(Math.max(index, 0), paths.length - 1);
  return [paths.slice(0, at), paths.slice(at, at + 1), paths.slice(at + 1)].filter((part) => part.length > 0);
}

function joinFooters(parts: readonly Footers[]): Footers {
  const classes = new Map<string, SchemaClass>();
  const replies: FooterReply[] = [];
  for (const part of parts) {
    for (const reply of part.replies) replies.push(reply);
    for (const item of part.classes) classes.set(item.id, joinClasses(classes.get(item.id), item));
  }
  return { replies, classes: [...classes.values()] };
}
