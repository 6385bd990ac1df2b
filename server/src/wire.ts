import { Transform, type TransformCallback } from "node:stream";

const MOST_HEADER_BYTES = 8 * 1024;
const MOST_BODY_BYTES = 256 * 2 ** 20;
const PARSE_ERROR = -32700;
const INVALID_REQUEST = -32600;

/** What is wrong with an incoming frame. `fatal`: the framing itself is lost and nothing after it can be read. */
export interface WireProblem {
  readonly code: typeof PARSE_ERROR | typeof INVALID_REQUEST;
  readonly message: string;
  readonly fatal: boolean;
}

/**
 * Guards the wire in front of vscode-jsonrpc, which has no caps, accepts `12abc` and negative lengths, and never
 * answers -32700: whole valid frames pass unchanged, anything else is reported and dropped.
 */
export class FrameGuard extends Transform {
  private readonly onProblem: (problem: WireProblem) => void;
  private buffered: Buffer[] = [];
  private size = 0;
  /** Bytes needed before it pays to look again. */
  private wanted = 1;
  private lost = false;

  constructor(onProblem: (problem: WireProblem) => void) {
    super();
    this.onProblem = onProblem;
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    if (!this.lost) {
      this.buffered.push(chunk);
      this.size += chunk.length;
      if (this.size >= this.wanted) this.drain();
    }
    done();
  }

  private drain(): void {
    let bytes = Buffer.concat(this.buffered);
    for (;;) {
      const frame = readFrame(bytes);
      if (frame.kind === "frame") {
        this.pass(bytes.subarray(0, frame.end), bytes.subarray(frame.start, frame.end));
        bytes = bytes.subarray(frame.end);
        continue;
      }
      if (frame.kind === "broken") {
        this.lost = true;
        this.onProblem({ code: PARSE_ERROR, message: frame.message, fatal: true });
        bytes = Buffer.alloc(0);
      }
      this.wanted = frame.kind === "partial" ? frame.wanted : 1;
      this.buffered = bytes.length > 0 ? [bytes] : [];
      this.size = bytes.length;
      return;
    }
  }

  private pass(frame: Buffer, body: Buffer): void {
    const problem = problemOf(body);
    if (problem === null) this.push(frame);
    else this.onProblem(problem);
  }
}

type Frame =
  | { readonly kind: "frame"; readonly start: number; readonly end: number }
  | { readonly kind: "partial"; readonly wanted: number }
  | { readonly kind: "broken"; readonly message: string };

function readFrame(bytes: Buffer): Frame {
  const headerEnd = bytes.indexOf("\r\n\r\n");
  if (headerEnd < 0 && bytes.length > MOST_HEADER_BYTES)
    return { kind: "broken", message: "the header has no end" };
  if (headerEnd < 0) return { kind: "partial", wanted: bytes.length + 1 };
  if (headerEnd > MOST_HEADER_BYTES) return { kind: "broken", message: "the header is too long" };
  const header = bytes.toString("latin1", 0, headerEnd);
  const length = /^content-length:[ \t]*(\d{1,10})[ \t]*$/im.exec(header)?.[1];
  if (length === undefined) return { kind: "broken", message: "the header has no valid Content-Length" };
  if (Number(length) > MOST_BODY_BYTES)
    return { kind: "broken", message: `a message of ${length} bytes is too long` };
  const start = headerEnd + 4;
  const end = start + Number(length);
  return bytes.length < end ? { kind: "partial", wanted: end } : { kind: "frame", start, end };
}

function problemOf(body: Buffer): WireProblem | null {
  let message: unknown;
  try {
    message = JSON.parse(body.toString("utf8"));
  } catch (error) {
    return { code: PARSE_ERROR, message: `the message is not JSON: ${String(error)}`, fatal: false };
  }
  const isMessage =
    typeof message === "object" &&
    message !== null &&
    !Array.isArray(message) &&
    "jsonrpc" in message &&
    message.jsonrpc === "2.0";
  if (isMessage) return null;
  return {
    code: INVALID_REQUEST,
    message: "not a JSON-RPC 2.0 message (batches are not supported)",
    fatal: false,
  };
}
