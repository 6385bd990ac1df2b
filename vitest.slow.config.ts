import { defineConfig } from "vitest/config";
import { results } from "./vitest.config.ts";

export default defineConfig({
  test: {
    include: ["test/slow/**/*.test.ts"],
    testTimeout: 180_000,
    hookTimeout: 600_000,
    fileParallelism: false,
    ...results("slow"),
  },
});
