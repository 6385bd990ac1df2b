import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { nodeFs, type PublicationFs } from "../../server/src/fs.ts";
import { maintain } from "../../server/src/maintain.ts";
import { explore, newTally, record } from "../support/crash-explorer.ts";
import { truthOf } from "../support/crash-oracle.ts";
import { randomOf } from "../support/dice.ts";
import { fileText } from "../support/memory-engine.ts";
import {
  createFile,
  type Disk,
  type FileNode,
  find,
  GO,
  giveFile,
  renameFile,
  syncPath,
  writeFile,
} from "../support/memory-fs.ts";
import { diskWith, ROOT, USERS } from "../support/memory-machine.ts";
import { testPorts } from "../support/ports.ts";

let folder: string;

beforeEach(() => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), "tamp-durability-")));
  mkdirSync(join(folder, "data"));
});
afterEach(() => {
  vi.restoreAllMocks();
  rmSync(folder, { recursive: true, force: true });
});

/** Calls `told` with every file that Node fsyncs, as it is then. */
async function watchSyncs(told: (inode: number, sizeBytes: number) => void): Promise<void> {
  const handle = await open(folder);
  const prototype: FileHandle = Object.getPrototypeOf(handle);
  await handle.close();
  const { sync } = prototype;
  vi.spyOn(prototype, "sync").mockImplementation(async function (this: FileHandle) {
    const { ino, size } = await this.stat();
    told(ino, size);
    await sync.call(this);
  });
}

describe("the port to the real file system", () => {
  it("fsyncs what it has written, whole", async () => {
    const synced: number[] = [];
    await watchSyncs((_, sizeBytes) => synced.push(sizeBytes));
    const path = join(folder, "a");
    await nodeFs.writeNew(path, "twelve bytes");
    expect(readFileSync(path, "utf8")).toBe("twelve bytes");
    expect(synced).toEqual([12]);
  });

  it.each(["data", "file"])("fsyncs what it is asked to: %s", async (name) => {
    const path = join(folder, name);
    if (name === "file") await nodeFs.writeNew(path, "");
    const synced: string[] = [];
    await watchSyncs((inode) => synced.push(String(inode)));
    await nodeFs.sync(path);
    expect(synced).toEqual([(await nodeFs.lstat(path))?.inode]);
  });
});

/** The real file system, and the names made through it whose folder was not fsynced since. */
function lastingFs(): { readonly fs: PublicationFs; readonly unsure: ReadonlySet<string> } {
  const unsure = new Set<string>();
  const making = <T extends readonly unknown[]>(
    make: (...args: T) => Promise<void>,
    name: (...args: T) => string,
  ) => {
    return async (...args: T): Promise<void> => {
      await make(...args);
      unsure.add(name(...args));
    };
  };
  const fs: PublicationFs = {
    ...nodeFs,
    mkdir: making(nodeFs.mkdir, (path) => path),
    writeNew: making(nodeFs.writeNew, (path) => path),
    link: making(nodeFs.link, (_, to) => to),
    async rename(from, to) {
      await nodeFs.rename(from, to);
      unsure.delete(from);
      unsure.add(to);
    },
    async unlink(path) {
      await nodeFs.unlink(path);
      unsure.delete(path);
    },
    async sync(path) {
      await nodeFs.sync(path);
      for (const name of unsure) if (dirname(name) === path) unsure.delete(name);
    },
  };
  return { fs, unsure };
}

// A power cut in the work must leave the folders that recovery looks into, and the list of them.
it.each([null, "elsewhere/deep", "data/.tamp"])(
  "all names of the workspace %j are durable before work begins in it",
  async (asked) => {
    mkdirSync(join(folder, "elsewhere"));
    const { fs, unsure } = lastingFs();
    const workspace = asked === null ? null : join(folder, asked);
    const request = { ports: testPorts({ fs }), root: join(folder, "data"), workspace };
    const left = await maintain(request, async () => [...unsure]);
    expect(left).toEqual([]);
  },
);

/** Somebody else replaces a file by a rename, durably; answers the new one. */
function slipIn(disk: Disk, path: string): readonly [number, FileNode] {
  const { onChange } = disk;
  disk.onChange = () => {};
  createFile(disk, "/d/guest");
  writeFile(disk, "/d/guest", fileText(["guest"]));
  giveFile(disk, "/d/guest", USERS);
  syncPath(disk, "/d/guest");
  renameFile(disk, "/d/guest", path);
  for (const each of ["/d", dirname(path)]) syncPath(disk, each);
  disk.onChange = onChange;
  const inode = find(disk, path) ?? 0;
  return [inode, disk.nodes.get(inode) as FileNode];
}

it("a file that slips in as a source is retired has a name after every power cut", async () => {
  const path = `${ROOT}/b.parquet`;
  const image = diskWith({ "a.parquet": ["a"], "b.parquet": ["b"] });
  const before = truthOf(image);
  let truth = before;
  let disk: Disk | null = null;
  const groups = [{ inputs: ["a.parquet", "b.parquet"], outputRows: [2] }];
  const { moments } = await record(
    image,
    { kind: "run", groups },
    {
      boot: 1,
      pid: 10,
      truth: () => truth,
      onMachine: (machine) => {
        disk = machine.disk;
      },
      gate: (call, from) => {
        if (call !== "rename" || from !== path || disk === null) return GO;
        const kept = new Map([...before.kept].filter(([inode]) => inode !== find(image, path)));
        const [inode, { text, mtime }] = slipIn(disk, path);
        truth = {
          ...before,
          sure: new Set(["a"]),
          loose: new Set(["b"]),
          guests: new Set(["guest"]),
          kept: kept.set(inode, { text, mtime }),
          originals: null,
          mayQuarantine: true,
        };
        return GO;
      },
    },
  );
  expect(truth).not.toBe(before);
  const tally = newTally();
  const exploration = { mode: "renames_whole", crashes: 1, cutsPerMoment: 100, locks: false } as const;
  await explore(moments, { ...exploration, random: randomOf(1) }, tally);
  expect(tally.states).toBeGreaterThan(100);
});
