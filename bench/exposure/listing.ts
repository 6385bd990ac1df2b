import { type Spread, spreadOf } from "./figures.ts";
import { type ReaderInfo, startReader } from "./readers.ts";
import type { Scene } from "./swaps.ts";

export interface ListingResult {
  readonly reader: string;
  readonly files: number;
  readonly listMs: Spread;
  /** From the end of the listing to the last opening; null where the reader does not let it be seen. */
  readonly openMs: Spread | null;
  readonly readMs: Spread;
}

/** How long a reader lists a directory at rest, and how long it reads it: the first is what overlapMs must outlast. */
export async function measureListing(
  reader: ReaderInfo,
  [scene]: readonly Scene[],
  rounds: { readonly lists: number; readonly reads: number },
): Promise<ListingResult> {
  const times = { list: [] as number[], list_to_last_open: [] as number[], read: [] as number[] };
  if (scene === undefined) throw new Error("there is no directory to list");
  const { layout, workspace } = scene;
  const running = await startReader(reader, { dirs: [workspace.root], layout, timing: rounds }, (answer) => {
    if (answer.kind === "timing") times[answer.what].push(answer.us / 1000);
  });
  await running.ended;
  return {
    reader: reader.name,
    files: layout.sources + layout.bystanders,
    listMs: spreadOf(times.list),
    openMs: times.list_to_last_open.length === 0 ? null : spreadOf(times.list_to_last_open),
    readMs: spreadOf(times.read),
  };
}
