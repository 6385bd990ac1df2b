import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { kindFor } from "../../server/src/watchers/choose-tree.ts";

const SMALL = { directories: 5, entries: 20 };
const folders: string[] = [];

afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});

function makeTree(directories: number, filesEach: number): string {
  const root = mkdtempSync(join(tmpdir(), "tamp-choose-"));
  folders.push(root);
  // The root is one of them.
  for (let i = 1; i < directories; i += 1) {
    mkdirSync(join(root, `p=${i}`));
    for (let j = 0; j < filesEach; j += 1) writeFileSync(join(root, `p=${i}`, `${j}`), "");
  }
  return root;
}

describe.runIf(process.platform === "linux")("the adapter that fits", () => {
  const rows: readonly (readonly [string, number, number, string])[] = [
    ["an empty folder", 1, 0, "chokidar"],
    ["as many directories as are few", SMALL.directories, 1, "chokidar"],
    ["one more", SMALL.directories + 1, 1, "directories"],
    ["few directories, many files", 3, SMALL.entries / 2, "directories"],
  ];

  it.each(rows)("%s", (_name, directories, filesEach, expected) => {
    expect(kindFor(makeTree(directories, filesEach), SMALL)).toBe(expected);
  });

  it("does not follow links, and leaves errors to the adapter", () => {
    const large = makeTree(SMALL.directories + 1, 0);
    const small = makeTree(2, 0);
    symlinkSync(large, join(small, "link"));
    expect(kindFor(small, SMALL)).toBe("chokidar");
    expect(kindFor(join(small, "missing"))).toBe("chokidar");
  });
});
