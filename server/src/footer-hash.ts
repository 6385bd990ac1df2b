import { createHash } from "node:crypto";
import type { PublicationFs } from "./fs.ts";

const MOST_BYTES = 64 * 2 ** 20;
const TAIL_BYTES = 8;

/**
 * SHA-256, hex, of a Parquet file's footer with its length and magic: the part of a file's identity that no change of
 * device or clock touches. `""` where the tail claims a footer that no file of ours has. Rejects with the file
 * system's error.
 */
export async function hashFooter(fs: PublicationFs, path: string): Promise<string> {
  const tail = await fs.readTail(path, TAIL_BYTES);
  if (tail.length < TAIL_BYTES) return sha256(tail);
  const length = new DataView(tail.buffer, tail.byteOffset).getUint32(0, true) + TAIL_BYTES;
  return length > MOST_BYTES + TAIL_BYTES ? "" : sha256(await fs.readTail(path, length));
}

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}
