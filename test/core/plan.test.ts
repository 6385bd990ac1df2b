import { type FileGroup, type FoundFile, findDrift, planCompaction, planContent } from "@tamp/core";
import { describe, expect, test } from "vitest";
import { inputOf, policyOf, readable, type statsOf } from "../support/file-stats.ts";

const NAMES = ["a.parquet", 'b "\n.parquet'];

function planOf(change: Parameters<typeof statsOf>[0] = { path: "a.parquet" }) {
  const files = NAMES.map((path) => readable(path === change.path ? change : { path }));
  return planCompaction(inputOf(files, { policy: policyOf({ minFiles: 2 }) }));
}

function content(plan: ReturnType<typeof planOf>): string {
  return [...planContent(plan)].join("");
}

describe("the bytes of a plan's id", () => {
  test("say what would be done, one source a line", () => {
    expect(content(planOf()).split("\n").slice(0, 2)).toEqual(["tamp-plan-1", "compact"]);
    expect(content(planOf()).split("\n").slice(3)).toEqual([
      'group ["","a","snappy",[200]]',
      '"a.parquet" 1000 100 1 i-a.parquet',
      '"b \\"\\n.parquet" 1000 100 1 i-b "',
      ".parquet",
      "",
    ]);
  });

  test.each([
    { path: "a.parquet", inode: "other" },
    { path: "a.parquet", mtimeNs: "2" },
    { path: "a.parquet", sizeBytes: 999 },
    { path: "a.parquet", rows: 101 },
  ])("differ for %j", (change) => {
    expect(content(planOf(change))).not.toBe(content(planOf()));
  });

  test("differ for another policy, and not for the order of its fields", () => {
    const plan = planOf();
    const reversed = Object.fromEntries(Object.entries(plan.policy).reverse()) as typeof plan.policy;
    expect(content({ ...plan, policy: reversed })).toBe(content(plan));
    expect(content({ ...plan, policy: { ...plan.policy, rowsPerGroup: 4096 } })).not.toBe(content(plan));
  });

  test("are the same for another time, estimate or skipped file", () => {
    const files = [...NAMES.map((path) => readable({ path })), readable({ path: "z/c.parquet" })];
    const policy = policyOf({ minFiles: 2 });
    const later = planCompaction(inputOf(files, { policy, nowMs: 2e12, learnedRatio: 0.3 }));
    expect(content(later)).toBe(content(planOf()));
  });

  test("come in pieces of bounded length", () => {
    const files = Array.from({ length: 5000 }, (_, index) =>
      readable({ path: `${index}.parquet`, sizeBytes: 1 }),
    );
    const pieces = [...planContent(planCompaction(inputOf(files)))];
    expect(Math.max(...pieces.map((piece) => piece.length))).toBeLessThan(70_000);
    expect(pieces.join("").split("\n")).toHaveLength(5000 + 5);
  });
});

describe("drift", () => {
  const { groups } = planOf();
  const found = ({ sizeBytes, mtimeNs, inode }: FileGroup["inputs"][number]): FoundFile => ({
    sizeBytes,
    mtimeNs,
    inode,
  });
  const rows: readonly (readonly [string, Partial<FoundFile> | null, readonly unknown[]])[] = [
    ["none", {}, []],
    ["missing", null, [{ kind: "missing", path: "a.parquet" }]],
    ["size", { sizeBytes: 1 }, [{ kind: "changed", path: "a.parquet", what: "size" }]],
    ["mtime", { mtimeNs: "9" }, [{ kind: "changed", path: "a.parquet", what: "mtime" }]],
    ["inode first", { inode: "9", mtimeNs: "9" }, [{ kind: "changed", path: "a.parquet", what: "inode" }]],
  ];
  test.each(rows)("%s", (_name, change, expected) => {
    const planned = new Map(groups.flatMap(({ inputs }) => inputs).map((file) => [file.path, file]));
    const drift = findDrift(groups, (path) => {
      const file = planned.get(path);
      if (file === undefined || (path === "a.parquet" && change === null)) return null;
      return path === "a.parquet" ? { ...found(file), ...change } : found(file);
    });
    expect(drift).toEqual(expected);
  });
});
