import { createHash } from "node:crypto";
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { parentPort } from "node:worker_threads";
import { decodeRows, readFooter, rowsEqual } from "./footer.ts";
import type { CheckedFooter, CheckReply, CheckRequest } from "./validate.ts";

/** Decodes footers and rows with an independent parser, off the daemon's event loop. */
async function answer(request: CheckRequest): Promise<CheckReply> {
  switch (request.kind) {
    case "footers":
      return { kind: "footers", footers: request.paths.map(checkFooter) };
    case "compare": {
      const { source, output, outputRow, rows } = request;
      const wanted = await decodeRows(source, 0, rows);
      const found = await decodeRows(output, outputRow, outputRow + rows);
      return { kind: "compare", equal: wanted.length === rows && rowsEqual(wanted, found) };
    }
  }
}

function checkFooter(path: string): CheckedFooter {
  const footer = readFooter(path);
  if (footer.kind !== "footer") return { kind: "unreadable", detail: footer.detail };
  return { kind: "footer", facts: footer.facts, hash: hashFooter(path) };
}

/** SHA-256 of the footer bytes, length and magic included. */
function hashFooter(path: string): string {
  const file = openSync(path, "r");
  try {
    const { size } = fstatSync(file);
    const tail = Buffer.alloc(8);
    readSync(file, tail, 0, 8, size - 8);
    const length = Math.min(size, tail.readUInt32LE(0) + 8);
    const footer = Buffer.alloc(length);
    readSync(file, footer, 0, length, size - length);
    return createHash("sha256").update(footer).digest("hex");
  } finally {
    closeSync(file);
  }
}

parentPort?.on("message", ({ id, request }: { id: number; request: CheckRequest }) => {
  answer(request).then(
    (reply) => parentPort?.postMessage({ id, reply }),
    (error: unknown) => parentPort?.postMessage({ id, error: String(error) }),
  );
});
