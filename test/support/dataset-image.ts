import { createHash } from "node:crypto";
import { lstatSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parquetRead } from "hyparquet";
import { compressors } from "hyparquet-compressors";

export interface FileImage {
  readonly inode: string;
  readonly mtimeNs: string;
  readonly sha256: string;
}

/** Every file below a folder by its path, folders (which end with `/`) without content. */
export type FolderImage = ReadonlyMap<string, FileImage>;

export function imageOf(folder: string): FolderImage {
  const image = new Map<string, FileImage>();
  const visit = (below: string): void => {
    for (const name of readdirSync(join(folder, below)).sort()) {
      const path = join(below, name);
      const entry = lstatSync(join(folder, path), { bigint: true });
      const isFolder = entry.isDirectory();
      const bytes = isFolder ? "" : readFileSync(join(folder, path));
      const sha256 = createHash("sha256").update(bytes).digest("hex");
      image.set(isFolder ? `${path}/` : path, {
        inode: String(entry.ino),
        mtimeNs: isFolder ? "" : String(entry.mtimeNs),
        sha256,
      });
      if (isFolder) visit(path);
    }
  };
  visit("");
  return image;
}

/** Rows as text, each with how often it stands in the files. */
export type Rows = ReadonlyMap<string, number>;

/** By content: the same bytes are decoded once, while so many files are known. */
const decoded = new Map<string, readonly string[]>();
const MOST_DECODED = 1_000;

/** The rows of the Parquet files of an image, or of those named, read by hyparquet. */
export async function rowsOf(
  folder: string,
  image: FolderImage,
  paths: Iterable<string> = image.keys(),
): Promise<Rows> {
  const rows = new Map<string, number>();
  for (const path of paths) {
    const file = image.get(path);
    if (file === undefined || !path.endsWith(".parquet")) continue;
    const found = decoded.get(file.sha256) ?? (await decode(readFileSync(join(folder, path))));
    if (decoded.size > MOST_DECODED) decoded.clear();
    decoded.set(file.sha256, found);
    for (const row of found) rows.set(row, (rows.get(row) ?? 0) + 1);
  }
  return rows;
}

async function decode(bytes: Buffer): Promise<readonly string[]> {
  const rows: string[] = [];
  const file = new Uint8Array(bytes).buffer;
  await parquetRead({
    file,
    compressors,
    onComplete(found) {
      for (const row of found as unknown[][]) rows.push(row.map(cellText).join("|"));
    },
  });
  return rows;
}

function cellText(value: unknown): string {
  return value instanceof Date ? String(value.getTime()) : String(value);
}

/** Rows of `wanted` that `found` has less often. */
export function missingRows(wanted: Rows, found: Rows): readonly string[] {
  return [...wanted].flatMap(([row, count]) => ((found.get(row) ?? 0) < count ? [row] : []));
}

export function sameRows(one: Rows, other: Rows): boolean {
  return (
    one.size === other.size && missingRows(one, other).length === 0 && missingRows(other, one).length === 0
  );
}
