import { randomBytes } from "node:crypto";
import { nodeFs } from "../../server/src/fs.ts";
import type { Ports } from "../../server/src/maintain.ts";
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
    randomHex: (bytes) => randomBytes(bytes).toString("hex"),
    ...ports,
  };
}
