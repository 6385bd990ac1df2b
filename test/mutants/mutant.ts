/** What a mutant breaks: an invariant of the publication, one of its looks at the sources, or what it makes last. */
export type Broken =
  | "I1"
  | "I2"
  | "I3"
  | "I4"
  | "I5"
  | "I6"
  | "I7"
  | "S1"
  | "S5"
  | "S8"
  | "S10"
  | "fsync"
  | "retention";

/** One change of one source file, after which some test must fail. */
export interface Mutant {
  readonly name: string;
  readonly of: Broken;
  /** What it does, in words. */
  readonly what: string;
  /** Source file, relative to the repository. */
  readonly file: string;
  /** Stands exactly once in the file. */
  readonly find: string;
  readonly replace: string;
  /** Test files that may kill it, the cheapest or most telling first. */
  readonly tests: readonly string[];
}

/** Throws where the source has moved on, so that no mutant is forgotten. */
export function applyMutant({ name, file, find, replace }: Mutant, source: string): string {
  const [before, after, ...more] = source.split(find);
  if (before === undefined || after === undefined || more.length > 0)
    throw new Error(`${name}: ${file} holds its text ${source.split(find).length - 1} times, not once`);
  return before + replace + after;
}

/** The quick test files that kill mutants. */
export const TESTS = {
  states: "test/core/publication.test.ts",
  retention: "test/core/retention.test.ts",
  publish: "test/server/publish.test.ts",
  crash: "test/server/crash-states.test.ts",
  durability: "test/server/durability.test.ts",
  guards: "test/server/guards.test.ts",
  runGuards: "test/server/run-guards.test.ts",
  history: "test/server/history.test.ts",
  run: "test/server/run.test.ts",
  runId: "test/server/run-id.test.ts",
  interrupted: "test/server/interrupted.test.ts",
  retained: "test/server/retained.test.ts",
  drift: "test/server/drift.test.ts",
  lock: "test/server/lock.test.ts",
  processes: "test/server/processes.test.ts",
  maintain: "test/server/maintain.test.ts",
  neighbours: "test/server/neighbours.test.ts",
  workspace: "test/server/workspace.test.ts",
} as const;
