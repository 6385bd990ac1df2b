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
 * Guards the wire in front of vscode-jsonrpc, which has no caps, accepts `12abc` and negative lengths, lets the last
 * of two lengths win and never answers -32700: bodies of whole valid frames pass behind a header of our own, so
 * that both read the same frames; anything else is reported and dropped.
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
        this.pass(bytes.subarray(frame.start, frame.end));
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

  private pass(body: Buffer): void {
    const problem = problemOf(body);
    if (problem === null) {
      this.push(`Content-Length: ${body.length}\r\n\r\n`);
      this.push(body);
    } else this.onProblem(problem);
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
  const length = contentLength(bytes.toString("latin1", 0, headerEnd));
  if (length === null) return { kind: "broken", message: "the header has no valid Content-Length" };
  if (length > MOST_BODY_BYTES)
    return { kind: "broken", message: `a message of ${length} bytes is too long` };
  const start = headerEnd + 4;
  const end = start + length;
  return bytes.length < end ? { kind: "partial", wanted: end } : { kind: "frame", start, end };
}

/** Null unless every line is a field and exactly one of them is a Content-Length of digits. */
function contentLength(header: string): number | null {
  const fields = header.split("\r\n").map((line) => /^([^\s:]+):[ \t]*(.*?)[ \t]*$/.exec(line));
  const lengths = fields.filter((field) => field?.[1]?.toLowerCase() === "content-length");
  const length = lengths[0]?.[2] ?? "";
  return fields.includes(null) || lengths.length !== 1 || !/^\d{1,10}$/.test(length) ? null : Number(length);
}

function problemOf(body: Buffer): WireProblem | null {
  let message: unknown;
  try {
    message = JSON.parse(body.toString("utf8"));
  } catch (error) {
    return { code: PARSE_ERROR, message: `the message is not JSON: ${String(error)}`, fatal: false };
  }
  if (isMessage(message)) return null;
  return {
    code: INVALID_REQUEST,
    message: "not a JSON-RPC 2.0 message (batches are not supported)",
    fatal: false,
  };
}

/** A request, a notification or a response: vscode-jsonrpc drops anything else without an answer. */
function isMessage(value: unknown): boolean {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
  const message: Readonly<Record<string, unknown>> = { ...value };
  if (message.jsonrpc !== "2.0") return false;
  if (message.method === undefined) return "result" in message || "error" in message;
  return typeof message.method === "string" && ["undefined", "string", "number"].includes(typeof message.id);
}
