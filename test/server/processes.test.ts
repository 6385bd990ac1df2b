import { describe, expect, it } from "vitest";
import {
  doubtOf,
  hostProcesses,
  type Place,
  type ProcessIdentity,
  processesOf,
} from "../../server/src/processes.ts";

const INITIAL = "pid:[4026531836]";
const HERE: Place = { host: "db1", machineId: "m1", bootId: "b2", pidNamespace: INITIAL };
const OWNER: ProcessIdentity = { ...HERE, pid: 7, processStart: "500", uid: 0 };

/** As in proc(5): the command name may hold blanks and brackets. */
const stat = (state: string, { threads = 1, start = "500" } = {}): string =>
  `7 (a) b) ${state} 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 ${threads} 0 ${start} 0 0 18446744073709551615`;

interface Row {
  readonly what: string;
  readonly owner?: Partial<ProcessIdentity>;
  readonly here?: Partial<Place>;
  readonly stat?: string | null;
  readonly alive?: boolean;
  readonly dead: boolean;
  readonly doubt?: RegExp;
}

const IMAGE = "pid:[4026532201]";
const PLACES: readonly Row[] = [
  { what: "gone", dead: true },
  { what: "on another host", owner: { host: "db2" }, dead: false, doubt: /another host/ },
  { what: "of an earlier boot", owner: { bootId: "b1" }, alive: true, dead: true },
  {
    what: "of an earlier boot, of another machine of this name",
    owner: { bootId: "b1", machineId: "m2" },
    dead: false,
    doubt: /another boot/,
  },
  {
    what: "of another boot, where no machine has an id",
    owner: { bootId: "b1", machineId: "" },
    here: { machineId: "" },
    dead: false,
    doubt: /another boot/,
  },
  {
    what: "of another boot, both in a container of one image",
    owner: { bootId: "b1", pidNamespace: IMAGE },
    here: { pidNamespace: IMAGE },
    dead: false,
    doubt: /another boot/,
  },
  { what: "of a boot that is not known", owner: { bootId: "" }, dead: false, doubt: /another boot/ },
  {
    what: "of a boot, where this one is not known",
    here: { bootId: "" },
    dead: false,
    doubt: /another boot/,
  },
  {
    what: "in another container",
    owner: { pidNamespace: IMAGE },
    dead: false,
    doubt: /another PID namespace/,
  },
  {
    what: "gone, where the system tells nothing but the host",
    owner: { bootId: "", pidNamespace: "", machineId: "", processStart: "" },
    here: { bootId: "", pidNamespace: "", machineId: "" },
    dead: true,
  },
  {
    what: "there, where the system tells nothing but the host",
    owner: { bootId: "", pidNamespace: "", machineId: "", processStart: "" },
    here: { bootId: "", pidNamespace: "", machineId: "" },
    alive: true,
    dead: false,
  },
];

const STATES: readonly Row[] = [
  { what: "running", stat: stat("R"), dead: false },
  { what: "stopped", stat: stat("T"), dead: false },
  { what: "waiting for a disk", stat: stat("D"), dead: false },
  { what: "a zombie", stat: stat("Z"), dead: true },
  { what: "a zombie of which a thread still works", stat: stat("Z", { threads: 2 }), dead: false },
  { what: "another one by now", stat: stat("R", { start: "501" }), dead: true },
  { what: "of unknown start", owner: { processStart: "" }, stat: stat("R"), dead: false },
  { what: "hidden from us, but there", stat: null, alive: true, dead: false },
];

describe("an owner that is", () => {
  it.each([...PLACES, ...STATES])("$what is provably dead: $dead", async (row) => {
    const here = { ...HERE, ...row.here };
    const owner = { ...OWNER, ...row.owner };
    const processes = processesOf({
      place: async () => here,
      stat: async () => row.stat ?? null,
      isAlive: () => row.alive ?? false,
    });
    expect(await processes.isDead(owner)).toBe(row.dead);
    if (row.doubt === undefined) expect(doubtOf(owner, here)).toBeNull();
    else expect(doubtOf(owner, here)).toMatch(row.doubt);
  });
});

it("this process is alive", async () => {
  const self = await hostProcesses.self();
  expect(self.pid).toBe(process.pid);
  expect(doubtOf(self, self)).toBeNull();
  expect(await hostProcesses.isDead(self)).toBe(false);
});
