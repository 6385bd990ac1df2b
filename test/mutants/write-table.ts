import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { mapLimit } from "../../server/src/map-limit.ts";
import { MUTANTS } from "./all.ts";
import { hunt, type TestName } from "./run-mutant.ts";
import { killersOf, withTable } from "./table.ts";

/** `npm run mutants`: lets all mutants live, or those named, and writes down which test killed each. */
const repository = process.env.TAMP_REPOSITORY ?? process.cwd();
const path = join(repository, "test/mutants/README.md");
const asked = process.argv.slice(2);
const chosen = MUTANTS.filter(({ name }) => asked.length === 0 || asked.includes(name));
const found = new Map<string, TestName | null>();

await mapLimit(chosen, Number(process.env.TAMP_AT_ONCE ?? 2), async (mutant) => {
  const begin = performance.now();
  const outcome = await hunt(repository, mutant);
  const seconds = ((performance.now() - begin) / 1000).toFixed(1);
  found.set(mutant.name, outcome.kind === "failed" ? outcome.by : null);
  const told =
    outcome.kind === "failed"
      ? `killed by ${outcome.by.file}: ${outcome.by.name}\n    ${outcome.message.split("\n")[0]}`
      : outcome.kind === "passed"
        ? "SURVIVED"
        : `BROKEN: ${outcome.reason}`;
  process.stdout.write(`${mutant.name} (${mutant.of}, ${seconds} s): ${told}\n`);
});

const readme = readFileSync(path, "utf8");
const killers = new Map([...killersOf(readme), ...found]);
writeFileSync(path, withTable(readme, MUTANTS, killers));
const survived = [...found.values()].filter((killer) => killer === null).length;
process.stdout.write(`${chosen.length} mutants, ${survived} of them live\n`);
process.exitCode = survived > 0 ? 1 : 0;
