import type { Engine, RunningEngine } from "../../server/src/engine.ts";
import { createDuckdbEngine as createReal } from "../../server/src/engines/duckdb.ts";
import { guarded } from "./failpoint-calls.ts";

/** Bundled in place of `server/src/engines/duckdb.ts` by `failpoint-build.ts`. */
export * from "../../server/src/engines/duckdb.ts";

export function createDuckdbEngine(...args: Parameters<typeof createReal>): Engine {
  const engine = createReal(...args);
  return {
    ...engine,
    start: (limits, signal) => guarded("engine.start", async () => guard(await engine.start(limits, signal))),
  };
}

function guard(running: RunningEngine): RunningEngine {
  return {
    async rewrite(task, onProgress) {
      await guarded("engine.rewrite", () => running.rewrite(task, onProgress));
      // The outputs stand, and nobody was told.
      await guarded("engine.answer", async () => {});
    },
    digest: (task) => guarded("engine.digest", () => running.digest(task)),
    kill: () => running.kill(),
    dispose: () => running.dispose(),
  };
}
