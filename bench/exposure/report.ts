import type { CellResult } from "./cells.ts";
import type { Spread } from "./figures.ts";
import type { ListingResult } from "./listing.ts";
import { labelOf } from "./readers.ts";
import type { Counts } from "./verdict.ts";
import type { WindowResult } from "./windows.ts";

/** One line of the bench's output. */
export type Line =
  /** What ran where and when. */
  | { readonly figure: "facts"; readonly facts: readonly string[] }
  | ({ readonly figure: "reads" } & CellResult)
  | ({ readonly figure: "listing" } & ListingResult)
  | ({ readonly figure: "window" } & WindowResult)
  | { readonly figure: "skipped"; readonly reader: string };

/** `compared` are the two values of overlapMs that the first table sets against each other. */
export function markdownReport(lines: readonly Line[], compared: readonly number[]): string {
  const cells = lines.filter((line) => line.figure === "reads");
  const listings = lines.filter((line) => line.figure === "listing");
  const windows = lines.filter((line) => line.figure === "window");
  const facts = lines.flatMap((line) => (line.figure === "facts" ? line.facts : []));
  const sizes = [...new Set(cells.map(({ files }) => files))];
  const [smallest] = sizes;
  const main = cells.filter((cell) => cell.files === smallest && compared.includes(cell.overlapMs));
  const parts = [
    "# What readers see while files are swapped",
    "Written by the bench; see `bench/exposure.ts` for how each figure comes about.",
    [...new Set(facts)].map((fact) => `- ${fact}`).join("\n"),
    "## Reads that overlapped a swap",
    `Directories of ${smallest} files. *Swaps*: publications + undos that a read overlapped in time; a read may overlap several, and reads that overlapped none were all exact. *Duplicate*: no row absent, some there twice. *Loud*: the reader failed. *Silently missing*: rows absent, no error. A longer overlapMs is measured over more directories, each of them read less often: compare shares, not counts.`,
    shortTable(main),
    ...sizes.flatMap((files) => [
      `## Curve: directories of ${files} files`,
      "A read that overlapped a publication and an undo counts in both rows. Readers that list alone open nothing: the names tell which rows they would have read.",
      longTable(files, cells),
    ]),
    "## Listing",
    "Milliseconds, directory at rest, names and inodes cached. *Opening*: from the end of the listing to the last file opened, where the reader lets it be seen. Polars' listing includes the first footer.",
    listingTable(listings),
    "## How long both sides stand",
    "Milliseconds, one directory after the other, no reader about. *Seen* is from the first new name to the last old name that left.",
    windowTable(windows),
  ];
  return `${parts.join("\n\n")}\n`;
}

/** One row a reader and value of overlapMs, publications and undos together. */
export function shortTable(cells: readonly CellResult[]): string {
  return table(
    ["reader", "overlapMs", "swaps", "reads", "exact", "duplicate", "loud", "silently missing"],
    cells.map(({ reader, version, overlapMs, tally: { publish, undo, all } }) => [
      `${labelOf(reader)} ${version}`,
      overlapMs,
      `${publish.swaps} + ${undo.swaps}`,
      all.reads,
      ...verdicts(all),
    ]),
  );
}

function longTable(files: number, cells: readonly CellResult[]): string {
  const rows = cells
    .filter((cell) => cell.files === files)
    .flatMap(({ reader, overlapMs, tally, readMs }) =>
      (["publish", "undo"] as const).map((kind) => {
        const counts = tally[kind];
        const { swaps, swapsLoud, swapsMissing, reads } = counts;
        const middle = [swaps, swapsLoud, swapsMissing, reads, ...verdicts(counts)];
        return [labelOf(reader), overlapMs, kind, ...middle, spreadText(readMs)];
      }),
    );
  const swaps = ["swaps", "with a loud read", "with a silently missing read"];
  const reads = ["reads", "exact", "duplicate", "loud", "silently missing"];
  return table(["reader", "overlapMs", "swap", ...swaps, ...reads, "read ms: median, p99, max"], rows);
}

function verdicts({ exact, duplicate, loud, missing }: Counts): readonly number[] {
  return [exact, duplicate, loud, missing];
}

function listingTable(listings: readonly ListingResult[]): string {
  return table(
    ["reader", "files", "listing: median, p99, max", "opening: median, max", "whole read: median, max"],
    listings.map(({ reader, files, listMs, openMs, readMs }) => [
      labelOf(reader),
      files,
      spreadText(listMs),
      openMs === null ? "not known" : `${openMs.median}, ${openMs.max}`,
      `${readMs.median}, ${readMs.max}`,
    ]),
  );
}

function windowTable(windows: readonly WindowResult[]): string {
  return table(
    ["overlapMs", "swap", "swaps", "duplicateWindowMs: median, p99, max", "seen: median, p99, max"],
    windows.map(({ overlapMs, kind, duplicateWindowMs, seenMs }) => [
      overlapMs,
      kind,
      duplicateWindowMs.count,
      spreadText(duplicateWindowMs),
      spreadText(seenMs),
    ]),
  );
}

function spreadText({ median, p99, max }: Spread): string {
  return `${median}, ${p99}, ${max}`;
}

function table(head: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const line = (cells: readonly (string | number)[]): string => `| ${cells.join(" | ")} |`;
  const first = rows[0] ?? [];
  const rule = head.map((_, index) => (typeof first[index] === "number" ? "---:" : "---"));
  return [line(head), line(rule), ...rows.map(line)].join("\n");
}
