import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Entry, nodeFs, type PublicationFs } from "../../server/src/fs.ts";
import { type Maintenance, maintain } from "../../server/src/maintain.ts";
import {
  allWorkspaces,
  findHome,
  groupFolder,
  locateWorkspace,
  type Workspace,
} from "../../server/src/workspace.ts";
import { testPorts } from "../support/ports.ts";

let folder: string;
let root: string;
let state: string;

beforeEach(() => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), "tamp-workspace-")));
  root = join(folder, "data");
  state = join(folder, "state", "tamp");
  mkdirSync(join(root, "part"), { recursive: true });
});
afterEach(() => rmSync(folder, { recursive: true }));

const inside = (): string => join(root, ".tamp");
const sibling = (): string => join(folder, ".data.tamp");

/** The real file system on which `path` cannot be made, as where its parent belongs to somebody else. */
function forbidding(path: string, code = "EACCES"): PublicationFs {
  return {
    ...nodeFs,
    mkdir: (made) => (made === path ? fail(code) : nodeFs.mkdir(made)),
  };
}

function fail(code: string): Promise<never> {
  return Promise.reject(Object.assign(new Error(`${code}: planted`), { code }));
}

interface Work {
  readonly fs?: PublicationFs;
  readonly at?: string;
  readonly workspace?: string | null;
  readonly stateFolder?: string | null;
}

/** Work under the lock; answers what `within` does while it is held. */
function work<T>(
  { fs = nodeFs, at = root, workspace = null, stateFolder = state }: Work,
  within: (held: Maintenance) => Promise<T>,
): Promise<T> {
  return maintain({ ports: testPorts({ fs, stateFolder }), root: at, workspace }, within);
}

const workspaceOf = (request: Work = {}): Promise<Workspace> => work(request, async (held) => held.workspace);

/** A group's folder in which a run began, and no more. */
function beginRun(workspace: Workspace): string {
  const { path } = groupFolder(workspace, "r1", 1);
  mkdirSync(path, { recursive: true });
  return path;
}

describe("the home of a root", () => {
  it("lies beside it, whatever workspace is given", async () => {
    expect(await workspaceOf()).toMatchObject({ home: sibling(), folder: sibling() });
    expect(await workspaceOf({ workspace: inside() })).toMatchObject({ home: sibling() });
    expect(existsSync(state)).toBe(false);
  });

  it.each(["EACCES", "EPERM", "EROFS", "ENAMETOOLONG"])(
    "lies in the state directory where that cannot be made (%s)",
    async (code) => {
      const { home, lock } = await workspaceOf({ fs: forbidding(sibling(), code), workspace: inside() });
      expect(dirname(home)).toBe(join(state, "roots"));
      expect(lock).toBe(join(home, "lock"));
      expect(readdirSync(home)).toEqual(["workspaces"]);
      expect(existsSync(sibling())).toBe(false);
    },
  );

  const refused: readonly { readonly what: string; readonly work: () => Work; readonly why: RegExp }[] = [
    {
      what: "no workspace is given",
      work: () => ({ fs: forbidding(sibling()) }),
      why: /\.data\.tamp cannot be used: it cannot be created \(EACCES\)$/,
    },
    {
      what: "there is no state directory",
      work: () => ({ fs: forbidding(sibling()), workspace: inside(), stateFolder: null }),
      why: /there is no state directory/,
    },
    {
      what: "the state directory cannot be made either",
      work: () => ({
        fs: {
          ...nodeFs,
          mkdir: (path) => (path === sibling() || path === state ? fail("EROFS") : nodeFs.mkdir(path)),
        },
        workspace: inside(),
      }),
      why: /state\/tamp cannot be used: it cannot be created \(EROFS\)/,
    },
    {
      what: "the disk is full",
      work: () => ({ fs: forbidding(sibling(), "ENOSPC"), workspace: inside() }),
      why: /ENOSPC/,
    },
    {
      what: "the sibling belongs to somebody else",
      work: () => {
        mkdirSync(sibling());
        const foreign = (path: string, entry: Entry | null): Entry | null =>
          entry === null || path !== sibling() ? entry : { ...entry, uid: 54_321 };
        const lstat = async (path: string): Promise<Entry | null> => foreign(path, await nodeFs.lstat(path));
        return { fs: { ...nodeFs, lstat }, workspace: inside() };
      },
      why: /\.data\.tamp cannot be used: it belongs to somebody else/,
    },
    {
      what: "the sibling is a file",
      work: () => {
        writeFileSync(sibling(), "");
        return { workspace: inside() };
      },
      why: /\.data\.tamp cannot be used: it is not a directory/,
    },
    {
      what: "the sibling is there, but may not be written",
      work: () => {
        mkdirSync(sibling());
        const writeNew = (path: string, text: string): Promise<void> =>
          dirname(path) === sibling() ? fail("EACCES") : nodeFs.writeNew(path, text);
        return { fs: { ...nodeFs, writeNew }, workspace: inside() };
      },
      why: /\.data\.tamp\/lock cannot be made \(EACCES\)/,
    },
  ];
  it.each(refused)("is refused where $what", async (row) => {
    const request = row.work();
    await expect(workspaceOf(request)).rejects.toMatchObject({
      code: "WorkspaceUnusable",
      message: expect.stringMatching(row.why),
      notDone: "no file was rewritten",
    });
    expect(existsSync(join(state, "roots"))).toBe(false);
  });

  it("tells to give a workspace where none is given", async () => {
    await expect(workspaceOf({ fs: forbidding(sibling()) })).rejects.toMatchObject({
      hint: expect.stringMatching(`--workspace .* such as ${inside()} `),
    });
  });

  it("that may not be looked into is told by its name", async () => {
    mkdirSync(sibling());
    const lstat = (path: string): Promise<Entry | null> =>
      dirname(path) === sibling() ? fail("EACCES") : nodeFs.lstat(path);
    const fs: PublicationFs = { ...nodeFs, lstat };
    const look = async (): Promise<unknown> => allWorkspaces(fs, await locateWorkspace(fs, root, inside()));
    await expect(look()).rejects.toMatchObject({
      code: "WorkspaceUnusable",
      message: expect.stringContaining(`${sibling()} cannot be used: EACCES`),
    });
  });

  it("in the state directory keeps its place when the device number changes", async () => {
    const before = await workspaceOf({ fs: forbidding(sibling()), workspace: inside() });
    const located = await locateWorkspace(nodeFs, root, inside());
    const after = await findHome(nodeFs, { ...located, rootDevice: "987654" }, state);
    expect(after.home).toBe(before.home);
  });

  it("is found by those who only look, and nothing is made", async () => {
    const look = async (): Promise<Workspace> =>
      findHome(nodeFs, await locateWorkspace(nodeFs, root, inside()), state);
    expect((await look()).home).toBe(sibling());
    expect(readdirSync(folder)).toEqual(["data"]);
    const { home } = await workspaceOf({ fs: forbidding(sibling()), workspace: inside() });
    expect((await look()).home).toBe(home);
    mkdirSync(sibling());
    expect((await look()).home).toBe(sibling());
  });

  it("beside the root of a file system is refused", async () => {
    await expect(locateWorkspace(nodeFs, "/", null)).rejects.toMatchObject({ code: "WorkspaceUnusable" });
  });
});

describe("names of 255 bytes", () => {
  it("as a root's have their home in the state directory", async () => {
    const long = join(folder, "n".repeat(255));
    mkdirSync(long);
    const { home } = await workspaceOf({ at: long, workspace: join(folder, "elsewhere") });
    expect(dirname(home)).toBe(join(state, "roots"));
    await expect(workspaceOf({ at: long })).rejects.toMatchObject({ code: "WorkspaceUnusable" });
  });

  it("above a root hold no lock", async () => {
    const below = join(folder, "n".repeat(255), "below");
    mkdirSync(below, { recursive: true });
    expect((await workspaceOf({ at: below })).root).toBe(below);
  });
});

describe("two runs of one root", () => {
  const OTHER_STATE = "other";
  const pairs: readonly {
    readonly what: string;
    readonly first: () => Work;
    readonly second: () => Work;
    readonly lock: () => RegExp;
  }[] = [
    {
      what: "with two workspaces",
      first: () => ({ workspace: inside() }),
      second: () => ({ workspace: join(folder, "elsewhere") }),
      lock: () => /\.data\.tamp\/lock/,
    },
    {
      what: "of which one reaches it through a link",
      first: () => ({}),
      second: () => {
        symlinkSync(root, join(folder, "link"));
        return { at: join(folder, "link") };
      },
      lock: () => /\.data\.tamp\/lock/,
    },
    {
      what: "of which one spells it otherwise",
      first: () => ({}),
      second: () => ({ at: `${folder}//data/part/../` }),
      lock: () => /\.data\.tamp\/lock/,
    },
    {
      what: "of which only the later one may write beside it",
      first: () => ({ fs: forbidding(sibling()), workspace: inside() }),
      second: () => ({}),
      lock: () => /state\/tamp\/roots\/\w+\/lock/,
    },
    {
      what: "of two users or containers, which share a workspace",
      first: () => ({ fs: forbidding(sibling()), workspace: inside() }),
      second: () => ({
        fs: forbidding(sibling()),
        workspace: inside(),
        stateFolder: join(folder, OTHER_STATE),
      }),
      lock: () => /data\/\.tamp\/root-\d+\/lock/,
    },
  ];
  it.each(pairs)("$what exclude each other", async ({ first, second, lock }) => {
    // The second one's owner cannot be judged: the file that stands in its way is told.
    const processes = { ...testPorts().processes, isDead: async () => false };
    const here = await processes.self();
    const elsewhere = { ...processes, self: async () => ({ ...here, host: "elsewhere" }) };
    const later = second();
    const { fs = nodeFs, at = root, workspace = null, stateFolder = state } = later;
    const error = await work(first(), () =>
      maintain(
        { ports: testPorts({ fs, stateFolder, processes: elsewhere }), root: at, workspace },
        async () => null,
      ),
    ).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: "Locked", hint: expect.stringMatching(lock()) });
    expect(error).toMatchObject({
      message: expect.stringContaining(`process ${process.pid} on ${here.host}`),
    });
    await workspaceOf(later);
  });

  it("leave no lock behind", async () => {
    await workspaceOf({ workspace: inside() });
    const left = readdirSync(folder, { recursive: true, encoding: "utf8" });
    expect(left.filter((name) => basename(name).startsWith("lock"))).toEqual([]);
  });
});

describe("an interrupted run is recovered", () => {
  it("from a workspace of the home in the state directory, once there is one beside the root", async () => {
    const elsewhere = join(folder, "elsewhere");
    const begun = beginRun(await workspaceOf({ fs: forbidding(sibling()), workspace: elsewhere }));
    expect((await work({}, async (held) => held.recovered)).map(({ action }) => action)).toEqual(["discard"]);
    expect(existsSync(begun)).toBe(false);
  });

  it("from the workspace inside the root, when every home is lost", async () => {
    const begun = beginRun(await workspaceOf({ workspace: inside() }));
    rmSync(sibling(), { recursive: true });
    await workspaceOf({ workspace: join(folder, "elsewhere") });
    expect(existsSync(begun)).toBe(false);
  });

  it("from a shared workspace, when the root has another name by now", async () => {
    const elsewhere = join(folder, "elsewhere");
    const begun = beginRun(await workspaceOf({ workspace: elsewhere }));
    const renamed = join(folder, "renamed");
    renameSync(root, renamed);
    await workspaceOf({ at: renamed, workspace: elsewhere });
    expect(existsSync(begun)).toBe(false);
  });

  it("not where its record is damaged: that is told", async () => {
    await workspaceOf({ workspace: join(folder, "elsewhere") });
    for (const name of readdirSync(join(sibling(), "workspaces")))
      writeFileSync(join(sibling(), "workspaces", name), "{");
    await expect(workspaceOf()).rejects.toMatchObject({ code: "WorkspaceUnusable" });
  });
});

describe("a workspace that is given through a link", () => {
  it("into the dataset is refused, and nothing is made there", async () => {
    symlinkSync(join(root, "part"), join(folder, "link"));
    await expect(workspaceOf({ workspace: join(folder, "link", "deep") })).rejects.toMatchObject({
      code: "WorkspaceUnusable",
    });
    expect(readdirSync(root, { recursive: true })).toEqual(["part"]);
  });

  it("to its home is its home", async () => {
    symlinkSync(folder, join(folder, "link"));
    expect((await workspaceOf({ workspace: join(folder, "link", ".data.tamp") })).folder).toBe(sibling());
  });
});
