import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { FrameGuard, type WireProblem } from "../../server/src/wire.ts";
import { frameOf, readFrames } from "../support/pair.ts";

interface Passed {
  readonly bytes: Buffer;
  readonly problems: readonly WireProblem[];
}

/** What the guard lets through and what it reports, for chunks that come one after the other. */
function guard(chunks: readonly (string | Buffer)[]): Passed {
  const problems: WireProblem[] = [];
  const stream = new FrameGuard((problem) => problems.push(problem));
  const passed: Buffer[] = [];
  for (const chunk of chunks) {
    stream.write(chunk);
    for (let read: Buffer | null = stream.read(); read !== null; read = stream.read()) passed.push(read);
  }
  return { bytes: Buffer.concat(passed), problems };
}

const request = (id: number, method = "tamp/dataset/list") => ({ jsonrpc: "2.0", id, method });
const codes = ({ problems }: Passed): readonly number[] => problems.map(({ code }) => code);
const ids = ({ bytes }: Passed) => readFrames(bytes).frames.map(({ id }) => id);

describe("whole frames pass", () => {
  const text = { ...request(1), params: { dataset: "/data/événements 数据 🦆", note: "\r\n\r\n" } };
  const frame = frameOf(text);

  it("split at every byte boundary", () => {
    for (let at = 0; at <= frame.length; at += 1) {
      const passed = guard([frame.subarray(0, at), frame.subarray(at)]);
      expect(passed.problems).toEqual([]);
      expect(passed.bytes.equals(frame)).toBe(true);
    }
  });

  it("byte by byte", () => {
    expect(guard([...frame].map((byte) => Buffer.from([byte]))).bytes.equals(frame)).toBe(true);
  });

  it("many in one chunk, in their order", () => {
    const many = Array.from({ length: 500 }, (_, id) => frameOf(request(id)));
    expect(ids(guard([Buffer.concat(many)]))).toEqual(many.map((_, id) => id));
  });

  it("with a length in bytes, not in characters", () => {
    const body = JSON.stringify(text);
    expect(Buffer.byteLength(body)).toBeGreaterThan(body.length);
    const short = `Content-Length: ${body.length}\r\n\r\n${body}`;
    expect(codes(guard([short, frame]))).toEqual([-32700, -32700]);
  });

  it("behind other fields, in any case, with any blanks", () => {
    const body = JSON.stringify(request(7));
    const type = "Content-Type: application/vscode-jsonrpc; charset=utf-8";
    const passed = guard([`${type}\r\ncontent-LENGTH:   ${body.length} \r\n\r\n${body}`]);
    expect(passed.bytes.equals(frameOf(request(7)))).toBe(true);
  });

  it("in any chunking", () => {
    const messages = fc.array(fc.record({ id: fc.integer(), method: fc.string({ unit: "grapheme" }) }), {
      maxLength: 8,
    });
    fc.assert(
      fc.property(messages, fc.array(fc.nat(2_000), { maxLength: 40 }), (sent, cuts) => {
        const bytes = Buffer.concat(sent.map((message) => frameOf({ jsonrpc: "2.0", ...message })));
        const points = [0, ...cuts.filter((cut) => cut < bytes.length).sort((a, b) => a - b), bytes.length];
        const passed = guard(points.slice(1).map((end, index) => bytes.subarray(points[index], end)));
        expect(passed.problems).toEqual([]);
        expect(passed.bytes.equals(bytes)).toBe(true);
      }),
    );
  });
});

describe("a lost framing ends the stream", () => {
  const rows: readonly { readonly what: string; readonly header: string }[] = [
    { what: "a length with a tail", header: "Content-Length: 12abc" },
    { what: "a negative length", header: "Content-Length: -1" },
    { what: "a signed length", header: "Content-Length: +12" },
    { what: "a fraction", header: "Content-Length: 12.0" },
    { what: "an empty length", header: "Content-Length: " },
    { what: "no length", header: "Content-Type: application/json" },
    { what: "an empty header", header: "" },
    { what: "two lengths", header: "Content-Length: 12\r\nContent-Length: 12" },
    { what: "two lengths that differ", header: "Content-Length: 12\r\ncontent-length: 5000" },
    { what: "a line that is no field", header: "hello\r\nContent-Length: 12" },
    { what: "a bare line feed", header: "X: y\nContent-Length: 12" },
    { what: "a long header", header: `X: ${"x".repeat(8 * 1024)}\r\nContent-Length: 12` },
    { what: "a length beyond the cap", header: `Content-Length: ${256 * 2 ** 20 + 1}` },
    { what: "a length beyond all numbers", header: "Content-Length: 99999999999999999999" },
  ];
  it.each(rows)("$what", ({ header }) => {
    const passed = guard([frameOf(request(1)), `${header}\r\n\r\n`, frameOf(request(2))]);
    expect(ids(passed)).toEqual([1]);
    expect(passed.problems).toMatchObject([{ code: -32700, fatal: true }]);
  });

  it("by a header without an end, at 8 KiB and not before", () => {
    expect(guard(["x".repeat(8 * 1024)]).problems).toEqual([]);
    expect(guard(["x".repeat(8 * 1024), "x"]).problems).toMatchObject([{ code: -32700, fatal: true }]);
  });

  it("as soon as the header tells, without waiting for the body or keeping it", () => {
    const problems: WireProblem[] = [];
    const stream = new FrameGuard((problem) => problems.push(problem));
    stream.write("Content-Length: 999999999\r\n\r\n");
    expect(problems).toHaveLength(1);
    for (let index = 0; index < 64; index += 1) stream.write(Buffer.alloc(2 ** 20));
    expect(stream.readableLength + stream.writableLength).toBe(0);
    expect(problems).toHaveLength(1);
  });
});

describe("a frame that is no message is reported alone", () => {
  const rows: readonly { readonly what: string; readonly body: string; readonly code: number }[] = [
    { what: "no JSON", body: "{nonsense", code: -32700 },
    { what: "nothing", body: "", code: -32700 },
    { what: "a batch", body: JSON.stringify([request(1), request(2)]), code: -32600 },
    { what: "an empty batch", body: "[]", code: -32600 },
    { what: "a scalar", body: "1", code: -32600 },
    { what: "null", body: "null", code: -32600 },
    { what: "no version", body: '{"id":1,"method":"shutdown"}', code: -32600 },
    { what: "another version", body: '{"jsonrpc":"1.0","id":1,"method":"shutdown"}', code: -32600 },
    { what: "neither method nor result", body: '{"jsonrpc":"2.0","id":1}', code: -32600 },
    { what: "a method that is no text", body: '{"jsonrpc":"2.0","id":1,"method":5}', code: -32600 },
    { what: "an id that is no id", body: '{"jsonrpc":"2.0","id":{},"method":"shutdown"}', code: -32600 },
    { what: "an id of null", body: '{"jsonrpc":"2.0","id":null,"method":"shutdown"}', code: -32600 },
  ];
  it.each(rows)("$what", ({ body, code }) => {
    const passed = guard([Buffer.concat([frameOf(body), frameOf(request(2))])]);
    expect(ids(passed)).toEqual([2]);
    expect(passed.problems).toMatchObject([{ code, fatal: false }]);
  });
});

it("no bytes whatever make it throw or pass what is no message", () => {
  const piece = fc.oneof(
    fc.constantFrom("Content-Length: ", "\r\n\r\n", "\r\n", "12", "-1", "[]", '{"jsonrpc":"2.0"}'),
    fc.nat(300).map((id) => frameOf(request(id)).toString()),
    fc.string(),
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 20 }), (pieces) => {
      const { frames, remainder } = readFrames(guard(pieces).bytes);
      expect(remainder.length).toBe(0);
      for (const frame of frames) expect(frame.jsonrpc).toBe("2.0");
    }),
  );
});
