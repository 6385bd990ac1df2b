import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  classifyWatchError,
  createHintBuffer,
  type Drained,
  directoryBelow,
  type HintLimits,
  isOwnName,
  maxRawEvents,
  remoteFileSystem,
} from "../../server/src/watchers/hints.ts";

const LIMITS: HintLimits = { windowMs: 100, calmMs: 1000, maxDirectories: 3, maxEvents: 10 };

describe("hint buffer", () => {
  const repeat = (count: number, directory: string | null): readonly (string | null)[] =>
    Array.from({ length: count }, () => directory);
  const rows: readonly (readonly [string, readonly (string | null)[], string | null, Drained])[] = [
    ["nothing", [], null, { kind: "none" }],
    ["only our own names", repeat(10, null), null, { kind: "none" }],
    [
      "each directory once, sorted",
      ["b", "", "b", "a"],
      null,
      { kind: "hints", directories: ["", "a", "b"] },
    ],
    [
      "as many directories as allowed",
      ["c", "b", "a"],
      null,
      { kind: "hints", directories: ["a", "b", "c"] },
    ],
    ["one directory more", ["d", "c", "b", "a"], null, { kind: "overflow", reason: "burst", burst: true }],
    ["as many events as allowed", repeat(10, "a"), null, { kind: "hints", directories: ["a"] }],
    ["one event more", repeat(11, "a"), null, { kind: "overflow", reason: "burst", burst: true }],
    ["our own names count", repeat(11, null), null, { kind: "overflow", reason: "burst", burst: true }],
    ["an error alone", [], "EIO", { kind: "overflow", reason: "EIO", burst: false }],
    ["an error takes the place of hints", ["a"], "EIO", { kind: "overflow", reason: "EIO", burst: false }],
  ];

  it.each(rows)("%s", (_name, events, lost, expected) => {
    const buffer = createHintBuffer(LIMITS);
    for (const directory of events) buffer.add(directory, 0);
    if (lost !== null) buffer.lose(lost, 0);
    expect(buffer.drain()).toEqual(expected);
    expect(buffer.drain()).toEqual({ kind: "none" });
  });

  it("is due one window after the first event, later events do not move it on", () => {
    const buffer = createHintBuffer(LIMITS);
    expect(buffer.dueMs()).toBeNull();
    buffer.add("a", 1000);
    buffer.add("b", 1090);
    expect(buffer.dueMs()).toBe(1100);
    buffer.drain();
    expect(buffer.dueMs()).toBeNull();
  });

  it("takes a longer window after an overflow, and the usual one after that", () => {
    const buffer = createHintBuffer(LIMITS);
    buffer.lose("EIO", 0);
    buffer.drain();
    buffer.add("a", 200);
    expect(buffer.dueMs()).toBe(1200);
    buffer.drain();
    buffer.add("a", 1300);
    expect(buffer.dueMs()).toBe(1400);
  });

  it("tells the first of several reasons", () => {
    const buffer = createHintBuffer(LIMITS);
    buffer.lose("first", 0);
    buffer.lose("second", 1);
    expect(buffer.drain()).toMatchObject({ reason: "first" });
  });

  it("never forgets a directory without saying so", () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom("", "a", "b", "c", "d", "e"), { maxLength: 20 }), (events) => {
        const buffer = createHintBuffer(LIMITS);
        for (const directory of events) buffer.add(directory, 0);
        const drained = buffer.drain();
        if (drained.kind === "overflow") return;
        const told = drained.kind === "hints" ? drained.directories : [];
        expect([...told]).toEqual([...new Set(events)].sort());
      }),
    );
  });
});

describe("classifyWatchError", () => {
  const withCode = (code: string): Error => Object.assign(new Error(`${code}: watch '/data'`), { code });
  const rows: readonly (readonly [unknown, string, string])[] = [
    [withCode("ENOSPC"), "limit", "fs.inotify.max_user_watches"],
    [withCode("EMFILE"), "limit", "fs.inotify.max_user_instances"],
    [withCode("ENFILE"), "limit", "ulimit -n"],
    [withCode("EACCES"), "lost", "EACCES: watch '/data'"],
    [new Error("no code"), "lost", "no code"],
    ["text", "lost", "text"],
    [null, "lost", "null"],
  ];

  it.each(rows)("%s is %s", (error, kind, words) => {
    const trouble = classifyWatchError(error);
    expect(trouble.kind).toBe(kind);
    expect(trouble.kind === "limit" ? trouble.remedy : trouble.reason).toContain(words);
  });
});

describe("remoteFileSystem", () => {
  const rows: readonly (readonly [string, number, string | null])[] = [
    ["ext4", 0xef53, null],
    ["overlay", 0x794c7630, null],
    ["tmpfs", 0x01021994, null],
    ["not known", 0, null],
    ["nfs", 0x6969, "NFS"],
    ["smb", 0x517b, "SMB"],
    ["smb2", 0xfe534d42, "SMB2"],
    ["cifs", 0xff534d42, "SMB (CIFS)"],
    ["cifs, signed", 0xff534d42 | 0, "SMB (CIFS)"],
    ["fuse", 0x65735546, "FUSE"],
    ["9p", 0x01021997, "9p"],
  ];

  it.each(rows)("%s", (_name, type, expected) => expect(remoteFileSystem(type)).toBe(expected));
});

describe("isOwnName", () => {
  const rows: readonly (readonly [string, boolean])[] = [
    [".tamp", true],
    [".part-0.parquet.tamp", true],
    [".a.tamp", true],
    [".tamp.jsonc", false],
    ["tamp", false],
    ["a.tamp", false],
    [".stamp", false],
    ["year=2024", false],
  ];

  it.each(rows)("%s: %s", (name, expected) => expect(isOwnName(name)).toBe(expected));
});

describe("directoryBelow", () => {
  const rows: readonly (readonly [string, string, string, string | null])[] = [
    ["/data", "/data", "/", ""],
    ["/data", "/data/a/b", "/", "a/b"],
    ["/data", "/database", "/", null],
    ["/data", "/", "/", null],
    ["/", "/a", "/", "a"],
    ["C:\\data", "C:\\data\\a\\b", "\\", "a/b"],
  ];

  it.each(rows)("%s and %s", (root, path, separator, expected) => {
    expect(directoryBelow(root, path, separator)).toBe(expected);
  });
});

describe("maxRawEvents", () => {
  const rows: readonly (readonly [number | null, number])[] = [
    [null, 4000],
    [Number.NaN, 4000],
    [0, 4000],
    [16384, 4000],
    [4096, 1024],
    [1, 1],
  ];

  it.each(rows)("%s: %s", (queued, expected) => expect(maxRawEvents(queued)).toBe(expected));
});
