import { execFileSync, spawnSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  closeSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statfsSync,
  statSync,
  truncateSync,
  writeSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { type Digest, dataFiles, digestFiles } from "../../demo/digest.ts";
import { makeRoot, writeDataset } from "../support/dataset.ts";
import {
  filesBelow,
  hasEnded,
  stagedBytes,
  startServer,
  startTamp,
  until,
  workspaceOf,
  writeSlowFiles,
} from "../support/tamp-process.ts";

const NOBODY = 65_534;
const OVERLAP_MS = 1500;
const POLICY = { minFiles: 2, settleMs: 0, compression: "gzip" };
const FAST = ["--allow", "nullability", "--allow", "time-unit"];
const SLOW = ["--compression", "gzip"];

/** Whether this process may mount: as root, and not in a container that forbids it. */
const CAN_MOUNT = process.platform === "linux" && process.getuid?.() === 0 && mayMount();

function mayMount(): boolean {
  const folder = makeRoot();
  const mounted = spawnSync("mount", ["-t", "tmpfs", "tamp", folder]).status === 0;
  if (mounted) execFileSync("umount", [folder]);
  rmSync(folder, { recursive: true });
  return mounted;
}

let parent: string;
let root: string;
const mounts: string[] = [];

afterEach(() => {
  for (const mount of mounts.splice(0).reverse()) execFileSync("umount", ["--lazy", mount]);
  rmSync(parent, { recursive: true, force: true });
});

function mount(folder: string, options: string): void {
  mkdirSync(folder, { recursive: true });
  execFileSync("mount", ["-t", "tmpfs", "-o", options, "tamp", folder]);
  mounts.push(folder);
}

function remount(folder: string, options: string): void {
  execFileSync("mount", ["-o", `remount,${options}`, folder]);
}

/** Fills a file system to its last byte, beside the dataset. */
function fill(folder: string): void {
  const file = openSync(join(folder, "filler"), "w");
  const block = Buffer.alloc(64 * 1024);
  try {
    for (;;) writeSync(file, block);
  } catch {
    // Full.
  } finally {
    closeSync(file);
  }
}

interface Moment {
  readonly name: string;
  readonly reached: () => boolean;
}

const REWRITE: Moment = {
  name: "rewrite",
  reached: () => stagedBytes(root).some((bytes) => bytes > 500_000),
};
const OVERLAP: Moment = {
  name: "overlap",
  reached: () => filesBelow(root).some((path) => path.includes("compacted-")),
};

interface Fault {
  readonly name: string;
  /** Makes the disk on which the dataset will lie. */
  readonly disk?: () => void;
  /** Makes the fault, once the dataset is there. */
  readonly before?: () => void;
  /** Makes the fault in the middle of a run; its rewrite then takes a second. */
  readonly during?: readonly [Moment, () => void];
  readonly flags?: readonly string[];
  /** Programs that run `tamp`. */
  readonly prefix?: readonly string[];
  readonly code: number;
  readonly says: RegExp;
  /** Takes the fault away again, before recovery. */
  readonly after?: () => void;
  /** What the first recovery finds; nothing but for a run that could not end. */
  readonly recovers?: string;
  /** The whole dataset goes with the fault: nothing is left to compare. */
  readonly gone?: true;
}

/** Without a home of its own: there a lock may not lie either. */
const AS_NOBODY = [
  ...["setpriv", `--reuid=${NOBODY}`, `--regid=${NOBODY}`, "--clear-groups"],
  ...["env", "HOME=/nonexistent", "XDG_STATE_HOME="],
];
const disk = (): string => join(parent, "disk");

/** The dataset on a small file system of its own, whose root holds the workspace as well. */
function onDisk(options: string): () => void {
  return () => {
    mount(disk(), options);
    root = join(disk(), "data");
  };
}

function ownedByNobody(): void {
  chmodSync(parent, 0o755);
  for (const path of ["", ...filesBelow(root)]) chownSync(join(root, path), NOBODY, NOBODY);
}

const FULL_IN_THE_MIDDLE: Fault = {
  name: "a disk that fills up during the rewrite",
  disk: onDisk("size=64m"),
  during: [REWRITE, () => fill(disk())],
  code: 2,
  says: /the disk is full/,
  after: () => rmSync(join(disk(), "filler")),
};
const READ_ONLY_IN_THE_MIDDLE: Fault = {
  name: "a disk that becomes read-only during the overlap",
  disk: onDisk("size=64m"),
  during: [OVERLAP, () => remount(disk(), "ro")],
  code: 2,
  says: /read-only/,
  after: () => remount(disk(), "rw"),
  recovers: "recovered",
};

const MOUNTED: readonly Fault[] = [
  {
    name: "a disk without room for the outputs",
    disk: onDisk("size=3m"),
    before: () => {
      fill(disk());
      truncateSync(join(disk(), "filler"), statSync(join(disk(), "filler")).size - 32_768);
    },
    code: 2,
    says: /the run needs about .* are free/,
  },
  FULL_IN_THE_MIDDLE,
  {
    name: "a disk without room for another name",
    disk: onDisk("size=64m"),
    before: () => remount(disk(), `nr_inodes=${usedInodes() + 12}`),
    code: 2,
    says: /the disk is full/,
    after: () => remount(disk(), `nr_inodes=${usedInodes() + 1000}`),
  },
  {
    name: "a disk that is read-only",
    disk: onDisk("size=64m"),
    before: () => remount(disk(), "ro"),
    code: 2,
    says: /EROFS|read-only/,
    after: () => remount(disk(), "rw"),
  },
  READ_ONLY_IN_THE_MIDDLE,
  {
    name: "a workspace on another device",
    before: () => mount(disk(), "size=64m"),
    flags: ["--workspace", "DISK"],
    code: 2,
    says: /lies on another device than the dataset/,
  },
  {
    name: "a mount inside the dataset",
    before: () => {
      mount(join(root, "p=9"), "size=8m");
      writeDataset(root, { "p=9/1.parquet": { rows: 9 }, "p=9/2.parquet": { rows: 9 } });
    },
    code: 0,
    says: /2\s+other device/,
  },
  {
    name: "a directory that the user may not write",
    before: () => {
      ownedByNobody();
      chmodSync(parent, 0o777);
      chownSync(join(root, "p=1"), 0, 0);
    },
    prefix: AS_NOBODY,
    code: 2,
    says: /permission denied/,
  },
  {
    name: "a parent that the user may not write",
    before: ownedByNobody,
    prefix: AS_NOBODY,
    code: 2,
    says: /cannot be created \(EACCES\)/,
  },
  {
    name: "a directory that the user may not enter",
    before: () => {
      ownedByNobody();
      chmodSync(parent, 0o777);
      chownSync(join(root, "p=2"), NOBODY, NOBODY);
      chownSync(join(root, "p=1"), 0, 0);
      chmodSync(join(root, "p=1"), 0o700);
    },
    prefix: AS_NOBODY,
    code: 0,
    says: /p=1 cannot be listed \(EACCES\)/,
  },
];

function usedInodes(): number {
  const { files, ffree } = statfsSync(disk());
  return files - ffree;
}

const WORKSPACE_GONE_IN_REWRITE: Fault = {
  name: "the workspace deleted during the rewrite",
  during: [REWRITE, () => rmSync(workspaceOf(root), { recursive: true, force: true })],
  code: 2,
  says: /does not exist|no such file/,
};
const WORKSPACE_GONE_IN_OVERLAP: Fault = {
  name: "the workspace deleted during the overlap",
  during: [OVERLAP, () => rmSync(workspaceOf(root), { recursive: true, force: true })],
  code: 2,
  says: /compacted-\w+-0001\.parquet stands beside its originals.*: delete it/,
  after: () => {
    for (const path of outputs()) rmSync(join(root, path));
  },
};
const ROOT_RENAMED: readonly Fault[] = [REWRITE, OVERLAP].map((moment) => ({
  name: `the dataset renamed during the ${moment.name}`,
  during: [moment, () => renameSync(root, `${root}-moved`)],
  code: 2,
  says: /no such file|was removed|changed/,
  after: () => renameSync(`${root}-moved`, root),
  // What was linked is out of reach until the dataset is back.
  ...(moment === OVERLAP ? { recovers: "recovered" } : {}),
}));
const ROOT_DELETED: readonly Fault[] = [REWRITE, OVERLAP].map((moment) => ({
  name: `the dataset deleted during the ${moment.name}`,
  during: [moment, () => rmSync(root, { recursive: true, force: true })],
  code: 2,
  says: /no such file|was removed|changed/,
  gone: true,
}));
const GONE = [WORKSPACE_GONE_IN_REWRITE, WORKSPACE_GONE_IN_OVERLAP, ...ROOT_RENAMED, ...ROOT_DELETED];

const cases = (faults: readonly Fault[]) => faults.map((fault) => [fault.name, fault] as const);

describe("tamp compact meets", () => {
  it.each(cases(GONE))("%s", (_name, fault) => checkCommand(fault));
  it.skipIf(process.platform !== "linux").each([22, 26])(
    "%s file descriptors at most (prlimit: Linux only)",
    async (most) => {
      await checkCommand({
        name: "",
        prefix: ["prlimit", `--nofile=${most}`],
        code: 2,
        says: /EMFILE|too many open files/i,
      });
    },
  );
});

describe.skipIf(!CAN_MOUNT)("tamp compact meets, by root who may mount and become another user,", () => {
  it.each(cases(MOUNTED))("%s", (_name, fault) => checkCommand(fault));
});

describe("the daemon answers after", () => {
  it.each(cases(GONE))("%s", (_name, fault) => checkDaemon(fault));
});

describe.skipIf(!CAN_MOUNT)("the daemon, started by root who may mount, answers after", () => {
  it.each(cases([FULL_IN_THE_MIDDLE]))("%s", (_name, fault) => checkDaemon(fault));
});

interface Scene {
  readonly rows: Digest;
  readonly before: ReadonlyMap<string, string>;
}

async function makeScene(fault: Fault): Promise<Scene> {
  parent = makeRoot();
  root = join(parent, "data");
  fault.disk?.();
  const slow = fault.during !== undefined;
  if (slow) await writeSlowFiles(join(root, "p=1"), 4, 60_000);
  const partitions = slow ? [] : ["p=1", "p=2"];
  writeDataset(
    root,
    Object.fromEntries(
      partitions.flatMap((path) =>
        [1, 2, 3].map((n) => [`${path}/${n}.parquet`, { rows: 900, from: n * 900 }]),
      ),
    ),
  );
  writeDataset(root, { "alone/_1.parquet": { rows: 5 }, "notes.txt": Buffer.from("not ours") });
  fault.before?.();
  const readable = dataFiles(root);
  return { rows: await digestFiles(readable), before: prints() };
}

async function checkCommand(fault: Fault): Promise<void> {
  const scene = await makeScene(fault);
  const flags = (fault.flags ?? []).map((flag) => flag.replace("DISK", disk()));
  const policy = ["--settle", "0", "--min-files", "2", ...(fault.during === undefined ? FAST : SLOW)];
  const args = ["compact", root, "--yes", "--overlap", `${OVERLAP_MS}ms`, ...policy, ...flags];
  const running = startTamp(args, {}, fault.prefix);
  if (fault.during !== undefined) {
    const [moment, act] = fault.during;
    await until(moment.reached, running.child);
    expect(hasEnded(running.child)).toBe(false);
    act();
  }
  const { code, out, err } = await running.finished;
  const told = `${out}\n${err}`.replaceAll(/\s+/g, " ");
  expect(code, told).toBe(fault.code);
  expect(told).toMatch(fault.says);
  if (code !== 0) {
    expect(err).toContain("not done");
    expect(err).toContain("next step");
  }
  fault.after?.();
  if (fault.gone === true) return;
  expect(await recovered()).toBe(fault.recovers ?? "nothing_to_do");
  await expectBeforeOrAfter(scene, code === 0);
  expect(await recovered()).toBe("nothing_to_do");
}

async function recovered(): Promise<string> {
  const { out } = await startTamp(["recover", root, "--json"]).finished;
  return JSON.parse(out).kind ?? out;
}

async function checkDaemon(fault: Fault): Promise<void> {
  const scene = await makeScene(fault);
  const { client, child, exited } = await startServer(null, fault.prefix);
  try {
    await client.request("tamp/dataset/open", { dataset: root, policy: POLICY, watch: false });
    const { planId } = await client.request("tamp/plan", { dataset: root, operation: "compact", sync: true });
    const answer = client
      .request("tamp/execute", { dataset: root, planId, overlapMs: OVERLAP_MS })
      .catch((error: unknown) => ({ kind: "failed", reason: String(error) }));
    const [moment, act] = fault.during ?? [OVERLAP, () => {}];
    await until(moment.reached, child);
    act();
    const { kind, reason } = await answer;
    expect(kind).not.toBe("published");
    expect(reason).toMatch(fault.says);
    fault.after?.();
    const listed = await client.request("tamp/dataset/list", null);
    expect(listed.datasets).toHaveLength(1);
    if (fault.gone === true) return;
    const { kind: first } = await client.request("tamp/recover", { dataset: root });
    expect(first).toBe(fault.recovers ?? "nothing_to_do");
    await expectBeforeOrAfter(scene, false);
    expect((await client.request("tamp/recover", { dataset: root })).kind).toBe("nothing_to_do");
  } finally {
    await client.close();
    await exited;
  }
}

/** Whole as before, or with outputs in the place of sources; everything else untouched. */
async function expectBeforeOrAfter({ rows, before }: Scene, published: boolean): Promise<void> {
  const found = prints();
  const ours = outputs();
  for (const path of ours) found.delete(path);
  const replaced = new Set(ours.map((path) => dirname(path)));
  const kept = [...before].filter(([path]) => !replaced.has(dirname(path)));
  expect([...found]).toEqual(ours.length === 0 ? [...before] : kept);
  if (published) expect(ours.length).toBeGreaterThan(0);
  expect(await digestFiles(dataFiles(root))).toEqual(rows);
}

function outputs(): readonly string[] {
  return filesBelow(root).filter((path) => path.includes("compacted-"));
}

/** Inode, mtime and bytes of every file. */
function prints(): Map<string, string> {
  return new Map(
    filesBelow(root).map((path) => {
      const { ino, mtimeNs } = statSync(join(root, path), { bigint: true });
      return [path, `${ino} ${mtimeNs} ${readFileSync(join(root, path)).toString("base64")}`];
    }),
  );
}
