import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, expect, it } from "vitest";
import { createChecker } from "../../server/src/checker.ts";

const folder = mkdtempSync(join(tmpdir(), "tamp-checker-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** Dies of the path `die`, never answers to `hang`, and talks to stdout, which belongs to the protocol. */
const worker = pathToFileURL(join(folder, "worker.mjs"));
writeFileSync(
  worker,
  `import { parentPort } from "node:worker_threads";
  parentPort.on("message", ({ id, request: { paths } }) => {
    console.log("noise");
    if (paths[0] === "die") process.exit(1);
    if (paths[0] === "hang") for (;;);
    parentPort.postMessage({ id, reply: { kind: "footers", footers: paths.map(() => ({ kind: "unreadable", detail: "" })) } });
  });`,
);

it.each(["die", "hang"])("a file that makes the parser %s costs its own check alone", async (path) => {
  const checker = createChecker(worker, 1_500);
  expect(await checker.footers(["a"])).toHaveLength(1);
  await expect(checker.footers([path])).rejects.toThrow("worker");
  expect(await checker.footers(["a", "b"])).toHaveLength(2);
  await checker.dispose();
});

it("a checker that was ended answers nothing more, and what waited for it is told", async () => {
  const checker = createChecker(worker, 60_000);
  const waiting = checker.footers(["hang"]);
  const told = expect(waiting).rejects.toThrow("was ended");
  await checker.dispose();
  await told;
  await expect(checker.footers(["a"])).rejects.toThrow("was ended");
});
