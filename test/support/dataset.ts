import { mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { parquetWriteBuffer } from "hyparquet-writer";

/** A Parquet file of typed columns, or a file of exactly these bytes. */
export type FileSpec =
  | {
      readonly rows: number;
      /** First value of the column `id`. */
      readonly from?: number;
      readonly rowGroupSize?: number;
      /** Names of further INT32 columns: another schema. */
      readonly extra?: readonly string[];
      readonly keyValues?: readonly { readonly key: string; readonly value: string }[];
    }
  | Uint8Array;

/** `writeDataset(root, { "month=1/a.parquet": { rows: 100 } })`; answers the root. */
export function writeDataset(root: string, files: Readonly<Record<string, FileSpec>>): string {
  for (const [path, spec] of Object.entries(files)) {
    const absolute = join(root, path);
    mkdirSync(dirname(absolute), { recursive: true });
    writeFileSync(absolute, spec instanceof Uint8Array ? spec : parquetBytes(spec));
  }
  return root;
}

export function makeRoot(): string {
  return mkdtempSync(join(tmpdir(), "tamp-dataset-"));
}

/** Columns `id` INT64, `name` STRING, `score` DOUBLE with nulls, `at` TIMESTAMP. */
export function parquetBytes(spec: Exclude<FileSpec, Uint8Array>): Uint8Array {
  const { rows, from = 0, rowGroupSize = 100_000, extra = [], keyValues = [] } = spec;
  const ids = Array.from({ length: rows }, (_, index) => from + index);
  return new Uint8Array(
    parquetWriteBuffer({
      columnData: [
        { name: "id", type: "INT64", data: ids.map(BigInt) },
        { name: "name", type: "STRING", data: ids.map((id) => `name ${id}`) },
        {
          name: "score",
          type: "DOUBLE",
          data: ids.map((id) => (id % 3 === 0 ? null : id / 2)),
          nullable: true,
        },
        { name: "at", type: "TIMESTAMP", data: ids.map((id) => new Date(id * 1000)) },
        ...extra.map((name) => ({ name, type: "INT32" as const, data: ids })),
      ],
      rowGroupSize,
      kvMetadata: keyValues.map(({ key, value }) => ({ key, value })),
    }),
  );
}
