import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, it } from "vitest";
import { mapLimit } from "../../server/src/map-limit.ts";
import { MUTANTS } from "../mutants/all.ts";
import { type Outcome, runTests } from "../mutants/run-mutant.ts";
import { killersOf } from "../mutants/table.ts";

const repository = fileURLToPath(new URL("../..", import.meta.url));
const AT_ONCE = Math.min(4, availableParallelism());
const KILLERS = killersOf(readFileSync(join(repository, "test/mutants/README.md"), "utf8"));
const MOST_MS = 1_200_000;

/** Names of the tests that kill, by their file. */
function killingTests(): ReadonlyMap<string, ReadonlySet<string>> {
  const byFile = new Map<string, Set<string>>();
  for (const { file, name } of KILLERS.values()) byFile.set(file, (byFile.get(file) ?? new Set()).add(name));
  return byFile;
}

describe("without a mutant", () => {
  const files = [...killingTests()];
  const outcomes = new Map<string, Outcome>();
  beforeAll(async () => {
    await mapLimit(files, AT_ONCE, async ([file, names]) => {
      outcomes.set(file, await runTests({ repository, mutant: null, file, names: [...names] }));
    });
  }, MOST_MS);

  it.each(files)("the tests of %s that kill mutants pass, every one", (file, names) => {
    const outcome = outcomes.get(file);
    expect(outcome).toMatchObject({ kind: "passed" });
    expect(outcome?.kind === "passed" ? outcome.tests : 0).toBeGreaterThanOrEqual(names.size);
  });
});

describe("with a mutant", () => {
  const outcomes = new Map<string, Outcome>();
  beforeAll(async () => {
    await mapLimit(MUTANTS, AT_ONCE, async (mutant) => {
      const killer = KILLERS.get(mutant.name);
      if (killer === undefined) return;
      const { file, name } = killer;
      outcomes.set(mutant.name, await runTests({ repository, mutant, file, names: [name] }));
    });
  }, MOST_MS);

  it.each(MUTANTS)("$name, the test that the table names fails", ({ name }) => {
    expect(outcomes.get(name)).toMatchObject({ kind: "failed", by: KILLERS.get(name) });
  });
});
