import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, it } from "vitest";
import { mapLimit } from "../../server/src/map-limit.ts";
import { MUTANTS } from "../mutants/all.ts";
import { type Outcome, runTests } from "../mutants/run-mutant.ts";
import { killersOf } from "../mutants/table.ts";
import { createRandom, SEED, shuffled } from "../support/seed.ts";

const REPOSITORY = fileURLToPath(new URL("../..", import.meta.url));
const AT_ONCE = Math.min(4, availableParallelism());
const KILLERS = killersOf(readFileSync(join(REPOSITORY, "test/mutants/README.md"), "utf8"));
const FULL = process.env.TAMP_FULL === "1";
/** So many of them outside of the full suite. */
const SAMPLE = 60;
const CHOSEN = FULL ? MUTANTS : shuffled(MUTANTS, createRandom(SEED)).slice(0, SAMPLE);

describe("without a mutant", () => {
  const files = [...new Set([...KILLERS.values()].map(({ file }) => file))];
  const outcomes = new Map<string, Outcome>();
  beforeAll(async () => {
    await mapLimit(files, AT_ONCE, async (file) => {
      const names = [
        ...new Set([...KILLERS.values()].filter((each) => each.file === file).map(({ name }) => name)),
      ];
      outcomes.set(file, await runTests({ repository: REPOSITORY, mutant: null, file, names }));
    });
  });

  it.each(files)("the tests of %s that kill mutants pass", (file) => {
    expect(outcomes.get(file)).toMatchObject({ kind: "passed" });
  });
});

describe(`with one of ${CHOSEN.length} mutants (TAMP_SEED=${SEED})`, () => {
  const outcomes = new Map<string, Outcome>();
  beforeAll(async () => {
    await mapLimit(CHOSEN, AT_ONCE, async (mutant) => {
      const killer = KILLERS.get(mutant.name);
      if (killer === undefined) return;
      const { file, name } = killer;
      outcomes.set(mutant.name, await runTests({ repository: REPOSITORY, mutant, file, names: [name] }));
    });
  }, 1_800_000);

  it.each(CHOSEN)("$name: the test of the table fails", ({ name }) => {
    expect(outcomes.get(name)).toMatchObject({ kind: "failed", by: KILLERS.get(name) });
  });
});
