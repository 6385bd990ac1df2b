import { defineConfig } from "vitest/config";

/** CI adds up the counts of both suites from these files. */
export function reporters(name: string) {
  const file = `node_modules/.cache/test-results/${name}.json`;
  return process.env.CI === undefined ? ["default"] : ["default", ["json", { outputFile: file }] as [string, object]];
}

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    exclude: ["test/slow/**", "**/node_modules/**"],
    testTimeout: 20_000,
    reporters: reporters("quick"),
  },
});
