import { defineConfig } from "vitest/config";
import { results } from "./vitest.config.ts";

/** What takes hours: every failpoint, every kill; `TAMP_FULL` tells the tests to take all of it. */
export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    env: { TAMP_FULL: "1" },
    globalSetup: "test/support/user-folders.ts",
    testTimeout: 600_000,
    hookTimeout: 600_000,
    fileParallelism: false,
    ...results("full"),
  },
});
