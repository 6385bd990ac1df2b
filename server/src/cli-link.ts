import { PassThrough } from "node:stream";
import type { DaemonClient } from "./cli/client.ts";
import { type ServeOptions, serveConnection } from "./connection.ts";
import { TampError } from "./errors.ts";
import {
  ERROR_CODES,
  type ErrorCode,
  type Requests,
  type ServerNotifications,
  type WorkDoneProgress,
} from "./protocol.ts";
import { CancellationTokenSource, createRpc, type MessageConnection, ResponseError } from "./rpc.ts";

/** A daemon and its client in one process, joined by two streams: the command line runs the daemon's own code. */
export async function linkInProcess(options: Pick<ServeOptions, "daemon">): Promise<DaemonClient> {
  const toServer = new PassThrough();
  const toClient = new PassThrough();
  const served = serveConnection({
    ...options,
    input: toServer,
    output: toClient,
    onClientProcess: () => {},
  });
  const connection = createRpc(toClient, toServer);
  connection.listen();
  await connection.sendRequest("initialize", { processId: null, clientInfo: { name: "tamp" } });
  await connection.sendNotification("initialized");
  return createClient(connection, async () => {
    await connection.sendRequest("shutdown");
    await connection.sendNotification("exit");
    await served;
    connection.dispose();
  });
}

/** The typed client over any connection; `close` ends it in an orderly way. */
export function createClient(connection: MessageConnection, close: () => Promise<void>): DaemonClient {
  const listeners = new Map<string | number, (value: WorkDoneProgress) => void>();
  connection.onNotification("$/progress", ({ token, value }: ServerNotifications["$/progress"]) => {
    listeners.get(token)?.(value);
  });
  let nextToken = 1;
  return {
    async request<M extends keyof Requests>(
      method: M,
      params: Requests[M]["params"],
      options: { signal?: AbortSignal; onProgress?: (value: WorkDoneProgress) => void } = {},
    ): Promise<Requests[M]["result"]> {
      const cancellation = new CancellationTokenSource();
      const cancel = (): void => cancellation.cancel();
      options.signal?.addEventListener("abort", cancel);
      if (options.signal?.aborted === true) cancel();
      const token = `progress-${nextToken}`;
      nextToken += 1;
      if (options.onProgress !== undefined) listeners.set(token, options.onProgress);
      const sent = options.onProgress === undefined ? params : { ...params, workDoneToken: token };
      try {
        return await connection.sendRequest(method, sent, cancellation.token);
      } catch (error) {
        throw toTampError(error);
      } finally {
        options.signal?.removeEventListener("abort", cancel);
        listeners.delete(token);
        cancellation.dispose();
      }
    },
    onNotification: (name, handler) => {
      connection.onNotification(name, handler);
    },
    close,
  };
}

function toTampError(error: unknown): unknown {
  if (!(error instanceof ResponseError)) return error;
  const data: { readonly code?: string; readonly hint?: string; readonly notDone?: string } =
    error.data ?? {};
  const code =
    data.code !== undefined && data.code in ERROR_CODES ? (data.code as ErrorCode) : "InternalError";
  const notDone = data.notDone === undefined ? {} : { notDone: data.notDone };
  return new TampError(code, error.message, { hint: data.hint ?? "", ...notDone });
}
