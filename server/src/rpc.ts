import type { Readable, Writable } from "node:stream";
import {
  CancellationTokenSource,
  createMessageConnection,
  ErrorCodes,
  type MessageConnection,
  type MessageWriter,
  ResponseError,
  StreamMessageReader,
  StreamMessageWriter,
} from "vscode-jsonrpc/node";

export type { CancellationToken, MessageConnection, MessageWriter } from "vscode-jsonrpc/node";
export { CancellationTokenSource, ErrorCodes, ResponseError };

/** Writes one frame after the other, whoever asks: header and body are two writes that must stay together. */
export function createWriter(output: Writable): MessageWriter {
  return new StreamMessageWriter(output);
}

/** A JSON-RPC connection with LSP framing over two streams; the caller binds handlers, then listens. */
export function createRpc(input: Readable, output: Writable | MessageWriter): MessageConnection {
  const writer = "write" in output && "onError" in output ? output : createWriter(output);
  return createMessageConnection(new StreamMessageReader(input), writer);
}
