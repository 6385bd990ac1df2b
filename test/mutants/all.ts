import { CORE_MUTANTS } from "./core-mutants.ts";
import { FSYNC_MUTANTS } from "./fsync-mutants.ts";
import type { Mutant } from "./mutant.ts";
import { RUN_MUTANTS } from "./run-mutants.ts";
import { SERVER_MUTANTS } from "./server-mutants.ts";

/** In the order of the table: by what they break. */
export const MUTANTS: readonly Mutant[] = [
  ...CORE_MUTANTS,
  ...SERVER_MUTANTS,
  ...RUN_MUTANTS,
  ...FSYNC_MUTANTS,
].sort((a, b) => rank(a) - rank(b));

function rank({ of }: Mutant): number {
  return ["I1", "I2", "I3", "I4", "I5", "I6", "I7", "S1", "S5", "S8", "S10", "fsync", "retention"].indexOf(
    of,
  );
}
