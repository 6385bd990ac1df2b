import { defineConfig } from "vitest/config";
import { results } from "./vitest.config.ts";

export default defineConfig({
  test: {
    include: ["test/slow/**/*.test.ts"],
    globalSetup: "test/support/user-folders.ts",
    testTimeout: 180_000,
    hookTimeout: 600_000,
    fileParallelism: false,
    ...results("slow"),
  },
});
