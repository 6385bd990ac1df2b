import { expect, test } from "vitest";
import {
  countOf,
  escapeMarkdown,
  formatCount,
  formatDuration,
  formatShare,
  formatSize,
  nameOf,
  printable,
  table,
} from "../../extension/src/format.ts";

test.each([
  [formatCount(0), "0"],
  [formatCount(999), "999"],
  [formatCount(1204), "1,204"],
  [formatCount(12_345_678), "12,345,678"],
  [countOf(1, "file"), "1 file"],
  [countOf(1204, "small file"), "1,204 small files"],
  [formatSize(0), "0 B"],
  [formatSize(999), "999 B"],
  [formatSize(1000), "1.0 KiB"],
  [formatSize(12.34 * 2 ** 20), "12.3 MiB"],
  [formatSize(128 * 2 ** 20), "128 MiB"],
  [formatSize(5 * 2 ** 40), "5.0 TiB"],
  [formatDuration(340), "340 ms"],
  [formatDuration(4210), "4.2 s"],
  [formatDuration(185_000), "3 min 5 s"],
  [formatDuration(7_810_000), "2 h 10 min"],
  [formatDuration(615_600_000), "7 d 3 h"],
  [formatShare(1, 4), "25 %"],
  [formatShare(0, 0), "0 %"],
  [nameOf("/lake/events"), "events"],
  [nameOf("/lake/events/"), "events"],
  [nameOf("C:\\lake\\events"), "events"],
  [nameOf("/"), "/"],
  [printable("a\nb\u202eexe"), "a\\u{a}b\\u{202e}exe"],
  [escapeMarkdown("[x](command:y)$(z)|"), "\\[x\\]\\(command:y\\)\\$\\(z\\)\\|"],
])("%s", (actual, expected) => {
  expect(actual).toBe(expected);
});

test("a table lines up in a plain editor and keeps its cells apart", () => {
  expect(
    table(
      ["name", "files"],
      [
        ["day=1", 1204],
        ["a|b", 3],
      ],
    ),
  ).toEqual(["| name  | files |", "|:------|------:|", "| day=1 | 1,204 |", "| a\\|b  |     3 |"]);
});
