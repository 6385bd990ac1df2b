import { PassThrough, type Readable, type Writable } from "node:stream";
import { readParams } from "./check.ts";
import type { Daemon, DaemonEvent } from "./daemon.ts";
import { EngineError } from "./engine-error.ts";
import { TampError } from "./errors.ts";
import type { HandlerContext } from "./handlers/context.ts";
import { closeDataset, datasetFiles, datasetStats, listDatasets, openDataset } from "./handlers/datasets.ts";
import { executePlan } from "./handlers/execute.ts";
import { recover, runs, undo } from "./handlers/history.ts";
import { makePlan, planDocument, planGroups, planSkipped, summarize } from "./handlers/plans.ts";
import {
  ERROR_CODES,
  type InitializeResult,
  PROTOCOL_VERSION,
  type Requests,
  type WireErrorData,
} from "./protocol.ts";
import {
  type CancellationToken,
  createRpc,
  ErrorCodes,
  type MessageConnection,
  ResponseError,
} from "./rpc.ts";
import { FrameGuard } from "./wire.ts";

type Method = Exclude<keyof Requests, "initialize" | "shutdown">;
type Handler<M extends Method> = (context: HandlerContext) => Promise<Requests[M]["result"]>;

/** Every method has its own entry: nothing else knows which handler answers what. */
export const HANDLERS: { readonly [M in Method]: Handler<M> } = {
  "tamp/dataset/open": openDataset,
  "tamp/dataset/close": closeDataset,
  "tamp/dataset/list": listDatasets,
  "tamp/dataset/stats": datasetStats,
  "tamp/dataset/files": datasetFiles,
  "tamp/plan": makePlan,
  "tamp/plan/groups": planGroups,
  "tamp/plan/skipped": planSkipped,
  "tamp/plan/document": planDocument,
  "tamp/execute": executePlan,
  "tamp/runs": runs,
  "tamp/undo": undo,
  "tamp/recover": recover,
};

export interface ServeOptions {
  readonly daemon: Daemon;
  readonly input: Readable;
  readonly output: Writable;
  /** Called with the process to watch once the client has told it. */
  readonly onClientProcess: (pid: number) => void;
}

/** LSP: requests before `initialize` get -32002, requests after `shutdown` -32600. */
interface Session {
  lifecycle: "new" | "running" | "shut_down";
  trusted: boolean;
}

const NOT_INITIALIZED = -32002;
const REQUEST_CANCELLED = -32800;

/**
 * Serves one client until `exit` or the end of its stream. Resolves with the exit code: 0 after `shutdown`, else
 * 1, once every run has finished or was undone.
 */
export async function serveConnection(options: ServeOptions): Promise<number> {
  const { daemon, input, output } = options;
  const connection = createRpc(guardedInput(input, output), output);
  const session: Session = { lifecycle: "new", trusted: true };
  const ended = new Promise<void>((resolve) => {
    connection.onNotification("exit", resolve);
    connection.onClose(resolve);
    input.once("end", resolve);
    input.once("close", resolve);
    output.once("error", () => resolve());
  });
  connection.onRequest("initialize", (params: unknown) => {
    if (session.lifecycle !== "new")
      throw new ResponseError(ErrorCodes.InvalidRequest, "initialize was sent twice");
    session.lifecycle = "running";
    const read = readParams(params);
    const initial = readParams(read.optionalObject("initializationOptions"));
    session.trusted = initial.optionalBoolean("trusted") ?? true;
    const pid = read.optionalNumber("processId");
    if (pid !== undefined) options.onClientProcess(pid);
    return initializeResult(daemon);
  });
  connection.onRequest("shutdown", () => {
    session.lifecycle = "shut_down";
    return null;
  });
  connection.onNotification("initialized", () => {});
  connection.onNotification("$/setTrace", () => {});
  for (const method of Object.keys(HANDLERS) as Method[]) bind(connection, daemon, method, session);
  daemon.onEvent((event) => forward(connection, daemon, event));
  connection.listen();
  await ended;
  await daemon.dispose();
  connection.dispose();
  return session.lifecycle === "shut_down" ? 0 : 1;
}

function bind(connection: MessageConnection, daemon: Daemon, method: Method, session: Session): void {
  connection.onRequest(method, async (params: unknown, token: CancellationToken): Promise<unknown> => {
    const { lifecycle, trusted } = session;
    if (lifecycle === "new") throw new ResponseError(NOT_INITIALIZED, "initialize must be sent first");
    if (lifecycle === "shut_down")
      throw new ResponseError(ErrorCodes.InvalidRequest, "the server was shut down");
    const abort = new AbortController();
    const cancelled = token.onCancellationRequested(() => abort.abort());
    const notify: HandlerContext["notify"] = (name, value) => send(connection, name, value);
    try {
      return await HANDLERS[method]({
        daemon,
        params: readParams(params),
        signal: abort.signal,
        trusted,
        notify,
      });
    } catch (error) {
      throw toResponseError(error);
    } finally {
      cancelled.dispose();
    }
  });
}

function initializeResult(daemon: Daemon): InitializeResult {
  const { engine, version } = daemon.deps;
  return {
    serverInfo: { name: "tamp", version },
    capabilities: {
      tamp: {
        protocolVersion: PROTOCOL_VERSION,
        operations: ["compact"],
        engines: [engine.name],
        progress: true,
      },
    },
  };
}

function forward(connection: MessageConnection, daemon: Daemon, event: DaemonEvent): void {
  const { dataset } = event;
  if (event.kind === "changed") {
    const { generation, added, changed, removed } = event.change;
    const summary = dataset.summary();
    send(connection, "tamp/dataset/changed", {
      dataset: dataset.root,
      generation,
      summary,
      added,
      changed,
      removed,
    });
    return;
  }
  const { generation, health } = event.made;
  summarize(daemon, dataset, event.made).then(
    (plan) =>
      send(connection, "tamp/dataset/thresholdCrossed", { dataset: dataset.root, generation, health, plan }),
    () => {},
  );
}

/** A client that has gone away hears nothing; the end of its stream ends the daemon. */
function send(connection: MessageConnection, method: string, params: unknown): void {
  connection.sendNotification(method, params).catch(() => {});
}

/** Frames that are not JSON-RPC get their error here; a lost framing ends the connection. */
function guardedInput(input: Readable, output: Writable): Readable {
  const guard = new FrameGuard(({ code, message, fatal }) => {
    const body = JSON.stringify({ jsonrpc: "2.0", id: null, error: { code, message } });
    output.write(`Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
    if (fatal) input.destroy();
  });
  return input.pipe(guard).pipe(new PassThrough());
}

/** The one place where errors become numbers of the wire. */
function toResponseError(error: unknown): ResponseError<WireErrorData> {
  if (error instanceof TampError) {
    const { code, message, hint, notDone } = error;
    const number = code === "Cancelled" ? REQUEST_CANCELLED : ERROR_CODES[code];
    return new ResponseError(number, message, { code, hint, notDone });
  }
  const engine = error instanceof EngineError;
  const code = engine
    ? error.code === "EngineUnavailable"
      ? "EngineUnavailable"
      : "EngineFailed"
    : "InternalError";
  const hint = engine
    ? "see the message; the dataset was not changed by the failed step"
    : "report this with the log";
  const notDone = "the request was not carried out";
  const message = error instanceof Error ? error.message : String(error);
  return new ResponseError(ERROR_CODES[code], message, { code, hint, notDone });
}
