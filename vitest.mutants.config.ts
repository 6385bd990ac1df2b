import { join } from "node:path";
import type { Plugin } from "vite";
import { defineConfig } from "vitest/config";
import { MUTANTS } from "./test/mutants/all.ts";
import { applyMutant } from "./test/mutants/mutant.ts";

/** The quick tests on sources in which the mutant that TAMP_MUTANT names lives; on the sources as they are without. */
export default defineConfig({
  plugins: [...mutation(process.env.TAMP_MUTANT ?? "")],
  test: {
    include: ["test/core/**/*.test.ts", "test/server/**/*.test.ts"],
    testTimeout: 30_000,
  },
});

function mutation(name: string): readonly Plugin[] {
  if (name === "") return [];
  const mutant = MUTANTS.find((each) => each.name === name);
  if (mutant === undefined) throw new Error(`there is no mutant ${name}`);
  const path = join(import.meta.dirname, mutant.file);
  return [
    {
      name: "mutant",
      enforce: "pre",
      transform: (source, id) => (id === path ? applyMutant(mutant, source) : null),
    },
  ];
}
