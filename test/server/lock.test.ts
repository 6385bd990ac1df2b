import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { TampError } from "../../server/src/errors.ts";
import { nodeFs, type PublicationFs } from "../../server/src/fs.ts";
import { type Lock, type LockOwner, readOwner, takeLock } from "../../server/src/lock.ts";
import { hostProcesses } from "../../server/src/processes.ts";

let folder: string;
let path: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "tamp-lock-"));
  path = join(folder, "lock");
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const take = (): Promise<Lock> =>
  takeLock({ fs: nodeFs, processes: hostProcesses, path, root: "/data/events", since: "now" });

async function refusal(): Promise<TampError> {
  const error: unknown = await take().then(
    () => null,
    (reason: unknown) => reason,
  );
  if (!(error instanceof TampError)) throw new Error(`the lock was not refused: ${String(error)}`);
  expect(error.code).toBe("Locked");
  return error;
}

/** This process as the lock describes it. */
async function describeSelf(): Promise<LockOwner> {
  const lock = await take();
  const owner = await readOwner(nodeFs, path);
  await lock.release();
  if (owner === null) throw new Error("no owner");
  return owner;
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
      ["bootId", "host", "nonce", "pid", "pidNamespace", "processStart", "root", "since", "uid"].sort(),
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

  const dead: readonly { readonly what: string; readonly change: Partial<LockOwner> }[] = [
    { what: "a process whose id another one has now", change: { pid: process.pid, processStart: "1" } },
    { what: "an earlier boot of this machine", change: { bootId: "another", pid: process.pid } },
  ];
  it.each(dead)("by $what is taken over", async ({ change }) => {
    const owner = { ...(await deadOwner()), ...change };
    expect(await hostProcesses.isDead(owner)).toBe(true);
    plant(owner);
    await (await take()).release();
  });

  const alive: readonly { readonly what: string; readonly change: Partial<LockOwner> }[] = [
    { what: "another host", change: { host: "elsewhere" } },
    { what: "another host and boot", change: { host: "elsewhere", bootId: "another" } },
    { what: "another PID namespace", change: { pidNamespace: "pid:[1]" } },
    { what: "a boot that is not known", change: { bootId: "" } },
  ];
  it.each(alive)("by $what is never taken over", async ({ change }) => {
    const owner = { ...(await deadOwner()), ...change };
    plant(owner);
    expect((await refusal()).message).toContain(`process ${owner.pid} on ${owner.host}`);
    expect(await readOwner(nodeFs, path)).toEqual(owner);
    expect(readdirSync(folder)).toEqual(["lock"]);
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
