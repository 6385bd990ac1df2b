import type { ColumnSchema, FileKeyValue, ReaderAids } from "@tamp/core";
import type { FooterFacts, Stamp } from "./footer.ts";
import type { ForeignHit, ScannedDirectory, ScanRequest } from "./scan.ts";

/** Files of one class have the same columns and comparable key-value metadata. */
export interface SchemaClass {
  /** 16 hex digits of a SHA-256 over columns and key-value metadata. */
  readonly id: string;
  readonly columns: readonly ColumnSchema[];
  /** As in one of its files: what a rewrite recomputes may differ between them. */
  readonly keyValues: readonly FileKeyValue[];
  /** What any file seen of the class has. */
  readonly aids: ReaderAids;
}

/** The same class seen twice: `known` where nothing was learned. */
export function joinClasses(known: SchemaClass | undefined, seen: SchemaClass): SchemaClass {
  if (known === undefined) return seen;
  const aids = {
    pageIndex: known.aids.pageIndex || seen.aids.pageIndex,
    bloomFilter: known.aids.bloomFilter || seen.aids.bloomFilter,
    sortingColumns: known.aids.sortingColumns || seen.aids.sortingColumns,
  };
  return { ...known, aids };
}

/** A footer's facts with its schema named instead of spelled out. */
export type ClassedFacts = Omit<FooterFacts, "columns" | "keyValues"> & { readonly schemaClass: string };

/** `stamp` is the stat of the very file that was read; null where reading it ended the worker. */
export type FooterReply =
  | { readonly kind: "gone" }
  | { readonly kind: "changed"; readonly stamp: Stamp }
  | { readonly kind: "footer"; readonly stamp: Stamp; readonly facts: ClassedFacts }
  | { readonly kind: "quarantined" | "unsupported"; readonly stamp: Stamp | null; readonly detail: string };

export interface Footers {
  /** One a path, in the order of the paths. */
  readonly replies: readonly FooterReply[];
  /** Every class that a reply names, once a batch. */
  readonly classes: readonly SchemaClass[];
}

export type WorkerRequest =
  | { readonly kind: "scan"; readonly scan: ScanRequest }
  | { readonly kind: "read"; readonly paths: readonly string[] };

export type WorkerMessage =
  | { readonly id: number; readonly kind: "part"; readonly part: readonly ScannedDirectory[] }
  | { readonly id: number; readonly kind: "scanned"; readonly ancestors: readonly ForeignHit[] }
  | ({ readonly id: number; readonly kind: "footers" } & Footers);
