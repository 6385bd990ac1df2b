import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { MUTANTS } from "./all.ts";
import { applyMutant } from "./mutant.ts";
import { killersOf, rowOf } from "./table.ts";

const REPOSITORY = fileURLToPath(new URL("../..", import.meta.url));
const read = (path: string): string => readFileSync(join(REPOSITORY, path), "utf8");

it.each(MUTANTS)("$name still changes its source", (mutant) => {
  const source = read(mutant.file);
  expect(applyMutant(mutant, source)).not.toBe(source);
});

it("the table has a row with its killer for every mutant, and no other", () => {
  const readme = read("test/mutants/README.md");
  const killers = killersOf(readme);
  const rows = readme
    .split("\n")
    .filter((line) => /^\| [a-z][a-z-]+ \| (I\d|S\d|fsync|retention)/.test(line));
  expect(rows).toEqual(MUTANTS.map((mutant) => rowOf(mutant, killers.get(mutant.name) ?? null)));
  expect(MUTANTS.filter(({ name }) => !killers.has(name)).map(({ name }) => name)).toEqual([]);
});

it("every invariant and every look at the sources has a mutant", () => {
  const broken = new Set(MUTANTS.map(({ of }) => of));
  for (const of of ["I1", "I2", "I3", "I4", "I5", "I6", "I7", "S5", "S8", "S10"] as const)
    expect(broken).toContain(of);
});

/** What a user's programs note for themselves: no row depends on it. */
const NOTES = ["history-file.ts", "trust.ts"];

/** A call of an fsync, through the port or of a handle. */
const SYNC_CALL = /\w\.sync\(/;

it("every fsync has a mutant without it", () => {
  const without = MUTANTS.filter(({ of }) => of === "fsync").map(({ file, find }) => ({ file, text: find }));
  const files = readdirSync(join(REPOSITORY, "server/src"), { recursive: true, encoding: "utf8" });
  const calls = files
    .filter((name) => name.endsWith(".ts") && !NOTES.includes(name))
    .flatMap((name) => {
      const file = `server/src/${name}`;
      const lines = read(file)
        .split("\n")
        .map((line) => line.trim());
      return lines.filter((line) => SYNC_CALL.test(line)).map((line) => ({ file, line }));
    });
  expect(calls.length).toBeGreaterThan(10);
  const missed = calls.filter(
    ({ file, line }) =>
      !without.some(
        (each) => each.file === file && (each.text.includes(line) || line.includes(each.text.trim())),
      ),
  );
  expect(missed).toEqual([]);
});
