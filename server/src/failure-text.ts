import type { JournalRecord } from "@tamp/core";
import { errno } from "./fs.ts";

interface Advice {
  readonly cause: string;
  readonly hint: string;
}

/** What the file system's errors mean to a person, and what to do. */
const ADVICE: ReadonlyMap<string, Advice> = new Map([
  ["ENOSPC", { cause: "the disk is full", hint: "free space on the dataset's file system" }],
  ["EDQUOT", { cause: "the disk quota is used up", hint: "free space on the dataset's file system" }],
  [
    "EACCES",
    { cause: "permission denied", hint: "run as a user who may write the dataset and the folder beside it" },
  ],
  ["EPERM", { cause: "not permitted", hint: "run as the owner of the files, with their group" }],
  ["EROFS", { cause: "the file system is read-only", hint: "mount it writable" }],
  ["EMLINK", { cause: "too many hard links", hint: "use a file system that allows more links" }],
  ["ENOTSUP", { cause: "not supported by the file system", hint: "use a file system with hard links" }],
  [
    "EXDEV",
    {
      cause: "the files lie on different devices",
      hint: "give --workspace a folder on the dataset's device",
    },
  ],
  ["EIO", { cause: "the disk failed to read or write", hint: "check the disk" }],
  ["EMFILE", { cause: "too many open files", hint: "raise the limit of open files" }],
]);

/** The advice for an error of the file system; null for any other error. */
export function ioAdvice(error: unknown): Advice | null {
  const known = ADVICE.get(errno(error));
  if (known !== undefined || !(error instanceof Error)) return known ?? null;
  const [code = ""] = IN_WORDS.find(([, words]) => words.test(error.message)) ?? [];
  return ADVICE.get(code) ?? null;
}

/** Engines, and workers that could not be started, tell the system's error in words only. */
const IN_WORDS: readonly (readonly [code: string, words: RegExp])[] = [
  ["ENOSPC", /No space left on device/],
  ["EMFILE", /\bEMFILE\b|Too many open files/],
];

/** A group's failure in words that name the user's files, not our pins, and the cause before the system call. */
export function failureText(error: unknown, record: JournalRecord): string {
  const message = error instanceof Error ? error.message : String(error);
  const advice = ioAdvice(error);
  const text = advice === null ? message : `${advice.cause} (${message}); ${advice.hint}`;
  return text.replace(PIN, (whole, number: string) => record.sources[Number(number) - 1]?.path ?? whole);
}

/** `src/000021.pqsrc` with whatever folder stands before it. */
const PIN = /(?:\/[^"'\n]*\/)?src\/(\d{6})\.pqsrc/g;
