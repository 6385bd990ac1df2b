import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  createFloodGauge,
  createHintBuffer,
  type Drained,
  directoryBelow,
  type HintLimits,
  isOwnName,
  maxRawEvents,
} from "../../server/src/watchers/hints.ts";

const LIMITS: HintLimits = {
  firstMs: 20,
  windowMs: 100,
  busyEvents: 5,
  calmMs: 1000,
  maxDirectories: 3,
  maxEvents: 10,
};

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
    ["one directory more", ["d", "c", "b", "a"], null, { kind: "overflow", reason: "burst" }],
    ["as many events as allowed", repeat(10, "a"), null, { kind: "hints", directories: ["a"] }],
    ["one event more", repeat(11, "a"), null, { kind: "overflow", reason: "burst" }],
    ["our own names count", repeat(11, null), null, { kind: "overflow", reason: "burst" }],
    ["an error alone", [], "EIO", { kind: "overflow", reason: "EIO" }],
    ["an error takes the place of hints", ["a"], "EIO", { kind: "overflow", reason: "EIO" }],
  ];

  it.each(rows)("%s", (_name, events, lost, expected) => {
    const buffer = createHintBuffer(LIMITS);
    for (const directory of events) buffer.add(directory, 0);
    if (lost !== null) buffer.lose(lost, 0);
    expect(buffer.drain(0)).toEqual(expected);
    expect(buffer.drain(0)).toEqual({ kind: "none" });
  });

  it("is due one window after the first event, later events do not move it on", () => {
    const buffer = createHintBuffer(LIMITS);
    expect(buffer.dueMs()).toBeNull();
    buffer.add("a", 1000);
    buffer.add("b", 1019);
    expect(buffer.dueMs()).toBe(1020);
    buffer.drain(1020);
    expect(buffer.dueMs()).toBeNull();
  });

  /** Windows that open `pauseMs` after the last one was drained, with so many raw events each, or an error. */
  const windows: readonly (readonly [
    string,
    readonly (readonly [number, number | "lost"])[],
    readonly number[],
  ])[] = [
    [
      "a few events each, one after the other",
      [
        [0, 5],
        [1, 5],
        [1, 5],
      ],
      [20, 20, 20],
    ],
    [
      "load",
      [
        [0, 6],
        [1, 6],
        [1, 6],
        [1, 6],
        [1, 6],
      ],
      [20, 40, 80, 100, 100],
    ],
    [
      "load that ends",
      [
        [0, 6],
        [1, 6],
        [1, 1],
        [1, 1],
      ],
      [20, 40, 80, 20],
    ],
    [
      "load, then quiet as long as a window",
      [
        [0, 6],
        [1, 6],
        [80, 6],
      ],
      [20, 40, 80],
    ],
    [
      "load, then quiet for longer than a window",
      [
        [0, 6],
        [1, 6],
        [81, 6],
      ],
      [20, 40, 20],
    ],
    [
      "a burst",
      [
        [0, 11],
        [1, 11],
        [1, 1],
        [1, 1],
      ],
      [20, 1000, 1000, 20],
    ],
    [
      "a burst, then quiet",
      [
        [0, 11],
        [1001, 1],
      ],
      [20, 20],
    ],
    [
      "an error",
      [
        [0, "lost"],
        [1, 1],
        [1, 1],
      ],
      [20, 1000, 20],
    ],
  ];

  it.each(windows)("gathers longer under load: %s", (_name, steps, expected) => {
    const buffer = createHintBuffer(LIMITS);
    let nowMs = 0;
    const lengths = steps.map(([pauseMs, events]) => {
      nowMs += pauseMs;
      const openedMs = nowMs;
      if (events === "lost") buffer.lose("EIO", nowMs);
      else for (let i = 0; i < events; i += 1) buffer.add("a", nowMs);
      nowMs = buffer.dueMs() ?? Number.NaN;
      buffer.drain(nowMs);
      return nowMs - openedMs;
    });
    expect(lengths).toEqual(expected);
  });

  it("tells the first of several reasons", () => {
    const buffer = createHintBuffer(LIMITS);
    buffer.lose("first", 0);
    buffer.lose("second", 1);
    expect(buffer.drain(0)).toMatchObject({ reason: "first" });
  });

  it("never forgets a directory without saying so", () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom("", "a", "b", "c", "d", "e"), { maxLength: 20 }), (events) => {
        const buffer = createHintBuffer(LIMITS);
        for (const directory of events) buffer.add(directory, 0);
        const drained = buffer.drain(0);
        if (drained.kind === "overflow") return;
        const told = drained.kind === "hints" ? drained.directories : [];
        expect([...told]).toEqual([...new Set(events)].sort());
      }),
    );
  });
});

describe("flood gauge", () => {
  const rows: readonly (readonly [string, readonly number[], number])[] = [
    ["as many as allowed, again and again", [10, 10, 10], 0],
    ["one more", [11], 1],
    ["two floods", [11, 3, 40], 2],
  ];

  it.each(rows)("%s", (_name, batches, expected) => {
    const later: (() => void)[] = [];
    let floods = 0;
    const onRaw = createFloodGauge(
      10,
      (run) => later.push(run),
      () => {
        floods += 1;
      },
    );
    for (const events of batches) {
      for (let i = 0; i < events; i += 1) onRaw();
      for (const run of later.splice(0)) run();
    }
    expect(floods).toBe(expected);
  });
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
