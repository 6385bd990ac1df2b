import { randomBytes } from "node:crypto";
import { createDatasetHistory, type DatasetHistory } from "../../server/src/dataset-history.ts";
import { nodeFs } from "../../server/src/fs.ts";
import type { Ports } from "../../server/src/maintain.ts";
import { createPolicyWatch, type PolicyWatch } from "../../server/src/policy-watch.ts";
import { hostProcesses } from "../../server/src/processes.ts";

/** The ports of the composition root, but for `sleep`, which takes no time. */
export function testPorts(ports: Partial<Ports> = {}): Ports {
  return {
    fs: nodeFs,
    processes: hostProcesses,
    openWriters: async (files) => files.map(() => null),
    now: () => Date.now(),
    clock: () => performance.now(),
    sleep: async () => {},
    stateFolder: null,
    user: { configFolder: null, home: null, environment: {} },
    randomHex: (bytes) => randomBytes(bytes).toString("hex"),
    ...ports,
  };
}

/** What a daemon needs beside its ports: no history is kept, and policy files are looked for on request only. */
export function quietDeps(): {
  readonly createHistory: (root: string) => DatasetHistory;
  readonly policyWatch: PolicyWatch;
} {
  return {
    createHistory: (root) => createDatasetHistory({ folder: null, root, now: () => Date.now() }),
    policyWatch: createPolicyWatch({ fs: nodeFs, configFolder: null, everyMs: null }),
  };
}
