import { createHash } from "node:crypto";
import { join } from "node:path";
import type { ColumnSchema } from "@tamp/core";
import type { Engine, RunningEngine, TaskInput } from "../../server/src/engine.ts";
import type { FooterFacts } from "../../server/src/footer.ts";
import { hashFooter } from "../../server/src/footer-hash.ts";
import type { CheckedFooter, Checker } from "../../server/src/validate.ts";
import { createFile, type Disk, memoryFs, readFile, writeFile } from "./memory-fs.ts";

/** A "Parquet file" is a text that lists its rows between the two magic words; all of it counts as its footer. */
export function fileText(rows: readonly string[]): string {
  const body = `PAR1 ${rows.join(" ")} `;
  // The footer's length is a little-endian number, and below 128 one character is one byte.
  return `${body}${String.fromCharCode(Math.min(body.length, 127), 0, 0, 0)}PAR1`;
}

const parsed = new Map<string, readonly string[] | null>();

/** The rows of a whole file; null where it is cut short or garbage. */
export function rowsOf(text: string): readonly string[] | null {
  const known = parsed.get(text);
  if (known !== undefined) return known;
  const whole = text.length > 14 && text.startsWith("PAR1 ") && text.endsWith("PAR1");
  const rows = whole ? text.slice(5, -9).split(" ") : null;
  if (parsed.size > 50_000) parsed.clear();
  parsed.set(text, rows);
  return rows;
}

/** Rewrites by concatenating and cutting. What it writes it does not fsync. */
export function memoryEngine(disk: Disk): Engine {
  const rowsIn = (folder: string, files: readonly TaskInput[]): readonly string[] =>
    files.flatMap(({ path }) => {
      const rows = rowsOf(readFile(disk, join(folder, path)));
      if (rows === null) throw new Error(`${path} is no file of rows`);
      return rows;
    });
  const running: RunningEngine = {
    async rewrite({ folder, inputs, outputs }) {
      const rows = rowsIn(folder, inputs);
      let start = 0;
      for (const output of outputs) {
        const path = join(folder, output.path);
        createFile(disk, path);
        const text = fileText(rows.slice(start, start + output.rows));
        writeFile(disk, path, text.slice(0, text.length >> 1));
        writeFile(disk, path, text);
        start += output.rows;
      }
    },
    async digest({ folder, files }) {
      const rows = rowsIn(folder, files);
      return { rows: rows.length, sum: sha256(rows.join(" ")) };
    },
    kill: () => {},
    dispose: async () => {},
  };
  return {
    name: "memory",
    version: "1",
    codecs: ["zstd"],
    predictChanges: () => [],
    describeLosses: () => [],
    start: async () => running,
  };
}

export function memoryChecker(disk: Disk): Checker {
  return {
    footers: (paths) => Promise.all(paths.map((path) => footerOf(disk, path))),
    async sameRows({ source, output, outputRow, rows }) {
      const of = (path: string) => rowsOf(readFile(disk, path)) ?? [];
      const stretch = of(output).slice(outputRow, outputRow + rows);
      return of(source).slice(0, rows).join(" ") === stretch.join(" ");
    },
    dispose: async () => {},
  };
}

async function footerOf(disk: Disk, path: string): Promise<CheckedFooter> {
  try {
    const text = readFile(disk, path);
    const rows = rowsOf(text);
    if (rows === null) return { kind: "unreadable", detail: "no magic words" };
    return {
      kind: "footer",
      facts: factsOf(rows.length, text.length),
      hash: await hashFooter(memoryFs(disk), path),
    };
  } catch (error) {
    return { kind: "unreadable", detail: String(error) };
  }
}

const COLUMN: ColumnSchema = {
  path: "id",
  physicalType: "BYTE_ARRAY",
  typeLength: 0,
  logicalType: "STRING",
  repetition: "r",
  groupTypes: "",
  fieldIds: "-",
};

function factsOf(rows: number, sizeBytes: number): FooterFacts {
  return {
    rows,
    rowGroupCount: 1,
    largestRowGroupRows: rows,
    compressedBytes: sizeBytes,
    uncompressedBytes: sizeBytes,
    codecs: ["zstd"],
    createdBy: "memory",
    columns: [COLUMN],
    keyValues: [],
    aids: { pageIndex: false, bloomFilter: false, sortingColumns: false },
  };
}

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
