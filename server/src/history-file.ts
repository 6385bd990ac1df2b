import * as fsp from "node:fs/promises";
import { dirname } from "node:path";
import { HISTORY_KEPT_MS, thin } from "@tamp/core";
import { errno } from "./fs.ts";
import { pointsOf, readHistoryLines, runsOf, writeHistoryLine } from "./history-lines.ts";

/** More lines, or bytes, are thinned. What thinning leaves is below: 1,700 points at most, and the runs. */
const MOST_LINES = 2_000;
const MOST_BYTES = 200_000;
const MOST_RUNS = 200;
/** A process that thins takes no longer: what it left behind is taken away. */
const ABANDONED_MS = 10 * 60_000;
/** Another process may put a new file in the place of the one that is written to, but not again and again. */
const MOST_TRIES = 5;

/** Whether one more line makes it worth thinning. */
export function isLong(text: string): boolean {
  return text.length >= MOST_BYTES || text.split("\n").length >= MOST_LINES;
}

/** Nothing where there is no file yet. */
export async function readHistory(file: string): Promise<string> {
  try {
    return await fsp.readFile(file, "utf8");
  } catch (error) {
    if (errno(error) === "ENOENT") return "";
    throw error;
  }
}

/** One write at the end of the file that has the name when it is done. A line that stands twice counts once. */
export async function appendHistory(file: string, text: string): Promise<void> {
  await fsp.mkdir(dirname(file), { recursive: true, mode: 0o700 });
  for (let tries = 1; tries <= MOST_TRIES; tries += 1) {
    const handle = await fsp.open(file, "a", 0o600);
    try {
      await handle.write(text);
      const [written, named] = await Promise.all([
        handle.stat({ bigint: true }),
        fsp.stat(file, { bigint: true }).catch(() => null),
      ]);
      if (named?.ino === written.ino) return;
    } finally {
      await handle.close();
    }
  }
}

/**
 * Puts a thinned file in the place of the old one. Who appends meanwhile either sees that, and appends again, or was
 * done before: then the rest of the old file, which is still open here, holds the line. The new file's name is the
 * lock.
 */
export async function thinHistory(file: string, nowMs: number): Promise<void> {
  const thinned = `${file}.thin`;
  const handle = await openNew(thinned, nowMs);
  if (handle === null) return;
  let isNew = true;
  try {
    const old = await fsp.open(file, "r");
    try {
      await handle.writeFile(thinText(await old.readFile("utf8"), nowMs));
      await handle.sync();
      await fsp.rename(thinned, file);
      isNew = false;
      const rest = await old.readFile("utf8");
      if (rest !== "") await appendHistory(file, rest);
    } finally {
      await old.close();
    }
  } finally {
    await handle.close();
    if (isNew) await fsp.rm(thinned, { force: true });
  }
}

/** Null where another process is at it. */
async function openNew(path: string, nowMs: number): Promise<fsp.FileHandle | null> {
  const found = await fsp.stat(path).catch(() => null);
  if (found !== null && Math.abs(nowMs - found.mtimeMs) > ABANDONED_MS) await fsp.rm(path, { force: true });
  return fsp.open(path, "wx", 0o600).catch((error: unknown) => {
    if (errno(error) === "EEXIST") return null;
    throw error;
  });
}

function thinText(text: string, nowMs: number): string {
  const lines = readHistoryLines(text);
  const runs = runsOf(lines)
    .filter(({ atMs }) => nowMs - atMs < HISTORY_KEPT_MS)
    .slice(-MOST_RUNS);
  // Of one moment the run comes first: the point counts what it wrote.
  const kept: readonly (readonly [number, string])[] = [
    ...runs.map((run) => [run.atMs, writeHistoryLine({ kind: "run", run })] as const),
    ...thin(pointsOf(lines), nowMs).map(
      (point) => [point.atMs, writeHistoryLine({ kind: "point", point })] as const,
    ),
  ];
  const texts = [...kept].sort(([a], [b]) => a - b).map(([, line]) => line);
  return newest(texts);
}

/** As much of the end as leaves room for some lines more. */
function newest(lines: readonly string[]): string {
  let first = Math.max(0, lines.length - MOST_LINES * 0.95);
  let sizeBytes = lines.slice(first).reduce((sum, line) => sum + line.length + 1, 0);
  while (sizeBytes > MOST_BYTES * 0.95) {
    sizeBytes -= (lines[first] ?? "").length + 1;
    first += 1;
  }
  return lines
    .slice(first)
    .map((line) => `${line}\n`)
    .join("");
}
