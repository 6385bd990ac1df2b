import { readdirSync } from "node:fs";
import { join } from "node:path";
import { asyncBufferFromFile, parquetRead } from "hyparquet";
import { compressors } from "hyparquet-compressors";

export interface Digest {
  readonly rows: number;
  /** Sum over all rows of a 64-bit hash of the row, in hex: the same rows in any order give the same sum. */
  readonly sum: string;
}

/** Decodes every row of the files with hyparquet, a reader that shares no code with the engine. */
export async function digestFiles(paths: readonly string[]): Promise<Digest> {
  let rows = 0;
  let low = 0;
  let high = 0;
  for (const path of paths) {
    const file = await asyncBufferFromFile(path);
    await parquetRead({
      file,
      compressors,
      onComplete(found) {
        rows += found.length;
        for (const row of found) {
          const text = (row as unknown[]).map(cellText).join("|");
          low = (low + hash(text, 0x811c9dc5)) >>> 0;
          high = (high + hash(text, 0x01000193)) >>> 0;
        }
      },
    });
  }
  return { rows, sum: `${high.toString(16).padStart(8, "0")}${low.toString(16).padStart(8, "0")}` };
}

function cellText(value: unknown): string {
  return value instanceof Date ? String(value.getTime()) : String(value);
}

/** FNV-1a (Fowler, Noll, Vo) over UTF-16 units, 32 bits, from the given basis. */
function hash(text: string, basis: number): number {
  let value = basis;
  for (let index = 0; index < text.length; index += 1) {
    value = Math.imul(value ^ text.charCodeAt(index), 0x01000193);
  }
  return value >>> 0;
}

export function dataFiles(root: string): readonly string[] {
  const names = readdirSync(root, { recursive: true, encoding: "utf8" });
  return names
    .filter((name) => name.endsWith(".parquet"))
    .sort()
    .map((name) => join(root, name));
}
