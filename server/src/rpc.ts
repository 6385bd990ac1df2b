import type { Readable, Writable } from "node:stream";
import {
  CancellationTokenSource,
  createMessageConnection,
  ErrorCodes,
  type MessageConnection,
  ResponseError,
  StreamMessageReader,
  StreamMessageWriter,
} from "vscode-jsonrpc/node";

export type { CancellationToken, MessageConnection } from "vscode-jsonrpc/node";
export { CancellationTokenSource, ErrorCodes, ResponseError };

/** A JSON-RPC connection with LSP framing over two streams; the caller binds handlers, then listens. */
export function createRpc(input: Readable, output: Writable): MessageConnection {
  return createMessageConnection(new StreamMessageReader(input), new StreamMessageWriter(output));
}
