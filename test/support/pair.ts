import { PassThrough } from "node:stream";
import { createChecker } from "../../server/src/checker.ts";
import { serveConnection } from "../../server/src/connection.ts";
import { Daemon } from "../../server/src/daemon.ts";
import { createInventory } from "../../server/src/inventory.ts";
import type { InventoryPool } from "../../server/src/inventory-pool.ts";
import type { Watcher } from "../../server/src/watcher.ts";
import { type FakeEngine, fakeEngine } from "./fake-engine.ts";
import { quietDeps, testPorts } from "./ports.ts";

export interface WireAnswer {
  readonly jsonrpc?: string;
  readonly id?: number | string | null;
  readonly result?: unknown;
  readonly error?: { readonly code: number; readonly message: string; readonly data?: unknown };
  readonly method?: string;
  readonly params?: unknown;
}

/** A daemon that serves this process over two streams, and the bare frames of both directions. */
export interface Pair {
  /** Sends a request; resolves with its whole answer, error or result. */
  ask(method: string, params?: unknown): Promise<WireAnswer>;
  /** Sends a request and answers its id at once, so that it can be cancelled. */
  begin(method: string, params?: unknown): { readonly id: number; readonly answer: Promise<WireAnswer> };
  notify(method: string, params?: unknown): void;
  /** Writes bytes as they are; resolves with the next answer that carries no id. */
  raw(bytes: string | Buffer): Promise<WireAnswer>;
  /** Every frame received so far, in order. */
  readonly received: readonly WireAnswer[];
  /** Every byte received so far. */
  bytes(): Buffer;
  end(): void;
  readonly exitCode: Promise<number>;
  readonly clientProcesses: readonly number[];
}

export interface PairOptions {
  readonly engine?: FakeEngine;
  readonly pool: InventoryPool;
  /** Bundle of `checker-worker`; only runs need it. */
  readonly checkerEntry?: string;
}

export function createPair({ engine = fakeEngine(), pool, checkerEntry = "" }: PairOptions): Pair {
  const toServer = new PassThrough();
  const toClient = new PassThrough();
  const clientProcesses: number[] = [];
  const daemon = createDaemon(engine, pool, checkerEntry);
  const onClientProcess = (pid: number): void => void clientProcesses.push(pid);
  const exitCode = serveConnection({ daemon, input: toServer, output: toClient, onClientProcess });
  const listener = listen(toClient);
  const write = (message: object): void => void toServer.write(frameOf({ jsonrpc: "2.0", ...message }));
  let nextId = 1;
  const begin: Pair["begin"] = (method, params) => {
    const id = nextId;
    nextId += 1;
    const answer = listener.answerTo(id);
    write({ id, method, ...(params === undefined ? {} : { params }) });
    return { id, answer };
  };
  return {
    begin,
    ask: (method, params) => begin(method, params).answer,
    notify: (method, params) => write({ method, ...(params === undefined ? {} : { params }) }),
    raw(bytes) {
      const answer = listener.answerTo(null);
      toServer.write(bytes);
      return answer;
    },
    received: listener.received,
    bytes: listener.bytes,
    end: () => toServer.end(),
    exitCode,
    clientProcesses,
  };
}

export function frameOf(message: unknown): Buffer {
  const body = Buffer.from(typeof message === "string" ? message : JSON.stringify(message));
  return Buffer.concat([Buffer.from(`Content-Length: ${body.length}\r\n\r\n`), body]);
}

interface Listener {
  readonly received: WireAnswer[];
  bytes(): Buffer;
  /** The next answer with this id. */
  answerTo(id: number | null): Promise<WireAnswer>;
}

/** Reads the frames of a stream; anything that is no frame fails every wait. */
function listen(stream: PassThrough): Listener {
  const received: WireAnswer[] = [];
  const waiting = new Map<unknown, (answer: WireAnswer) => void>();
  const chunks: Buffer[] = [];
  let rest = Buffer.alloc(0);
  stream.on("data", (chunk: Buffer) => {
    chunks.push(chunk);
    rest = Buffer.concat([rest, chunk]);
    for (;;) {
      const { frames, remainder } = readFrames(rest, 1);
      rest = remainder;
      const message = frames[0];
      if (message === undefined) return;
      received.push(message);
      if (message.method === undefined) waiting.get(message.id)?.(message);
    }
  });
  return {
    received,
    bytes: () => Buffer.concat(chunks),
    answerTo: (id) => new Promise((resolve) => waiting.set(id, resolve)),
  };
}

/** The frames that bytes begin with, by the letter of the protocol, and what is left behind them. */
export function readFrames(
  bytes: Buffer,
  most = Number.POSITIVE_INFINITY,
): { readonly frames: readonly WireAnswer[]; readonly remainder: Buffer<ArrayBuffer> } {
  const frames: WireAnswer[] = [];
  let rest = Buffer.from(bytes);
  while (frames.length < most) {
    const end = rest.indexOf("\r\n\r\n");
    const header = /^Content-Length: (\d+)$/.exec(rest.toString("latin1", 0, Math.max(end, 0)));
    const length = Number(header?.[1]);
    if (end < 0 || !(rest.length >= end + 4 + length)) break;
    frames.push(JSON.parse(rest.toString("utf8", end + 4, end + 4 + length)));
    rest = rest.subarray(end + 4 + length);
  }
  return { frames, remainder: rest };
}

function createDaemon(engine: FakeEngine, pool: InventoryPool, checkerEntry: string): Daemon {
  const now = (): number => Date.now();
  return new Daemon({
    ports: testPorts(),
    engine,
    watcher: fakeWatcher,
    createInventory: (options) => createInventory({ ...options, pool, now }),
    ...quietDeps(),
    createChecker: (deadlineMs) => createChecker(checkerEntry, deadlineMs),
    defaults: { memoryBytes: 2 ** 28, threads: 1, deadlineMs: 10_000 },
    version: "0.0.0-test",
  });
}

/** Says that it watches, and never sees anything. */
const fakeWatcher: Watcher = {
  async watch(_root, { onState }) {
    onState({ kind: "watching" });
    return { dispose: async () => {} };
  },
  dispose: async () => {},
};
