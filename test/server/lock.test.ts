import { spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { TampError } from "../../server/src/errors.ts";
import { nodeFs, type PublicationFs } from "../../server/src/fs.ts";
import {
  type Lock,
  type LockOwner,
  type LockRequest,
  readOwner,
  takeLock,
  takeLocks,
} from "../../server/src/lock.ts";
import { hostProcesses, type Processes } from "../../server/src/processes.ts";
import { failingFs } from "../support/crashing-fs.ts";

let folder: string;
let path: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "tamp-lock-"));
  path = join(folder, "lock");
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const take = (request: Partial<LockRequest> = {}): Promise<Lock> =>
  takeLock({ fs: nodeFs, processes: hostProcesses, path, root: "/data/events", since: "now", ...request });

async function refusal(
  request: Partial<LockRequest> = {},
  code: TampError["code"] = "Locked",
): Promise<TampError> {
  const error: unknown = await take(request).then(
    () => null,
    (reason: unknown) => reason,
  );
  if (!(error instanceof TampError)) throw new Error(`the lock was not refused: ${String(error)}`);
  expect(error.code, error.message).toBe(code);
  return error;
}

/** The real file system, but for the calls that are given. */
function changedFs(change: Partial<PublicationFs>): PublicationFs {
  return { ...nodeFs, ...change };
}

function fail(code: string): Promise<never> {
  return Promise.reject(Object.assign(new Error(`${code}: planted`), { code }));
}

const nonceOf = (digit: string): string => digit.repeat(24);

/** This process as a lock describes it. */
async function describeSelf(): Promise<LockOwner> {
  return { ...(await hostProcesses.self()), nonce: "self", root: "/data/events", since: "now" };
}

/** A lock of a child process that has ended. */
async function deadOwner(): Promise<LockOwner> {
  const { pid } = spawnSync(process.execPath, ["-e", ""]);
  return { ...(await describeSelf()), nonce: "dead", pid, processStart: "1" };
}

const plant = (owner: LockOwner): void => writeFileSync(path, `${JSON.stringify(owner)}\n`);

describe("a lock", () => {
  it("tells who holds it and goes with its release", async () => {
    const lock = await take();
    await lock.assertHeld();
    const owner = await readOwner(nodeFs, path);
    expect(owner).toMatchObject({ nonce: lock.nonce, pid: process.pid, root: "/data/events", since: "now" });
    expect(Object.keys(owner ?? {}).sort()).toEqual(
      [
        "bootId",
        "host",
        "machineId",
        "nonce",
        "pid",
        "pidNamespace",
        "processStart",
        "root",
        "since",
        "uid",
      ].sort(),
    );
    expect(readdirSync(folder)).toEqual(["lock"]);
    await lock.release();
    expect(readdirSync(folder)).toEqual([]);
  });

  it("is refused to a second taker, who learns the holder", async () => {
    const lock = await take();
    expect((await refusal()).message).toContain(`process ${process.pid}`);
    expect(readdirSync(folder)).toEqual(["lock"]);
    await lock.assertHeld();
    await lock.release();
    await (await take()).release();
  });

  it("is released by its holder only", async () => {
    const lost = await take();
    const other = { ...(await describeOther(lost)), nonce: "other" };
    plant(other);
    await expect(lost.assertHeld()).rejects.toThrow("was taken away");
    await lost.release();
    expect(await readOwner(nodeFs, path)).toEqual(other);
  });

  it("whose file was removed is lost", async () => {
    const lost = await take();
    await rm(path);
    await expect(lost.assertHeld()).rejects.toThrow("was taken away");
    await lost.release();
    expect(existsSync(path)).toBe(false);
  });
});

describe("a lock whose folder is removed while it is held", () => {
  it.each(["and not made again", "and made again by another holder"])("is lost, %s", async (what) => {
    const lost = await take();
    rmSync(folder, { recursive: true });
    if (what.includes("another")) {
      mkdirSync(folder);
      const other = await take();
      await expect(lost.assertHeld()).rejects.toThrow("was taken away");
      await lost.release();
      await other.assertHeld();
    } else {
      await expect(lost.assertHeld()).rejects.toThrow("was taken away");
      await lost.release();
      expect(existsSync(folder)).toBe(false);
    }
  });
});

async function describeOther(lock: Lock): Promise<LockOwner> {
  const owner = await readOwner(nodeFs, path);
  expect(owner?.nonce).toBe(lock.nonce);
  if (owner === null) throw new Error("no owner");
  return owner;
}

describe("a lock that was left behind", () => {
  it("by a process that has ended is taken over", async () => {
    plant(await deadOwner());
    const lock = await take();
    await lock.assertHeld();
    expect(readdirSync(folder)).toEqual(["lock"]);
    await lock.release();
  });

  const alive: readonly {
    readonly what: string;
    readonly change: Partial<LockOwner>;
    readonly hint: readonly string[];
  }[] = [
    { what: "a living process", change: {}, hint: ["wait until it is done, or end that process"] },
    { what: "another host", change: { host: "elsewhere" }, hint: ["another host", "surely gone"] },
    {
      what: "another host and boot",
      change: { host: "elsewhere", bootId: "another" },
      hint: ["another host", "surely gone"],
    },
    {
      what: "another PID namespace",
      change: { pidNamespace: "pid:[1]" },
      hint: ["another PID namespace", "surely gone"],
    },
    {
      what: "an earlier boot of a machine without an id",
      change: { bootId: "another", machineId: "" },
      hint: ["another boot", "surely gone"],
    },
  ];
  it.each(alive)("by $what is never taken over; who holds it is told", async ({ what, change, hint }) => {
    const dead = await deadOwner();
    const owner = { ...dead, ...(what === "a living process" ? await describeSelf() : {}), ...change };
    plant(owner);
    const error = await refusal();
    expect(error.message).toBe(
      `/data/events is being maintained by process ${owner.pid} on ${owner.host} since now`,
    );
    for (const text of hint) expect(error.hint).toContain(text);
    expect(error.hint.includes(`delete the file ${path}`)).toBe(hint.includes("surely gone"));
    expect(error.notDone).toBe("nothing was changed");
    expect(await readOwner(nodeFs, path)).toEqual(owner);
    expect(readdirSync(folder)).toEqual(["lock"]);
  });

  it("by a version that knew no machine ids is read", async () => {
    const { machineId, ...owner } = await deadOwner();
    writeFileSync(path, JSON.stringify(owner));
    expect(machineId).toBeTypeOf("string");
    expect(await readOwner(nodeFs, path)).toEqual({ ...owner, machineId: "" });
    await (await take()).release();
  });

  const garbage = [
    "",
    "garbage",
    "{",
    '{"nonce":"cut sho',
    "null",
    "5",
    "[]",
    "{}",
    '{"nonce":"x","pid":"1"}',
  ];
  it.each(garbage)("as a file with %j in it is refused and kept", async (text) => {
    writeFileSync(path, text);
    await refusal();
    expect(readFileSync(path, "utf8")).toBe(text);
    expect(readdirSync(folder)).toEqual(["lock"]);
  });
});

describe("what stands in the place of a lock", () => {
  const strange: readonly { readonly what: string; readonly make: () => void }[] = [
    { what: "a directory", make: () => mkdirSync(path) },
    { what: "a symbolic link to nothing", make: () => symlinkSync(join(folder, "nothing"), path) },
    { what: "a file of 100 kB", make: () => writeFileSync(path, "{".repeat(100_000)) },
  ];
  it.each(strange)("and is $what is refused and kept", async ({ make }) => {
    make();
    expect((await refusal()).message).toBe(`${path} is not a lock that Tamp wrote`);
    expect(readdirSync(folder)).toEqual(["lock"]);
  });

  it.each(["EACCES", "EIO", "EMFILE"])("and cannot be read (%s) is refused and kept", async (code) => {
    plant(await deadOwner());
    const fs = changedFs({ readText: () => fail(code) });
    expect((await refusal({ fs })).message).toBe(
      `the lock ${path} cannot be read (${code}), so its holder is not known`,
    );
    expect(readdirSync(folder)).toEqual(["lock"]);
  });
});

describe("a lock that cannot be made", () => {
  const torn = (code: string): Partial<PublicationFs> => ({
    async writeNew(file, text) {
      await nodeFs.writeNew(file, text.slice(0, 10));
      await fail(code);
    },
  });
  const rows: readonly { readonly what: string; readonly fs: PublicationFs; readonly hint: string }[] = [
    { what: "on a full disk", fs: changedFs(torn("ENOSPC")), hint: "make room" },
    { what: "in a folder that is read-only", fs: failingFs("writeNew", 1, "EROFS"), hint: "needs to write" },
    { what: "in a folder of somebody else", fs: failingFs("writeNew", 1, "EACCES"), hint: "needs to write" },
    { what: "where there are no hard links", fs: failingFs("link", 1, "EPERM"), hint: "hard links" },
  ];
  it.each(rows)("$what leaves nothing", async ({ fs, hint }) => {
    const error = await refusal({ fs }, "WorkspaceUnusable");
    expect(error.hint).toContain(hint);
    expect(readdirSync(folder)).toEqual([]);
    await (await take()).release();
  });

  it("durably is given back", async () => {
    await expect(take({ fs: failingFs("sync", 1, "EIO") })).rejects.toThrow("EIO");
    expect(readdirSync(folder)).toEqual([]);
  });

  it("without its own file, which a holder has cleaned away, is another one's", async () => {
    const fs = changedFs({
      async writeNew(file, text) {
        await nodeFs.writeNew(file, text);
        await nodeFs.unlink(file);
      },
    });
    expect((await refusal({ fs })).message).toContain("another process");
  });
});

it("a lock whose making was answered as failed is recognized", async () => {
  const fs = changedFs({
    async link(from, to) {
      await nodeFs.link(from, to);
      await fail("EEXIST");
    },
  });
  const lock = await take({ fs });
  await lock.assertHeld();
  expect((await readOwner(nodeFs, path))?.nonce).toBe(lock.nonce);
  expect(readdirSync(folder)).toEqual(["lock"]);
});

describe("several locks", () => {
  const both = (): readonly [string, string] => [path, join(folder, "second")];
  const takeBoth = (): Promise<Lock> =>
    takeLocks({ fs: nodeFs, processes: hostProcesses, root: "/data/events", since: "now" }, both());

  it("are taken and released as one", async () => {
    const lock = await takeBoth();
    expect((await readOwner(nodeFs, path))?.nonce).toBe(lock.nonce);
    await lock.assertHeld();
    await lock.release();
    expect(readdirSync(folder)).toEqual([]);
  });

  it.each([0, 1])("are refused and none is kept where number %i is held", async (index) => {
    const other = await take({ path: both()[index] ?? "" });
    await expect(takeBoth()).rejects.toMatchObject({ code: "Locked" });
    expect(readdirSync(folder)).toHaveLength(1);
    await other.assertHeld();
  });

  it.each([0, 1])("are lost where number %i is", async (index) => {
    const lock = await takeBoth();
    rmSync(both()[index] ?? "");
    await expect(lock.assertHeld()).rejects.toThrow("was taken away");
    await lock.release();
    expect(readdirSync(folder)).toEqual([]);
  });
});

describe("what contenders left behind", () => {
  const self = (owner: LockOwner): LockOwner => ({ ...owner, pid: process.ppid, processStart: "" });
  const leftovers: readonly {
    readonly what: string;
    readonly name: string;
    readonly text: (dead: LockOwner) => string;
    readonly kept: boolean;
  }[] = [
    { what: "a dead one's file", name: nonceOf("a"), text: (dead) => JSON.stringify(dead), kept: false },
    { what: "an empty file", name: nonceOf("b"), text: () => "", kept: false },
    {
      what: "half a file",
      name: nonceOf("c"),
      text: (dead) => JSON.stringify(dead).slice(0, 40),
      kept: false,
    },
    {
      what: "a living one's file",
      name: nonceOf("d"),
      text: (dead) => JSON.stringify(self(dead)),
      kept: true,
    },
    { what: "a dead one's claim", name: "stale.dead", text: (dead) => JSON.stringify(dead), kept: false },
    {
      what: "a living one's claim",
      name: "stale.dead",
      text: (dead) => JSON.stringify(self(dead)),
      kept: true,
    },
    {
      what: "a claim of another host",
      name: "stale.dead",
      text: (dead) => JSON.stringify({ ...dead, host: "elsewhere" }),
      kept: true,
    },
    { what: "a claim that is garbage", name: "stale.dead", text: () => "garbage", kept: true },
    { what: "somebody's copy of a lock", name: "old", text: (dead) => JSON.stringify(dead), kept: true },
  ];
  it.each(leftovers)("as $what is cleaned by the next holder, or kept: $kept", async (row) => {
    const name = `lock.${row.name}`;
    writeFileSync(join(folder, name), row.text(await deadOwner()));
    const lock = await take();
    expect(readdirSync(folder)).toEqual(row.kept ? ["lock", name] : ["lock"]);
    await lock.release();
  });

  it("is no reason to refuse a run where it cannot be listed", async () => {
    await (await take({ fs: changedFs({ readdir: () => fail("EACCES") }) })).release();
  });
});

it("a slower contender never touches the lock of a faster one", async () => {
  plant(await deadOwner());
  const others: (Lock | null)[] = [];
  // The slower one has judged the dead owner's lock; before it acts, two faster ones come by.
  const fs = new Proxy(nodeFs, {
    get(target, name: keyof PublicationFs) {
      if (name !== "link") return target[name];
      return async (from: string, to: string): Promise<void> => {
        if (to !== path && others.length === 0) others.push(await take(), await take().catch(() => null));
        await target.link(from, to);
      };
    },
  });
  const slower = takeLock({ fs, processes: hostProcesses, path, root: "/data/events", since: "now" });
  await expect(slower).rejects.toThrow(`process ${process.pid}`);
  const [holder, refused] = others;
  expect(refused).toBeNull();
  await holder?.assertHeld();
  await holder?.release();
  expect(readdirSync(folder)).toEqual([]);
});

it("a takeover that its own taker did not live to end is taken over", async () => {
  const owner = await deadOwner();
  plant(owner);
  writeFileSync(`${path}.stale.${owner.nonce}`, JSON.stringify({ ...owner, nonce: "second" }));
  writeFileSync(`${path}.stale.second`, JSON.stringify({ ...owner, nonce: "third" }));
  const lock = await take();
  expect(readdirSync(folder)).toEqual(["lock"]);
  await lock.release();
});

describe("a takeover under way", () => {
  it("by a living claimant is told with its name", async () => {
    const owner = await deadOwner();
    plant(owner);
    const claimant = { ...(await describeSelf()), nonce: "second", since: "later" };
    writeFileSync(`${path}.stale.dead`, JSON.stringify(claimant));
    expect((await refusal()).message).toContain(`process ${process.pid} on ${claimant.host} since later`);
    expect(readdirSync(folder)).toEqual(["lock", "lock.stale.dead"]);
  });

  it("that fails leaves the dead owner's lock and the claims of others as they were", async () => {
    const owner = await deadOwner();
    plant(owner);
    writeFileSync(`${path}.stale.dead`, JSON.stringify({ ...owner, nonce: "second" }));
    const fs = changedFs({ unlink: (file) => (file === path ? fail("EIO") : nodeFs.unlink(file)) });
    await expect(take({ fs })).rejects.toThrow("EIO");
    expect(readdirSync(folder)).toEqual(["lock", "lock.stale.dead"]);
    await (await take()).release();
    expect(readdirSync(folder)).toEqual([]);
  });

  it("waits while the owner is not provably dead", async () => {
    plant(await deadOwner());
    const processes: Processes = { ...hostProcesses, isDead: async () => false };
    await refusal({ processes });
    expect(readdirSync(folder)).toEqual(["lock"]);
  });
});

describe("of many contenders", () => {
  const contenders = Array.from({ length: 16 }, (_, index) => index);

  it("one at a time holds the lock", async () => {
    let holders = 0;
    let taken = 0;
    const contend = async (): Promise<void> => {
      for (let attempt = 0; attempt < 3; attempt += 1) {
        const lock = await take().catch(() => null);
        if (lock === null) continue;
        holders += 1;
        taken += 1;
        expect(holders).toBe(1);
        await lock.assertHeld();
        holders -= 1;
        await lock.release();
      }
    };
    await Promise.all(contenders.map(contend));
    expect(taken).toBeGreaterThan(0);
    expect(readdirSync(folder)).toEqual([]);
  });

  it("one takes over what a dead owner left", async () => {
    const owner = await deadOwner();
    for (let round = 0; round < 10; round += 1) {
      plant(owner);
      const locks = await Promise.all(contenders.map(() => take().catch(() => null)));
      const takers = locks.filter((lock) => lock !== null);
      expect(takers).toHaveLength(1);
      await takers[0]?.assertHeld();
      await takers[0]?.release();
      expect(readdirSync(folder)).toEqual([]);
    }
  });
});

describe("a lock whose files could not be removed", () => {
  it("is held all the same where its own file stayed, and leaves nothing once it is released", async () => {
    const fs = failingFs("unlink", 1, "EIO");
    const lock = await takeLock({ fs, processes: hostProcesses, path, root: "/data/events", since: "now" });
    expect(readdirSync(folder)).toHaveLength(2);
    await refusal();
    await lock.assertHeld();
    await lock.release();
    expect(readdirSync(folder)).toEqual([]);
  });

  it("does not lock out its own process once it was released", async () => {
    const fs = failingFs("unlink", 2, "EIO");
    const lock = await takeLock({ fs, processes: hostProcesses, path, root: "/data/events", since: "now" });
    await lock.release();
    expect(existsSync(path)).toBe(true);
    const next = await take();
    await next.assertHeld();
    await next.release();
    expect(readdirSync(folder)).toEqual([]);
  });
});

it("a claim that could not be removed goes with the next holder of the same process", async () => {
  plant(await deadOwner());
  // The first unlink takes the dead owner's lock away, the second its claim.
  const fs = failingFs("unlink", 2, "EIO");
  const lock = await takeLock({ fs, processes: hostProcesses, path, root: "/data/events", since: "now" });
  expect(readdirSync(folder)).toEqual(["lock", "lock.stale.dead"]);
  await refusal();
  await lock.release();
  await (await take()).release();
  expect(readdirSync(folder)).toEqual([]);
});
