import { createChecker as createReal } from "../../server/src/checker.ts";
import type { Checker } from "../../server/src/validate.ts";
import { guarded } from "./failpoint-calls.ts";

/** Bundled in place of `server/src/checker.ts` by `failpoint-build.ts`. */
export function createChecker(...args: Parameters<typeof createReal>): Checker {
  const checker = createReal(...args);
  return {
    footers: (paths) => guarded("checker.footers", () => checker.footers(paths)),
    sameRows: (request) => guarded("checker.compare", () => checker.sameRows(request)),
    dispose: () => checker.dispose(),
  };
}
