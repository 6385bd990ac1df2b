import { Worker } from "node:worker_threads";
import type { Checker, CheckReply, CheckRequest } from "./validate.ts";

/**
 * A crafted file may kill or hang the parser: the calls under way then reject, and the next call gets a new worker.
 */
export function createChecker(workerEntry: URL | string, deadlineMs: number): Checker {
  const pending = new Map<number, PendingCheck>();
  let worker: Worker | null = null;
  let nextId = 1;
  let disposed = false;
  const end = async (cause: string): Promise<void> => {
    const ended = worker;
    worker = null;
    for (const id of [...pending.keys()]) take(id)?.reject(new Error(cause));
    await ended?.terminate();
  };
  const take = (id: number): PendingCheck | undefined => {
    const call = pending.get(id);
    pending.delete(id);
    clearTimeout(call?.timer);
    return call;
  };
  const start = (): Worker => {
    // stdout of the daemon belongs to the protocol.
    const started = new Worker(workerEntry, {
      stdout: true,
      resourceLimits: { maxOldGenerationSizeMb: 1024 },
    });
    const fail = (cause: string): void => {
      if (worker === started) void end(cause);
    };
    started.on("message", ({ id, reply, error }: { id: number; reply?: CheckReply; error?: string }) => {
      const call = take(id);
      if (reply === undefined) call?.reject(new Error(error));
      else call?.resolve(reply);
    });
    started.on("error", (error) => fail(`the validating worker failed: ${String(error)}`));
    started.on("exit", () => fail("the validating worker ended"));
    return started;
  };
  const ask = (request: CheckRequest): Promise<CheckReply> =>
    new Promise((resolve, reject) => {
      if (disposed) return reject(new Error("the validating worker was ended"));
      const id = nextId;
      nextId += 1;
      const late = `the validating worker did not answer within ${deadlineMs / 1000} s`;
      pending.set(id, { resolve, reject, timer: setTimeout(() => void end(late), deadlineMs) });
      worker ??= start();
      worker.postMessage({ id, request });
    });
  return {
    async footers(paths) {
      const reply = await ask({ kind: "footers", paths });
      return reply.kind === "footers" ? reply.footers : [];
    },
    async sameRows(request) {
      const reply = await ask(request);
      return reply.kind === "compare" && reply.equal;
    },
    async dispose() {
      disposed = true;
      await end("the validating worker was ended");
    },
  };
}

interface PendingCheck {
  readonly resolve: (reply: CheckReply) => void;
  readonly reject: (error: Error) => void;
  readonly timer: NodeJS.Timeout;
}
