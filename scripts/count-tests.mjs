// Adds up the results that the test suites left behind and ends CI with one line: `N passed, N failed, N skipped`.
import { readdir, readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const folder = join(
  dirname(dirname(fileURLToPath(import.meta.url))),
  "node_modules",
  ".cache",
  "test-results",
);
const counts = { passed: 0, failed: Number(process.argv[2] ?? 0), skipped: 0 };
for (const name of await readdir(folder).catch(() => [])) {
  const { numPassedTests, numFailedTests, numPendingTests } = JSON.parse(
    await readFile(join(folder, name), "utf8"),
  );
  counts.passed += numPassedTests;
  counts.failed += numFailedTests;
  counts.skipped += numPendingTests;
}
console.log(`${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`);
