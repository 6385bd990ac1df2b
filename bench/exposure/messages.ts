import type { Layout } from "./layout.ts";
import type { Read } from "./verdict.ts";

/** What a reader's process is told, as JSON in its first argument. */
export interface Job {
  readonly reader: string;
  readonly dirs: readonly string[];
  readonly layout: Layout;
  /** Null: read directories at random until stdin ends. Otherwise time so many listings and reads of the first. */
  readonly timing: { readonly lists: number; readonly reads: number } | null;
}

/** What it answers, one JSON a line. */
export type Answer =
  /** After a first read, so that nothing is cold; `nowUs` shows that both processes have the same clock. */
  | { readonly kind: "ready"; readonly version: string; readonly nowUs: number }
  | ({ readonly kind: "read" } & Read)
  /** Microseconds of a listing, and from the end of a listing to the last file's opening; of the whole read. */
  | { readonly kind: "timing"; readonly what: "list" | "list_to_last_open" | "read"; readonly us: number };
