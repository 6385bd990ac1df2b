import { mkdirSync, mkdtempSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { JournalRecord, JournalState } from "@tamp/core";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { nodeFs } from "../../server/src/fs.ts";
import { writeJournal } from "../../server/src/journal.ts";
import { takeLock } from "../../server/src/lock.ts";
import { maintain } from "../../server/src/maintain.ts";
import { refuseSharedPartitions } from "../../server/src/neighbours.ts";
import {
  groupFolder,
  locateWorkspace,
  lockPlaces,
  prepareWorkspace,
  runFolder,
  type Workspace,
} from "../../server/src/workspace.ts";
import { testPorts } from "../support/ports.ts";

let root: string;
let state: string;

/** `data` holds `a` with `a/b`, and `c`. */
beforeEach(() => {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), "tamp-neighbours-")));
  root = join(folder, "data");
  state = join(folder, "state");
  mkdirSync(join(root, "a", "b"), { recursive: true });
  mkdirSync(join(root, "c"));
});
afterEach(() => rmSync(join(root, ".."), { recursive: true }));

const ports = () => testPorts({ stateFolder: state });

/** Begins to maintain `at`, as a run does whose plan has these partitions. */
function begin(at: string, partitions: readonly string[]): Promise<string> {
  const path = join(root, at);
  return maintain({ ports: ports(), root: path, workspace: null }, async (held) => {
    await refuseSharedPartitions(held, path, partitions);
    return "begun";
  });
}

const workspaceOf = async (at: string): Promise<Workspace> =>
  prepareWorkspace(nodeFs, await locateWorkspace(nodeFs, join(root, at), null));

async function interrupt(at: string, partition: string, last: JournalState): Promise<void> {
  const workspace = await workspaceOf(at);
  const group = groupFolder(workspace, "r1", 1);
  for (const path of [runFolder(workspace, "r1"), group.path]) mkdirSync(path);
  const record: Partial<JournalRecord> = {
    version: 1,
    runId: "r1",
    group: 1,
    groupsInRun: 1,
    state: last,
    root: { path: workspace.root, device: workspace.rootDevice, inode: workspace.rootInode },
    partition,
    sources: [],
    outputs: [],
  };
  await writeJournal(nodeFs, group, record as JournalRecord);
}

interface Row {
  /** The root that is maintained, or was when its process died, relative to `data`. */
  readonly other: string;
  readonly otherPartition: string;
  /** What is to begin then. */
  readonly at: string;
  readonly partitions: readonly string[];
}

const SHARED: readonly Row[] = [
  { other: "", otherPartition: "a/b", at: "a", partitions: ["b"] },
  { other: "", otherPartition: "a/b", at: "a/b", partitions: [""] },
  { other: "a", otherPartition: "b", at: "", partitions: ["a/b"] },
  { other: "a", otherPartition: "b", at: "", partitions: ["c", "a/b"] },
  { other: "a/b", otherPartition: "", at: "", partitions: ["a/b"] },
  { other: "a/b", otherPartition: "", at: "a", partitions: ["b"] },
];
const APART: readonly Row[] = [
  { other: "a", otherPartition: "b", at: "", partitions: ["c"] },
  { other: "a", otherPartition: "b", at: "c", partitions: [""] },
  { other: "a/b", otherPartition: "", at: "a", partitions: [""] },
];
const name = ({ other, at, partitions }: Row): string =>
  `data/${at} with a plan for ${JSON.stringify(partitions)} beside data/${other}`;

describe("while another root is maintained", () => {
  const hold = async (at: string, lock: string): Promise<() => Promise<void>> => {
    mkdirSync(join(lock, ".."), { recursive: true });
    const held = await takeLock({ ...ports(), path: lock, root: join(root, at), since: "now" });
    return () => held.release();
  };

  const homes = ["beside it", "in the state directory"].map((home, index) => ({ home, index }));
  describe.each(homes)("whose lock lies $home", ({ index }) => {
    it.each(SHARED.map((row) => [name(row), row] as const))("%s is refused", async (_name, row) => {
      const release = await hold(row.other, lockPlaces(join(root, row.other), state)[index] ?? "");
      await expect(begin(row.at, row.partitions)).rejects.toMatchObject({
        code: "Locked",
        message: `${join(root, row.other)} is being maintained by process ${process.pid} on ${(await ports().processes.self()).host} since now; it shares files with ${join(root, row.at)}`,
      });
      await release();
      expect(await begin(row.at, row.partitions)).toBe("begun");
    });

    it.each(APART.map((row) => [name(row), row] as const))("%s begins", async (_name, row) => {
      await hold(row.other, lockPlaces(join(root, row.other), state)[index] ?? "");
      expect(await begin(row.at, row.partitions)).toBe("begun");
    });
  });
});

describe("after a run of another root was interrupted", () => {
  const recover = (at: string): Promise<string> => begin(at, []);

  it.each(SHARED.map((row) => [name(row), row] as const))(
    "%s is refused until that is recovered",
    async (_name, row) => {
      await interrupt(row.other, row.otherPartition, "PREPARED");
      await expect(begin(row.at, row.partitions)).rejects.toMatchObject({
        code: "Locked",
        message: expect.stringContaining("run r1 of"),
        hint: `run \`tamp recover\` on ${join(root, row.other)} first`,
      });
      expect(await recover(row.at)).toBe("begun");
      await recover(row.other);
      expect(await begin(row.at, row.partitions)).toBe("begun");
    },
  );

  it.each(APART.map((row) => [name(row), row] as const))("%s begins", async (_name, row) => {
    await interrupt(row.other, row.otherPartition, "PREPARED");
    expect(await begin(row.at, row.partitions)).toBe("begun");
  });

  it("and has come to rest, nothing is refused", async () => {
    await interrupt("a", "b", "ROLLED_BACK");
    expect(await begin("", ["a/b"])).toBe("begun");
  });

  it("it is not recovered while a root below is maintained that holds the partition", async () => {
    await interrupt("", "a/b", "PREPARED");
    const { lock } = await workspaceOf("a");
    const held = await takeLock({ ...ports(), path: lock, root: join(root, "a"), since: "now" });
    await expect(recover("")).rejects.toMatchObject({ code: "Locked" });
    await held.release();
    expect(await recover("")).toBe("begun");
  });
});

it("a partition whose name has 255 bytes is shared with nobody", async () => {
  const partition = `a/${"n".repeat(255)}`;
  mkdirSync(join(root, partition));
  expect(await begin("", [partition])).toBe("begun");
});
