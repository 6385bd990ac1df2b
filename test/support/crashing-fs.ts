import { nodeFs, type PublicationFs } from "../../server/src/fs.ts";

/** Thrown by every call from the crash on: the process is gone. */
export class Crash extends Error {
  constructor() {
    super("crashed");
    this.name = "Crash";
  }
}

export interface CrashingFs {
  readonly fs: PublicationFs;
  /** Calls that change the disk so far. */
  readonly changes: () => number;
}

const CHANGING = [
  "writeNew",
  "mkdir",
  "link",
  "rename",
  "unlink",
  "rmdir",
  "chmod",
  "chown",
  "sync",
] as const;

/**
 * The real file system up to the change number `crashAt` (counted from 1), which is not carried out any more;
 * nothing works after it. `before` is called ahead of every change.
 */
export function crashingFs(crashAt: number, before: () => void = () => {}): CrashingFs {
  let changes = 0;
  let crashed = false;
  const changing = new Set<string>(CHANGING);
  const fs = new Proxy(nodeFs, {
    get(target, name: keyof PublicationFs) {
      const call = target[name] as (...args: unknown[]) => Promise<unknown>;
      return async (...args: unknown[]): Promise<unknown> => {
        if (crashed) throw new Crash();
        if (changing.has(name)) {
          before();
          changes += 1;
          crashed = changes === crashAt;
          if (crashed) throw new Crash();
        }
        return call(...args);
      };
    },
  });
  return { fs, changes: () => changes };
}

/** The real file system on which the given method fails with `code` at its `nth` call, and works again afterwards. */
export function failingFs(method: keyof PublicationFs, nth: number, code: string): PublicationFs {
  let calls = 0;
  return new Proxy(nodeFs, {
    get(target, name: keyof PublicationFs) {
      const call = target[name] as (...args: unknown[]) => Promise<unknown>;
      return async (...args: unknown[]): Promise<unknown> => {
        if (name === method) {
          calls += 1;
          if (calls === nth) throw Object.assign(new Error(`${code}: planted`), { code });
        }
        return call(...args);
      };
    },
  });
}
