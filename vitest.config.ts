import { defineConfig } from "vitest/config";

/** CI adds up the counts of both suites from these files. */
export function results(name: string) {
  const reporters = process.env.CI === undefined ? ["default"] : ["default", "json"];
  return { reporters, outputFile: { json: `node_modules/.cache/test-results/${name}.json` } };
}

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    exclude: ["test/slow/**", "**/node_modules/**"],
    globalSetup: "test/support/user-folders.ts",
    testTimeout: 20_000,
    ...results("quick"),
  },
});
