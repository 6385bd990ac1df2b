import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";

import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { JournalRecord } from "@tamp/core";
import { afterEach, describe, expect, it } from "vitest";
import type { TampError } from "../../server/src/errors.ts";
import { nodeFs, type PublicationFs } from "../../server/src/fs.ts";
import { writeJournal } from "../../server/src/journal.ts";
import { takeLock } from "../../server/src/lock.ts";
import { maintain } from "../../server/src/maintain.ts";
import { groupFolder, locateWorkspace, type Workspace } from "../../server/src/workspace.ts";
import { testPorts } from "../support/ports.ts";

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});

/** `data` with `data/part` in a folder of its own. */
function newRoot(): string {
  const folder = mkdtempSync(join(tmpdir(), "tamp-maintain-"));
  folders.push(folder);
  const root = join(folder, "data");
  mkdirSync(join(root, "part"), { recursive: true });
  return root;
}

const RECORD: JournalRecord = {
  version: 1,
  runId: "r1",
  group: 1,
  groupsInRun: 1,
  planId: "p1",
  operation: "compact",
  state: "PREPARED",
  stateSince: "2026-01-01T00:00:00.000Z",
  root: { path: "", device: "", inode: "" },
  owner: "",
  startedAt: "",
  engine: "",
  partition: "",
  sources: [],
  outputs: [],
  rowGroupsBefore: 0,
  duplicateWindowMs: 0,
};

function rootOf({ root, rootDevice, rootInode }: Workspace): JournalRecord["root"] {
  return { path: root, device: rootDevice, inode: rootInode };
}

const nothing = async (): Promise<string> => "done";

const work = (root: string, workspace: string | null = null, fs: PublicationFs = nodeFs): Promise<string> =>
  maintain({ ports: testPorts({ fs }), root, workspace }, nothing);

describe("roots that share files", () => {
  it("are not maintained at once, also when both begin in the same moment", async () => {
    const root = newRoot();
    const above = await locateWorkspace(nodeFs, root, null);
    let planted = false;
    const fs = new Proxy(nodeFs, {
      get(target, name: keyof PublicationFs) {
        if (name !== "link") return target[name];
        return async (from: string, to: string): Promise<void> => {
          if (!planted && to.endsWith("/lock")) {
            planted = true;
            mkdirSync(dirname(above.lock), { recursive: true });
            await takeLock({ ...testPorts(), path: above.lock, root, since: "now" });
          }
          await target.link(from, to);
        };
      },
    });
    await expect(work(join(root, "part"), null, fs)).rejects.toMatchObject({ code: "Locked" });
    expect(existsSync(join(root, ".part.tamp", "lock"))).toBe(false);
  });
});

describe("a workspace", () => {
  it.each(["", "part", "part/deep"])(
    "inside the dataset (%j) is refused, and nothing is made there",
    async (at) => {
      const root = newRoot();
      await expect(work(root, join(root, at))).rejects.toMatchObject({ code: "WorkspaceUnusable" });
      expect(readdirSync(root, { recursive: true })).toEqual(["part"]);
    },
  );

  it("may be .tamp in the root, when asked for", async () => {
    const root = newRoot();
    expect(await work(root, join(root, ".tamp"))).toBe("done");
  });

  it("of somebody else, whose journals nobody should follow, is refused", async () => {
    const root = newRoot();
    const fs = new Proxy(nodeFs, {
      get(target, name: keyof PublicationFs) {
        if (name !== "lstat") return target[name];
        return async (path: string) => {
          const entry = await target.lstat(path);
          return entry !== null && path.endsWith("/runs") ? { ...entry, uid: 54_321 } : entry;
        };
      },
    });
    await expect(work(root, null, fs)).rejects.toMatchObject({ code: "WorkspaceUnusable" });
  });
});

describe("another workspace", () => {
  it("is recovered from whichever workspace the next run is given", async () => {
    const root = newRoot();
    const elsewhere = join(dirname(root), "elsewhere");
    await work(root, elsewhere);
    const begun = groupFolder(await locateWorkspace(nodeFs, root, elsewhere), "r1", 1);
    mkdirSync(begun.path, { recursive: true });
    const recovered = await maintain(
      { ports: testPorts(), root, workspace: null },
      async (held) => held.recovered,
    );
    expect(recovered.map(({ action }) => action)).toEqual(["discard"]);
    expect(existsSync(begun.path)).toBe(false);
    rmSync(elsewhere, { recursive: true });
    // What was interrupted in it cannot be known: a person must say that it is gone for good.
    const refused = await work(root).catch((error: unknown) => error);
    expect(refused).toMatchObject({ code: "WorkspaceUnusable", message: expect.stringContaining(elsewhere) });
    const [, record = ""] = /delete the file (\S+)$/.exec((refused as TampError).hint) ?? [];
    rmSync(record);
    expect(await work(root)).toBe("done");
  });

  it("of the name that the root had before is found beside it", async () => {
    const root = newRoot();
    await work(root);
    const before = await locateWorkspace(nodeFs, root, null);
    const folder = groupFolder(before, "r1", 1);
    mkdirSync(folder.path, { recursive: true });
    await writeJournal(nodeFs, folder, { ...RECORD, root: rootOf(before) });
    const renamed = `${root}-renamed`;
    renameSync(root, renamed);
    // A run that began under the old name may still be under way.
    const lock = await takeLock({ ...testPorts(), path: before.lock, root, since: "now" });
    await expect(work(renamed)).rejects.toMatchObject({ code: "Locked" });
    await lock.release();
    const { recovered } = await maintain(
      { ports: testPorts(), root: renamed, workspace: null },
      async (held) => held,
    );
    expect(recovered).toMatchObject([{ runId: "r1", action: "discard" }]);
    // A root that is there keeps its own home to itself.
    mkdirSync(root);
    await writeJournal(nodeFs, folder, { ...RECORD, root: rootOf(before) });
    const again = await maintain(
      { ports: testPorts(), root: renamed, workspace: null },
      async (held) => held,
    );
    expect(again.recovered).toEqual([]);
  });

  it("may be shared by several roots, each with a folder of its own", async () => {
    const [one, two] = [newRoot(), newRoot()];
    const shared = join(dirname(one), "shared");
    await work(one, shared);
    await work(two, shared);
    expect(readdirSync(shared)).toHaveLength(2);
    const begun = groupFolder(await locateWorkspace(nodeFs, one, shared), "r1", 1);
    mkdirSync(begun.path, { recursive: true });
    const { recovered } = await maintain(
      { ports: testPorts(), root: two, workspace: shared },
      async (held) => held,
    );
    expect(recovered).toEqual([]);
    expect(existsSync(begun.path)).toBe(true);
  });
});

describe("a folder of a run that began", () => {
  it.each([
    { what: "a record that is null", body: "null" },
    { what: "a record without lists", body: '{"version":1,"runId":"r1","group":1,"root":{}}' },
  ])("is quarantined for $what, with a right checksum", async ({ body }) => {
    const root = newRoot();
    await work(root);
    const workspace = await locateWorkspace(nodeFs, root, null);
    const folder = groupFolder(workspace, "r1", 1);
    mkdirSync(folder.path, { recursive: true });
    const { createHash } = await import("node:crypto");
    const sha256 = createHash("sha256").update(body).digest("hex");
    writeFileSync(folder.journal, `${JSON.stringify({ tampJournal: 1, sha256 })}\n${body}\n`);
    const recovered = await maintain(
      { ports: testPorts(), root, workspace: null },
      async (held) => held.recovered,
    );
    expect(recovered.map(({ action }) => action)).toEqual(["quarantine"]);
  });
});
