import type { Mutant } from "./mutant.ts";
import type { TestName } from "./run-mutant.ts";

const BEGIN = "<!-- table: npm run mutants -->";
const HEAD = "| mutant | breaks | what it does | in | killed by |\n|---|---|---|---|---|";

/** The README with the rows of these mutants in place of those that it has. */
export function withTable(
  readme: string,
  mutants: readonly Mutant[],
  killers: ReadonlyMap<string, TestName | null>,
): string {
  const rows = mutants.map((mutant) => rowOf(mutant, killers.get(mutant.name) ?? null));
  return `${readme.slice(0, readme.indexOf(BEGIN))}${BEGIN}\n${HEAD}\n${rows.join("\n")}\n`;
}

export function rowOf({ name, of, what, file }: Mutant, killer: TestName | null): string {
  const killed = killer === null ? "" : `\`${killer.file}\`: ${escapeCell(killer.name)}`;
  return `| ${name} | ${of} | ${escapeCell(what)} | \`${file}\` | ${killed} |`;
}

/** Name of each mutant in the table → the test that has killed it. */
export function killersOf(readme: string): ReadonlyMap<string, TestName> {
  const killers = new Map<string, TestName>();
  for (const line of readme.split("\n")) {
    const [, name, , , , killed] = line.split(/(?<!\\)\|/).map((cell) => cell.trim());
    const [, file, test] = /^`([^`]+)`: (.*)$/.exec(killed ?? "") ?? [];
    if (name !== undefined && file !== undefined && test !== undefined)
      killers.set(name, { file, name: test.replaceAll("\\|", "|") });
  }
  return killers;
}

function escapeCell(text: string): string {
  return text.replaceAll("|", "\\|");
}
