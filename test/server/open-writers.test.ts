import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, linkSync, lstatSync, openSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { nodeFs } from "../../server/src/fs.ts";
import { createOpenWriters } from "../../server/src/open-writers.ts";
import { createTestBench, type TestBench } from "../support/daemon.ts";
import { makeRoot, writeDataset } from "../support/dataset.ts";

const ends: (() => void)[] = [];

afterEach(() => {
  for (const end of ends.splice(0).reverse()) end();
});

function newFolder(): string {
  const folder = makeRoot();
  ends.push(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

function newFile(): string {
  const path = join(newFolder(), "a.parquet");
  writeFileSync(path, "rows");
  return path;
}

/** Another process that holds `path` open by a shell's redirection. */
async function opened(path: string, redirection: string): Promise<ChildProcess> {
  const script = `exec 3${redirection}"$1"; echo open; read line`;
  const child = spawn("sh", ["-c", script, "sh", path], { stdio: ["pipe", "pipe", "inherit"] });
  ends.push(() => child.kill());
  await once(child.stdout, "data");
  return child;
}

async function writerOf(path: string): Promise<number | null | undefined> {
  const entry = await nodeFs.lstat(path);
  if (entry === null) throw new Error(`${path} is gone`);
  const [pid] = await createOpenWriters(() => performance.now())([entry]);
  return pid;
}

describe.skipIf(process.platform !== "linux")("the writers of a file (/proc: Linux only)", () => {
  it.each([
    { how: "to append", redirection: ">>" },
    { how: "to write", redirection: ">" },
    { how: "to read and write", redirection: "<>" },
  ])("are found where it is open $how", async ({ redirection }) => {
    const path = newFile();
    const child = await opened(path, redirection);
    expect(await writerOf(path)).toBe(child.pid);
    child.kill();
    await once(child, "exit");
    expect(await writerOf(path)).toBe(null);
  });

  it("are not those that only read it", async () => {
    const path = newFile();
    await opened(path, "<");
    expect(await writerOf(path)).toBe(null);
  });

  it("are found under another name of it, and where that name is gone", async () => {
    const path = newFile();
    linkSync(path, `${path}.other`);
    const child = await opened(`${path}.other`, ">>");
    expect(await writerOf(path)).toBe(child.pid);
    rmSync(`${path}.other`);
    expect(await writerOf(path)).toBe(child.pid);
  });

  it("are told for each of many files, and not for one with the same inode elsewhere", async () => {
    const [first, second] = [newFile(), newFile()];
    const child = await opened(second, ">>");
    const entries = [lstatSync(first), lstatSync(second)].map(({ dev, ino }) => [String(dev), String(ino)]);
    const files = entries.map(([device = "", inode = ""]) => ({ device, inode }));
    const elsewhere = files.map((file) => ({ ...file, device: "elsewhere" }));
    const find = createOpenWriters(() => performance.now());
    expect(await find([...files, ...elsewhere])).toEqual([null, child.pid, null, null]);
  });

  it("are looked for again only after ten times as long as a look took", async () => {
    const path = newFile();
    const entry = await nodeFs.lstat(path);
    if (entry === null) throw new Error("no file");
    const times = [0, 5, 54, 55, 55, 60];
    const find = createOpenWriters(() => times.shift() ?? Number.NaN);
    expect(await find([entry])).toEqual([null]);
    const fd = openSync(path, "a");
    ends.push(() => closeSync(fd));
    expect(await find([entry])).toEqual([null]);
    expect(await find([entry])).toEqual([process.pid]);
  });
});

describe("a run", () => {
  let bench: TestBench;
  beforeAll(async () => {
    bench = await createTestBench();
  });
  afterAll(() => bench.dispose());

  it("gives up the group with a source that is open for writing, and no other", async () => {
    const root = newFolder();
    ends.push(() => rmSync(join(dirname(root), `.${basename(root)}.tamp`), { recursive: true, force: true }));
    writeDataset(
      root,
      Object.fromEntries(["a/1", "a/2", "b/1", "b/2"].map((name) => [`${name}.parquet`, { rows: 9 }])),
    );
    const written = lstatSync(join(root, "a/2.parquet"));
    const client = await bench.start({
      ports: {
        openWriters: async (files) =>
          files.map(({ device, inode }) =>
            device === String(written.dev) && inode === String(written.ino) ? 4711 : null,
          ),
      },
    });
    const policy = { minFiles: 2, settleMs: 0, allow: ["nullability", "time-unit"] };
    await client.request("tamp/dataset/open", { dataset: root, policy, watch: false });
    const { planId } = await client.request("tamp/plan", { dataset: root, operation: "compact", sync: true });
    const result = await client.request("tamp/execute", { dataset: root, planId, overlapMs: 0 });
    expect(result).toMatchObject({
      kind: "partly_published",
      reason: "a/2.parquet is open for writing by process 4711",
      groups: [{ partition: "a", kind: "rolled_back" }, { kind: "published" }],
    });
    // Given up before it was pinned: a link would have changed the ctime.
    const { ino, ctimeMs } = written;
    expect(lstatSync(join(root, "a/2.parquet"))).toMatchObject({ ino, ctimeMs });
    expect((await client.request("tamp/recover", { dataset: root })).kind).toBe("nothing_to_do");
  });
});
