import { writeFileSync } from "node:fs";
import { nodeFs as realFs } from "../../server/src/fs.ts";
import { readArmed, strike, suffer } from "./failpoint-calls.ts";
import { failpointOf } from "./failpoints.ts";

/** Bundled in place of `server/src/fs.ts` by `failpoint-build.ts`. */
export * from "../../server/src/fs.ts";

type Call = (...args: unknown[]) => Promise<unknown>;

/** The real file system with a failpoint before every call, and one inside of every write. */
export const nodeFs = new Proxy(realFs, {
  get(target, method: keyof typeof realFs) {
    const call = target[method] as Call;
    return async (...args: unknown[]): Promise<unknown> => {
      const armed = readArmed();
      if (armed === null) return call(...args);
      const name = failpointOf(armed, method, args);
      const fault = strike(armed, name);
      if (fault !== null) return suffer(fault);
      if (method === "writeNew") await tear(armed, name.replace(/write$/, "torn"), args);
      return call(...args);
    };
  },
});

/** A write that stops half-way leaves the file that it had begun. */
async function tear(
  armed: Parameters<typeof strike>[0],
  name: string,
  [path, text]: readonly unknown[],
): Promise<void> {
  const fault = strike(armed, name);
  if (fault === null) return;
  const half = String(text).slice(0, String(text).length / 2);
  writeFileSync(String(path), half, { flag: "wx", mode: 0o600 });
  await suffer(fault);
}
