import { type DataFile, type FileGroup, fileFacts, type Policy } from "@tamp/core";
import { invalid, type ParamReader } from "./check.ts";
import type { Page, RunGroup, WireFile, WireGroup, WireRecovered } from "./protocol.ts";
import type { RecoveredGroup } from "./recover.ts";
import type { GroupReport } from "./run.ts";

/** Domain values as the wire shows them: every field written out, so that the domain may change on its own. */
export function presentGroup(group: FileGroup): WireGroup {
  return {
    partition: group.partition,
    schemaClass: group.schemaClass,
    inputs: group.inputs.map(({ path, sizeBytes, rows, mtimeNs, inode }) => ({
      path,
      sizeBytes,
      rows,
      mtimeNs,
      inode,
    })),
    outputRows: group.outputRows,
    codec: group.codec,
    reasons: group.reasons,
    inputBytes: group.inputBytes,
    estimatedOutputBytes: group.estimatedOutputBytes,
    rowGroupsBefore: group.rowGroupsBefore,
    rowGroupsAfter: group.rowGroupsAfter,
  };
}

export function presentFile(file: DataFile, { settleMs }: Policy, nowMs: number): WireFile {
  const { path, sizeBytes, mtimeNs, inode, changedMs } = fileFacts(file);
  const unsettled = settleMs > 0 && nowMs - changedMs < settleMs;
  const base = { path, sizeBytes, mtimeNs, inode };
  if (file.kind === "unreadable") {
    const { reason, detail } = file.file;
    return { ...base, ...NO_FOOTER, state: unsettled ? "unsettled" : reason, detail };
  }
  const { stats } = file;
  return {
    ...base,
    state: unsettled ? "unsettled" : "settled",
    detail: "",
    rows: stats.rows,
    rowGroupCount: stats.rowGroupCount,
    rowsPerGroup: stats.rowGroupCount === 0 ? 0 : Math.round(stats.rows / stats.rowGroupCount),
    compressedBytes: stats.compressedBytes,
    uncompressedBytes: stats.uncompressedBytes,
    codecs: stats.codecs,
    createdBy: stats.createdBy,
    schemaClass: stats.schemaClass,
  };
}

const NO_FOOTER = {
  rows: 0,
  rowGroupCount: 0,
  rowsPerGroup: 0,
  compressedBytes: 0,
  uncompressedBytes: 0,
  codecs: [],
  createdBy: "",
  schemaClass: "",
} as const;

export function presentRunGroup(group: GroupReport): RunGroup {
  const { partition, kind, reason, inputs, inputBytes, outputs } = group;
  return { partition, kind, inputs, inputBytes, outputs, ...(reason === null ? {} : { reason }) };
}

export function presentRecovered(recovered: RecoveredGroup): WireRecovered {
  const { runId, group, action, detail, duplicateWindowMs } = recovered;
  return { runId, group, action, detail, duplicateWindowMs };
}

const MOST_ITEMS = 10_000;

/** One page of a long list. */
export function pageOf<T, R>(
  items: { readonly length: number; slice(start: number, end: number): readonly T[] },
  params: ParamReader,
  present: (item: T) => R,
): Page<R> {
  const offset = params.optionalNumber("offset") ?? 0;
  const limit = params.optionalNumber("limit") ?? 1_000;
  if (limit < 1 || limit > MOST_ITEMS) throw invalid(`limit must be between 1 and ${MOST_ITEMS}`);
  const next = offset + limit;
  return {
    total: items.length,
    items: items.slice(offset, next).map(present),
    nextOffset: next < items.length ? next : null,
  };
}
