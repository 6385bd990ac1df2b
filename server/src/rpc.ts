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

/** A writer that can be waited for. */
export interface FlushableWriter extends MessageWriter {
  /** Resolves when every frame so far was written or failed. */
  flush(): Promise<void>;
}

/** Writes one frame after the other, whoever asks: header and body are two writes that must stay together. */
export function createWriter(output: Writable): FlushableWriter {
  const writer = new StreamMessageWriter(output);
  const write: MessageWriter["write"] = writer.write.bind(writer);
  let last: Promise<unknown> = Promise.resolve();
  return Object.assign(writer, {
    write(message: Parameters<typeof write>[0]): Promise<void> {
      const written = write(message);
      last = Promise.allSettled([last, written]);
      return written;
    },
    async flush(): Promise<void> {
      await last;
    },
  });
}

/** A JSON-RPC connection with LSP framing over two streams; the caller binds handlers, then listens. */
export function createRpc(input: Readable, output: Writable | MessageWriter): MessageConnection {
  const writer = "write" in output && "onError" in output ? output : createWriter(output);
  return createMessageConnection(new StreamMessageReader(input), writer);
}
