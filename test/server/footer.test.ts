import {
  closeSync,
  existsSync,
  ftruncateSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { parquetMetadata } from "hyparquet";
import { afterAll, describe, expect, it } from "vitest";
import {
  decodeRows,
  type FooterFacts,
  type FooterResult,
  readFooter,
  rowsEqual,
} from "../../server/src/footer.ts";
import { makeRoot, parquetBytes, writeDataset } from "../support/dataset.ts";

const root = makeRoot();
afterAll(() => rmSync(root, { recursive: true }));

const SOUND = parquetBytes({ rows: 100 });

function footerOf(bytes: Uint8Array): FooterResult {
  const path = join(root, "case.parquet");
  writeFileSync(path, bytes);
  return readFooter(path);
}

/** The sound file with its footer length replaced. */
function withFooterLength(length: number): Uint8Array {
  const bytes = SOUND.slice();
  new DataView(bytes.buffer).setUint32(bytes.length - 8, length, true);
  return bytes;
}

/** A file whose footer is these bytes. */
function withFooter(footer: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(4 + footer.length + 8);
  bytes.set([80, 65, 82, 49]);
  bytes.set(footer, 4);
  new DataView(bytes.buffer).setUint32(4 + footer.length, footer.length, true);
  bytes.set([80, 65, 82, 49], bytes.length - 4);
  return bytes;
}

function withMagic(head: string, tail: string): Uint8Array {
  const bytes = SOUND.slice();
  bytes.set(Buffer.from(head), 0);
  bytes.set(Buffer.from(tail), bytes.length - 4);
  return bytes;
}

describe("a footer that cannot be trusted", () => {
  const cases: readonly (readonly [string, Uint8Array, "quarantined" | "unsupported", RegExp])[] = [
    ["empty", new Uint8Array(0), "quarantined", /empty/],
    ...[4, 5, 8, 11].map(
      (length) => [`${length} bytes`, new Uint8Array(length), "quarantined", /too few/] as const,
    ),
    ["only PAR1", Buffer.from("PAR1"), "quarantined", /too few/],
    ["twice PAR1", Buffer.from("PAR1PAR1"), "quarantined", /too few/],
    ["three times PAR1", Buffer.from("PAR1PAR1PAR1"), "quarantined", /exceeds the file/],
    ["no magic at the end", SOUND.slice(0, -1), "quarantined", /unfinished/],
    ["no magic at the head", withMagic("XXXX", "PAR1"), "quarantined", /begin/],
    ["encrypted footer", withMagic("PARE", "PARE"), "unsupported", /^encrypted$/],
    ["footer length 0", withFooterLength(0), "quarantined", /empty/],
    ["footer beyond the file", withFooterLength(SOUND.length), "quarantined", /exceeds the file/],
    ["footer of 2^31-1", withFooterLength(2 ** 31 - 1), "quarantined", /exceeds the file/],
    ["footer of 2^32-1", withFooterLength(2 ** 32 - 1), "quarantined", /exceeds the file/],
    ["footer shorter than it is", withFooterLength(20), "quarantined", /damaged/],
    ["footer of zeros", withFooter(new Array<number>(64).fill(0)), "quarantined", /damaged/],
    ["footer of ones", withFooter(new Array<number>(64).fill(255)), "quarantined", /damaged/],
    [
      "a list of 2^31 elements",
      withFooter([0x19, 0xfc, 0xff, 0xff, 0xff, 0xff, 0x07]),
      "quarantined",
      /damaged/,
    ],
    ["a number without end", withFooter(new Array<number>(2 ** 20).fill(255)), "quarantined", /damaged/],
    ["structures in structures", withFooter(new Array<number>(100_000).fill(0x1c)), "quarantined", /damaged/],
  ];
  it.each(cases)("%s", (_name, bytes, kind, detail) => {
    const result = footerOf(bytes);
    expect(result.kind).toBe(kind);
    expect("detail" in result ? result.detail : "").toMatch(detail);
  });

  it("truncated anywhere", () => {
    for (let length = 0; length < SOUND.length; length += 7) {
      expect(footerOf(SOUND.slice(0, length)).kind).toBe("quarantined");
    }
  });

  it("cut data under a whole footer", () => {
    const cut = Buffer.concat([SOUND.slice(0, 4), SOUND.slice(200)]);
    expect(footerOf(cut)).toMatchObject({
      kind: "quarantined",
      detail: expect.stringMatching(/beyond the data/),
    });
  });

  it("a sparse TiB, ending in a magic or not", () => {
    const path = join(root, "sparse.parquet");
    const fd = openSync(path, "w");
    writeSync(fd, "PAR1");
    ftruncateSync(fd, 2 ** 40);
    expect(readFooter(path).kind).toBe("quarantined");
    const tail = Buffer.alloc(8);
    tail.writeUInt32LE(2 ** 31 - 1);
    tail.write("PAR1", 4);
    writeSync(fd, tail, 0, 8, 2 ** 40 - 8);
    closeSync(fd);
    expect(readFooter(path)).toMatchObject({ kind: "quarantined", detail: expect.stringMatching(/64 MiB/) });
  });

  it("names that are no regular file", () => {
    symlinkSync(join(root, "case.parquet"), join(root, "link.parquet"));
    for (const name of ["link.parquet", "missing.parquet", "."]) {
      expect(readFooter(join(root, name)).kind).toBe("quarantined");
    }
  });

  it("never throws, whatever bytes are changed", () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ at: fc.nat(SOUND.length - 1), byte: fc.nat(255) }), {
          minLength: 1,
          maxLength: 8,
        }),
        (changes) => {
          const bytes = SOUND.slice();
          for (const { at, byte } of changes) bytes[at] = byte;
          expect(["footer", "quarantined", "unsupported"]).toContain(footerOf(bytes).kind);
        },
      ),
    );
  });
});

describe("a sound footer", () => {
  it("gives facts", () => {
    const keyValues = [{ key: "owner", value: "us" }];
    const result = footerOf(parquetBytes({ rows: 250, rowGroupSize: 100, keyValues }));
    expect(result).toMatchObject({
      kind: "footer",
      facts: {
        rows: 250,
        rowGroupCount: 3,
        largestRowGroupRows: 100,
        codecs: ["snappy"],
        keyValues,
        aids: { bloomFilter: false, sortingColumns: false },
      },
    });
    if (result.kind !== "footer") return;
    expect(result.facts.columns.map(({ path }) => path)).toEqual(["id", "name", "score", "at"]);
    expect(result.facts.compressedBytes).toBeGreaterThan(0);
  });

  it.each([0, 1])("of %i rows", (rows) => {
    expect(footerOf(parquetBytes({ rows }))).toMatchObject({ kind: "footer", facts: { rows } });
  });

  it("longer than the first read", () => {
    const extra = Array.from({ length: 2000 }, (_, index) => `column_${index}`);
    expect(footerOf(parquetBytes({ rows: 3, extra }))).toMatchObject({ kind: "footer", facts: { rows: 3 } });
  });

  it("with too much key-value metadata is unsupported", () => {
    const keyValues = [{ key: "blob", value: "x".repeat(17 * 2 ** 20) }];
    expect(footerOf(parquetBytes({ rows: 1, keyValues }))).toMatchObject({ kind: "unsupported" });
  });
});

describe("decoded rows", () => {
  it("compare equal in any row groups, and differ where a value differs", async () => {
    writeDataset(root, {
      "one.parquet": { rows: 300 },
      "many.parquet": { rows: 300, rowGroupSize: 70 },
      "late.parquet": { rows: 100, from: 150 },
    });
    const read = (name: string, from: number, to: number) => decodeRows(join(root, name), from, to);
    expect(await read("one.parquet", 0, 300)).toHaveLength(300);
    expect(rowsEqual(await read("one.parquet", 0, 300), await read("many.parquet", 0, 300))).toBe(true);
    expect(rowsEqual(await read("one.parquet", 150, 250), await read("late.parquet", 0, 100))).toBe(true);
    expect(rowsEqual(await read("one.parquet", 149, 249), await read("late.parquet", 0, 100))).toBe(false);
  });

  it.each<readonly [unknown, unknown, boolean]>([
    [Number.NaN, Number.NaN, true],
    [0, -0, false],
    [5n, 5, true],
    [5n, 5.5, false],
    [null, undefined, true],
    [null, 0, false],
    [new Uint8Array([1, 2]), new Uint8Array([1, 2]), true],
    [new Uint8Array([1, 2]), new Uint8Array([1, 3]), false],
    [new Date(7), new Date(7), true],
    [new Date(7), new Date(8), false],
    [[1, [2n]], [1, [2]], true],
    [[1], [1, null], false],
    [{ a: 1, b: null }, { a: 1, b: null }, true],
    [{ a: 1 }, { b: 1 }, false],
    ["5", 5, false],
  ])("%o and %o: %s", (a, b, equal) => {
    expect(rowsEqual(a, b)).toBe(equal);
    expect(rowsEqual(b, a)).toBe(equal);
  });
});

const corpus = [process.env.TAMP_CORPUS, join(import.meta.dirname, "../../../shared/corpus")].find(
  (path) => path !== undefined && existsSync(path),
);
const filesOf = (folder: string): readonly string[] =>
  corpus === undefined ? [] : readdirSync(join(corpus, folder)).filter((name) => name.endsWith(".parquet"));

function summaryOf(facts: FooterFacts): unknown {
  const { rows, rowGroupCount, compressedBytes, uncompressedBytes, createdBy, keyValues, aids } = facts;
  return { rows, rowGroupCount, compressedBytes, uncompressedBytes, createdBy, keyValues, aids };
}

/** The same from a general parser's reading of the whole footer. */
function summaryByParser(path: string): unknown {
  const footer = parquetMetadata(new Uint8Array(readFileSync(path)), { geoparquet: false });
  const chunks = footer.row_groups.flatMap((group) => group.columns);
  const sum = (of: (chunk: (typeof chunks)[number]) => bigint | undefined): number =>
    chunks.reduce((total, chunk) => total + Number(of(chunk) ?? 0n), 0);
  const pageIndex = (chunk: (typeof chunks)[number]): boolean =>
    chunk.column_index_offset !== undefined || chunk.offset_index_offset !== undefined;
  return {
    rows: Number(footer.num_rows),
    rowGroupCount: footer.row_groups.length,
    compressedBytes: sum((chunk) => chunk.meta_data?.total_compressed_size),
    uncompressedBytes: sum((chunk) => chunk.meta_data?.total_uncompressed_size),
    createdBy: footer.created_by ?? "",
    keyValues: (footer.key_value_metadata ?? []).map(({ key, value }) => ({ key, value: value ?? "" })),
    aids: {
      pageIndex: chunks.some(pageIndex),
      bloomFilter: chunks.some((chunk) => chunk.meta_data?.bloom_filter_offset !== undefined),
      sortingColumns: footer.row_groups.some((group) => (group.sorting_columns ?? []).length > 0),
    },
  };
}

/** Its footer says 0 rows, its row group 6: readers disagree, so it is none that may be rewritten. */
const CONTRADICTORY = "repeated_no_annotation.parquet";

describe.skipIf(corpus === undefined)("corpus", () => {
  it.each(filesOf("valid"))("valid/%s", (name) => {
    const path = join(corpus ?? "", "valid", name);
    const result = readFooter(path);
    if (name === CONTRADICTORY) {
      expect(result.kind).toBe("quarantined");
      return;
    }
    expect(result).toMatchObject({ kind: "footer" });
    const expected = path.replace(/\.parquet$/, ".metadata.json");
    if (result.kind !== "footer") return;
    expect(summaryOf(result.facts)).toEqual(summaryByParser(path));
    if (!existsSync(expected)) return;
    const { num_rows } = JSON.parse(readFileSync(expected, "utf8")) as { readonly num_rows: number | string };
    expect(result.facts.rows).toBe(Number(num_rows));
  });

  it.each(filesOf("broken"))("broken/%s", async (name) => {
    const path = join(corpus ?? "", "broken", name);
    const result = readFooter(path);
    if (result.kind !== "footer") expect(result.detail).not.toBe("");
    else
      await decodeRows(path, 0, result.facts.rows).catch((error: unknown) =>
        expect(error).toBeInstanceOf(Error),
      );
  });
});
