import { copyFile, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { DigestTask, Engine, RewriteTask, RunningEngine } from "../../server/src/engine.ts";
import { EngineError } from "../../server/src/engine-error.ts";

export interface FakeEngine extends Engine {
  /** Rewrites that have begun. */
  readonly rewrites: () => number;
  /** Resolves when the next rewrite begins; with `hold` it then waits until its running is killed. */
  nextRewrite(): Promise<void>;
}

export interface FakeEngineOptions {
  readonly name?: string;
  /** Every rewrite waits until it is killed. */
  readonly hold?: boolean;
}

/** "Rewrites" by copying the first input to every output: enough for what does not look into the files. */
export function fakeEngine({ name = "fake", hold = false }: FakeEngineOptions = {}): FakeEngine {
  let rewrites = 0;
  const waiting: (() => void)[] = [];
  const onRewrite = (): void => {
    rewrites += 1;
    for (const begun of waiting.splice(0)) begun();
  };
  return {
    name,
    version: "1.0.0",
    codecs: ["snappy", "zstd"],
    rewrites: () => rewrites,
    nextRewrite: () => new Promise((resolve) => waiting.push(resolve)),
    predictChanges: () => [],
    describeLosses: () => [],
    start: async () => startEngine(hold, onRewrite),
  };
}

function startEngine(hold: boolean, onRewrite: () => void): RunningEngine {
  const killed = new AbortController();
  const untilKilled = (): Promise<never> =>
    new Promise((_, reject) => {
      const stop = (): void => reject(new EngineError("Cancelled", "the engine was stopped"));
      if (killed.signal.aborted) stop();
      else killed.signal.addEventListener("abort", stop);
    });
  return {
    async rewrite({ folder, inputs, outputs }: RewriteTask, onProgress) {
      onRewrite();
      if (hold) return untilKilled();
      for (const output of outputs) {
        await copyFile(join(folder, inputs[0]?.path ?? ""), join(folder, output.path));
      }
      onProgress(1);
    },
    async digest({ folder, files }: DigestTask) {
      let bytes = 0;
      for (const file of files) bytes += (await readFile(join(folder, file.path))).length;
      return { rows: files.reduce((sum, file) => sum + file.rows, 0), sum: String(bytes) };
    },
    kill: () => killed.abort(),
    dispose: async () => {},
  };
}
