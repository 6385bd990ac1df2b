import {
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { JournalRecord, JournalState, PublicationStep } from "@tamp/core";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { nodeFs, type PublicationFs } from "../../server/src/fs.ts";
import { readableOf, readJournals, writeJournal } from "../../server/src/journal.ts";
import type { Ports } from "../../server/src/maintain.ts";
import { observe } from "../../server/src/observe.ts";
import { type PublishContext, performSteps } from "../../server/src/publish.ts";
import { purgeRuns } from "../../server/src/purge.ts";
import type { RunReport } from "../../server/src/run.ts";
import { undoRun } from "../../server/src/undo.ts";
import { groupFolder, locateWorkspace } from "../../server/src/workspace.ts";
import { Crash, crashingFs } from "../support/crashing-fs.ts";
import { testPorts } from "../support/ports.ts";
import {
  executeRows,
  maintainRows,
  planRows,
  type RowRun,
  readRows,
  writeRows,
} from "../support/row-files.ts";

const SOURCES = ["p/a.parquet", "p/b.parquet"];
const OTHERS = ["q/c.parquet", "q/d.parquet"];

let folder: string;
let root: string;

beforeEach(() => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), "tamp-guards-")));
  root = join(folder, "data");
  for (const path of [...SOURCES, ...OTHERS]) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeRows(join(root, path), [`${path} 1`, `${path} 2`]);
    utimesSync(join(root, path), 1_700_000_000, 1_700_000_000);
  }
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

type Hook = (method: keyof PublicationFs, paths: readonly string[]) => void;

/** The real file system; `hook` is called ahead of every call, and may throw in its place. */
function hooked(hook: Hook): PublicationFs {
  return new Proxy(nodeFs, {
    get(target, method: keyof PublicationFs) {
      const call = target[method] as (...args: unknown[]) => Promise<unknown>;
      return async (...args: unknown[]): Promise<unknown> => {
        hook(
          method,
          args.filter((each) => typeof each === "string"),
        );
        return call(...args);
      };
    },
  });
}

const names = (path: string): readonly string[] =>
  existsSync(path) ? readdirSync(path, { recursive: true, encoding: "utf8" }).sort() : [];
/** Names and contents of everything, the lock's own files left out. */
function tree(): ReadonlyMap<string, string> {
  const files = names(folder).filter((name) => statSync(join(folder, name)).isFile() && !/\/lock/.test(name));
  return new Map(
    files.map((name) => [name, `${statSync(join(folder, name)).ino} ${read(join(folder, name))}`]),
  );
}
const read = (path: string): string => readFileSync(path, "latin1");

/** Changes nothing but the time of the latest change (ctime). */
function touch(path: string): void {
  const { atime, mtime } = statSync(path);
  utimesSync(path, atime, mtime);
}

function replace(path: string): void {
  writeRows(`${path}.new`, ["another row"]);
  renameSync(`${path}.new`, path);
}

interface Scene {
  readonly context: PublishContext;
  readonly record: JournalRecord;
  readonly live: (index: number) => string;
  readonly trash: (index: number) => string;
  readonly output: string;
  readonly stage: string;
}

/** A run whose process is killed in it; nobody holds its lock any more. */
async function runUntilCrash(fs: PublicationFs): Promise<void> {
  await executeRows({ root, plan: planRows(root, [SOURCES]), ports: { fs } }).catch((error: unknown) => {
    if (!(error instanceof Crash)) throw error;
  });
  rmSync((await locateWorkspace(nodeFs, root, null)).lock, { force: true });
}

/** A group right after its COMMIT: the process was killed as it would have linked the output. */
async function committed(given: Partial<PublishContext> = {}): Promise<Scene> {
  let gone = false;
  const fs = hooked((method, [from]) => {
    gone ||= method === "link" && from?.endsWith(".pqstage") === true;
    if (gone) throw new Crash();
  });
  await runUntilCrash(fs);
  const workspace = await locateWorkspace(nodeFs, root, null);
  const [found] = readableOf(await readJournals(nodeFs, [workspace]));
  if (found?.record.state !== "COMMIT") throw new Error("the group is not committed");
  const { record, folder: group } = found;
  const context: PublishContext = {
    ...testPorts(),
    workspace,
    folder: group,
    overlapMs: 0,
    identity: "run",
    assertHeld: async () => {},
    ...given,
  };
  const at = (path: string | undefined): string => join(root, path ?? "");
  return {
    context,
    record,
    live: (index) => at(record.sources[index]?.path),
    trash: (index) => join(group.path, record.sources[index]?.trash ?? ""),
    output: at(record.outputs[0]?.path),
    stage: join(group.path, record.outputs[0]?.stage ?? ""),
  };
}

const RETIRE: PublicationStep = { kind: "retire_source", source: 0 };
const RESTORE: PublicationStep = { kind: "restore_source", source: 0 };
const LINK: PublicationStep = { kind: "link_output", output: 0 };
const WITHDRAW: PublicationStep = { kind: "withdraw_output", output: 0 };
const STRAY: PublicationStep = { kind: "return_stray", source: 0 };
const CHECK: PublicationStep = { kind: "check_source", source: 0 };
const CLEAN: PublicationStep = { kind: "clean" };

const perform = ({ context, record }: Scene, ...steps: readonly PublicationStep[]): Promise<JournalRecord> =>
  performSteps(context, record, steps);

describe("a step that finds something else than what was recorded fails and changes nothing", () => {
  const rows: readonly {
    readonly what: string;
    readonly before?: readonly PublicationStep[];
    readonly change: (scene: Scene) => void;
    readonly step: PublicationStep;
  }[] = [
    { what: "checking a source that was touched", change: ({ live }) => touch(live(0)), step: CHECK },
    { what: "checking a source that was replaced", change: ({ live }) => replace(live(0)), step: CHECK },
    { what: "retiring a source that was touched", change: ({ live }) => touch(live(0)), step: RETIRE },
    { what: "retiring a source that was replaced", change: ({ live }) => replace(live(0)), step: RETIRE },
    {
      what: "retiring to a name in the trash that is taken",
      change: ({ trash }) => writeFileSync(trash(0), "somebody else's"),
      step: RETIRE,
    },
    {
      what: "restoring to a name that is taken",
      before: [RETIRE],
      change: ({ live }) => writeFileSync(live(0), "somebody else's"),
      step: RESTORE,
    },
    {
      what: "linking to a name that is taken",
      change: ({ output }) => writeFileSync(output, "x"),
      step: LINK,
    },
    {
      what: "withdrawing an output that was replaced",
      before: [LINK],
      change: ({ output }) => replace(output),
      step: WITHDRAW,
    },
  ];
  it.each(rows)("$what", async ({ before = [], change, step }) => {
    const scene = await committed();
    await perform(scene, ...before);
    change(scene);
    const found = tree();
    await expect(perform(scene, step)).rejects.toThrow();
    expect(tree()).toEqual(found);
  });

  it("withdrawing an output that is replaced at that very moment", async () => {
    const scene = await committed();
    await perform(scene, LINK);
    const fs = hooked((method, [from]) => {
      if (method === "rename" && from === scene.output) replace(scene.output);
    });
    const raced = { ...scene, context: { ...scene.context, fs } };
    await expect(perform(raced, WITHDRAW)).rejects.toThrow("replaced at the moment");
    expect(readRows(scene.output)).toEqual(["another row"]);
  });
});

describe("a step that was done already, or in part, is done again", () => {
  const rows: readonly {
    readonly what: string;
    readonly before?: readonly PublicationStep[];
    readonly change: (scene: Scene) => void;
    readonly step: PublicationStep;
    readonly done: (scene: Scene) => boolean;
  }[] = [
    {
      what: "retiring a source that has its name in the trash",
      change: ({ live, trash }) => linkSync(live(0), trash(0)),
      step: RETIRE,
      done: ({ live, trash }) => !existsSync(live(0)) && existsSync(trash(0)),
    },
    {
      what: "restoring an original that has its name back",
      before: [RETIRE],
      change: ({ live, trash }) => linkSync(trash(0), live(0)),
      step: RESTORE,
      done: ({ live }) => existsSync(live(0)),
    },
    {
      what: "giving back a file that has its name back",
      before: [RETIRE],
      change: ({ live, trash }) => {
        replace(trash(0));
        linkSync(trash(0), live(0));
      },
      step: STRAY,
      done: ({ live, trash }) => readRows(live(0))[0] === "another row" && !existsSync(trash(0)),
    },
  ];
  it.each(rows)("$what", async ({ before = [], change, step, done }) => {
    const scene = await committed();
    await perform(scene, ...before);
    change(scene);
    await perform({ ...scene, context: { ...scene.context, identity: "later" } }, step);
    expect(done(scene)).toBe(true);
  });
});

describe("cleaning keeps", () => {
  const cleanAs = (scene: Scene, state: JournalState): Promise<JournalRecord> =>
    perform({ ...scene, record: { ...scene.record, state } }, CLEAN);

  it("a retained original whose live name is free", async () => {
    const scene = await committed();
    await perform(scene, RETIRE);
    await cleanAs(scene, "ROLLED_BACK");
    expect(names(dirname(scene.trash(0)))).toEqual(["000001.pqtrash"]);
  });

  it.each(["PURGED", "RETIRED"] as const)("a file of somebody else in the trash, after %s", async (state) => {
    const scene = await committed();
    await perform(scene, RETIRE);
    replace(scene.trash(0));
    await cleanAs(scene, state);
    expect(readRows(scene.trash(0))).toEqual(["another row"]);
  });
});

it.each([RETIRE, LINK, CHECK, CLEAN, { kind: "write_state", state: "RETIRED" } as const])(
  "a lock that is lost stops $kind",
  async (step) => {
    const lost = async (): Promise<void> => {
      throw new Error("the lock is lost");
    };
    const scene = await committed({ assertHeld: lost });
    const found = tree();
    await expect(perform(scene, step)).rejects.toThrow("the lock is lost");
    expect(tree()).toEqual(found);
  },
);

describe("another file is told from the recorded one by its", () => {
  const rows = [
    { field: "device", value: "4242", identity: "run" },
    { field: "inode", value: "4242", identity: "run" },
    { field: "sizeBytes", value: 1, identity: "run" },
    { field: "mtimeNs", value: "1", identity: "run" },
    { field: "footerHash", value: "00", identity: "later" },
  ] as const;
  it.each(rows)("$field", async ({ field, value, identity }) => {
    const { context, record } = await committed({ identity });
    const seen = async (change: object): Promise<readonly string[]> => {
      const sources = record.sources.map((source) => ({ ...source, ...change }));
      return (await observe(context, { ...record, sources })).sources.map(({ live }) => live);
    };
    expect(await seen({})).toEqual(["ours", "ours"]);
    expect(await seen({ [field]: value })).toEqual(["other", "other"]);
  });
});

describe("recovery touches nothing for a whole record that names", () => {
  const rows: readonly {
    readonly what: string;
    readonly change: (record: JournalRecord) => Partial<Record<keyof JournalRecord, unknown>>;
  }[] = [
    { what: "an unknown version", change: () => ({ version: 2 }) },
    { what: "another run", change: () => ({ runId: "another" }) },
    { what: "another group", change: () => ({ group: 2 }) },
    { what: "another root", change: (record) => ({ root: { ...record.root, inode: "4242" } }) },
    {
      what: "a pin outside of its folder",
      change: ({ sources }) => ({ sources: sources.map((source) => ({ ...source, pin: "../../x.pqsrc" })) }),
    },
    {
      what: "a trash outside of its folder",
      change: ({ sources }) => ({ sources: sources.map((source) => ({ ...source, trash: "/x.pqtrash" })) }),
    },
  ];
  it.each(rows)("$what", async ({ change }) => {
    const { context, record } = await committed();
    await writeJournal(nodeFs, context.folder, { ...record, ...(change(record) as object) });
    const found = tree();
    const recovered = await maintainRows(root, async (held) => held.recovered);
    expect(recovered.map(({ action }) => action)).toEqual(["quarantine"]);
    expect(tree()).toEqual(found);
  });
});

interface Watched {
  readonly report: RunReport;
  /** States that the journals of the run took, in their order. */
  readonly states: readonly string[];
  /** Calls that touched a live name. */
  readonly live: readonly string[];
}

/** A run over the first sources; `hook` is called ahead of every call. */
async function watchedRun(hook: Hook, given: Partial<RowRun> = {}): Promise<Watched> {
  const states: string[] = [];
  const live: string[] = [];
  const fs = hooked((method, paths) => {
    hook(method, paths);
    const [from = "", to = ""] = paths;
    if (method === "rename" && from.endsWith(".json.new"))
      states.push(String(/"state":"(\w+)"/.exec(read(from))?.[1]));
    const changes = method === "rename" ? [from, to] : method === "link" ? [to] : [];
    live.push(...changes.filter((path) => path.startsWith(`${root}/`)));
  });
  const ports: Partial<Ports> = { ...given.ports, fs };
  const report = await executeRows({ root, plan: planRows(root, [SOURCES]), ...given, ports });
  return { report, states, live };
}

const once = (act: () => void): (() => void) => {
  let acted = false;
  return () => {
    if (!acted) act();
    acted = true;
  };
};

describe("a source that somebody changes stops a run", () => {
  const source = (): string => join(root, SOURCES[1] ?? "");
  const atFolder = (act: () => void): Hook => {
    const first = once(act);
    return (method, [path]) => {
      if (method === "mkdir" && path?.endsWith("/0001") === true) first();
    };
  };
  const linkPartition = (): void => {
    renameSync(join(root, "p"), join(folder, "elsewhere"));
    symlinkSync(join(folder, "elsewhere"), join(root, "p"));
  };
  const rows: readonly {
    readonly when: string;
    readonly hook?: (act: () => void) => Hook;
    readonly afterRewrite?: (act: () => void) => () => void;
    readonly act: () => void;
    readonly states: readonly string[];
  }[] = [
    {
      when: "replaced before it is looked at (S1), with no record of it",
      hook: atFolder,
      act: () => replace(source()),
      states: ["ROLLED_BACK"],
    },
    {
      when: "moved behind a link before it is looked at (S1), with no record of it",
      hook: atFolder,
      act: linkPartition,
      states: ["ROLLED_BACK"],
    },
    {
      when: "replaced as it is pinned (S3), before anybody reads it",
      hook:
        (act) =>
        (method, [path]) => {
          if (method === "link" && path === source()) act();
        },
      act: () => replace(source()),
      states: ["PREPARED", "ROLLED_BACK"],
    },
    {
      when: "touched while it is read (S5), without a COMMIT",
      afterRewrite: (act) => act,
      act: () => touch(source()),
      states: ["PREPARED", "ROLLED_BACK"],
    },
    {
      when: "touched as COMMIT is written (S8), with no live name touched",
      hook:
        (act) =>
        (method, [path]) => {
          if (method === "rename" && path?.endsWith(".json.new") === true && /COMMIT/.test(read(path))) act();
        },
      act: () => touch(source()),
      states: ["PREPARED", "COMMIT", "ROLLED_BACK"],
    },
  ];
  it.each(rows)("$when", async ({ hook, afterRewrite, act, states }) => {
    let rewritten = false;
    const first = once(act);
    const watched = await watchedRun(hook?.(first) ?? (() => {}), {
      afterRewrite: () => {
        rewritten = true;
        afterRewrite?.(first)();
      },
    });
    expect(watched.report.kind).not.toBe("published");
    expect(watched.states).toEqual(states);
    expect(watched.live).toEqual([]);
    expect(rewritten).toBe(hook === undefined || states.includes("COMMIT"));
  });

  it("who has it open for writing", async () => {
    const openWriters: Ports["openWriters"] = async (files) => files.map(() => 4242);
    const { report, live } = await watchedRun(() => {}, { ports: { openWriters } });
    expect(report).toMatchObject({ kind: "rolled_back", reason: expect.stringContaining("process 4242") });
    expect(live).toEqual([]);
  });
});

it("a run that loses its lock stops where it is", async () => {
  const { lock } = await locateWorkspace(nodeFs, root, null);
  const before = names(root);
  const { report, states } = await watchedRun(() => {}, { afterRewrite: () => rmSync(lock) });
  expect(report.kind).toBe("unknown");
  expect(states).toEqual(["PREPARED", "COMMIT"]);
  expect(names(root)).toEqual(before);
});

it.each([1, 2])("a run that fails as it retires source %i goes back", async (nth) => {
  const before = tree();
  let renames = 0;
  const { report } = await watchedRun((method, [from]) => {
    if (method === "rename" && from?.startsWith(`${root}/`) === true) renames += 1;
    if (method === "rename" && renames === nth) {
      renames = Number.NaN;
      throw Object.assign(new Error("EIO: planted"), { code: "EIO" });
    }
  });
  expect(report.kind).toBe("rolled_back");
  for (const [path, print] of before) expect(tree().get(path)).toBe(print);
  expect(names(root)).toHaveLength(6);
});

describe("a plan", () => {
  it.each([false, true])(
    "that was carried out is refused, also when its run was purged: %s",
    async (purged) => {
      const plan = planRows(root, [SOURCES]);
      expect((await executeRows({ root, plan })).kind).toBe("published");
      if (purged) await maintainRows(root, (held) => purgeRuns(held, { kind: "all" }, false));
      const again = await executeRows({ root, plan });
      expect(again).toMatchObject({ kind: "refused", groups: [] });
      expect(again.reason).toContain("has carried out this plan");
    },
  );

  it("that was published in part is carried out for what is left", async () => {
    const plan = planRows(root, [SOURCES, OTHERS]);
    let rewrites = 0;
    const afterRewrite = (): void => {
      rewrites += 1;
      if (rewrites === 2) throw new Error("a poison file");
    };
    expect((await executeRows({ root, plan, afterRewrite })).kind).toBe("partly_published");
    const again = await executeRows({ root, plan });
    expect(again.groups.map(({ kind }) => kind)).toEqual(["skipped", "published"]);
  });

  it("of files that have changed is refused before anything is begun", async () => {
    const plan = planRows(root, [SOURCES]);
    replace(join(root, SOURCES[0] ?? ""));
    const { report, states } = await watchedRun(() => {}, { plan });
    expect(report).toMatchObject({ kind: "refused", reason: expect.stringContaining("stale") });
    expect(states).toEqual([]);
  });

  it("of files of a group that recovery could not judge is refused", async () => {
    const { context, record } = await committed();
    await writeJournal(nodeFs, context.folder, { ...record, outputs: [] });
    const report = await executeRows({ root, plan: planRows(root, [SOURCES]) });
    expect(report).toMatchObject({ kind: "refused", reason: expect.stringContaining(record.runId) });
  });

  it("that needs more space than is free is refused before anything is begun", async () => {
    const fs: PublicationFs = { ...nodeFs, freeBytes: async () => 10 };
    await expect(executeRows({ root, plan: planRows(root, [SOURCES]), ports: { fs } })).rejects.toMatchObject(
      {
        code: "NotEnoughSpace",
      },
    );
    expect(await maintainRows(root, (held) => readJournals(nodeFs, held.workspaces))).toEqual([]);
  });

  it("that would keep more originals than may be kept is refused before anything is begun", async () => {
    const { report, states } = await watchedRun(() => {}, {
      plan: planRows(root, [SOURCES], { maxRetainedBytes: 10 }),
    });
    expect(report).toMatchObject({ kind: "refused", groups: [] });
    expect(states).toEqual([]);
  });
});

/** Every file has its name back, and the one that slipped in as well. */
it("a file that slipped in as its run was killed is given back by recovery", async () => {
  let raced = false;
  const fs = hooked((method, [from]) => {
    if (raced) throw new Crash();
    raced = method === "rename" && from === join(root, SOURCES[1] ?? "");
    if (raced) replace(join(root, SOURCES[1] ?? ""));
  });
  await runUntilCrash(fs);
  const recovered = await maintainRows(root, async (held) => held.recovered);
  expect(recovered.map(({ action }) => action)).toEqual(["undo"]);
  expect(names(join(root, "p"))).toEqual(["a.parquet", "b.parquet"]);
  expect(readRows(join(root, SOURCES[1] ?? ""))).toEqual(["another row"]);
});

describe("an undo", () => {
  it("of an original that was changed behind its size and time is refused", async () => {
    await executeRows({ root, plan: planRows(root, [SOURCES]) });
    const [name = ""] = names(folder).filter((each) => each.endsWith(".pqtrash"));
    writeRows(join(folder, name), ["p/a.parquet 8", "p/a.parquet 9"]);
    utimesSync(join(folder, name), 1_700_000_000, 1_700_000_000);
    const found = tree();
    const undone = await maintainRows(root, (held) => undoRun(held, null));
    expect(undone).toMatchObject({ kind: "refused", reason: expect.stringContaining("no longer retained") });
    expect(tree()).toEqual(found);
  });

  it("of two groups of which one cannot be undone touches neither", async () => {
    await executeRows({ root, plan: planRows(root, [SOURCES, OTHERS]) });
    const output = names(join(root, "q"))[0] ?? "";
    replace(join(root, "q", output));
    const found = tree();
    const undone = await maintainRows(root, (held) => undoRun(held, null));
    expect(undone).toMatchObject({ kind: "refused", reason: expect.stringContaining(output) });
    expect(tree()).toEqual(found);
  });
});

describe("a purge", () => {
  it("deletes no original before its record says PURGED", async () => {
    for (let crashAt = 1; crashAt <= 12; crashAt += 1) {
      const at = join(folder, String(crashAt), "data");
      mkdirSync(join(at, "p"), { recursive: true });
      for (const path of SOURCES) writeRows(join(at, path), [path]);
      await executeRows({ root: at, plan: planRows(at, [SOURCES]) });
      const workspace = await locateWorkspace(nodeFs, at, null);
      const [found] = readableOf(await readJournals(nodeFs, [workspace]));
      if (found === undefined) throw new Error("no journal");
      const trash = join(groupFolder(workspace, found.runId, 1).path, "trash");
      const expectRetained = (): void => {
        if (!/"PURGED"/.test(read(found.folder.journal))) expect(names(trash)).toHaveLength(2);
      };
      const { fs } = crashingFs(crashAt, expectRetained);
      await maintainRows(at, (held) => purgeRuns({ ...held, fs }, { kind: "all" }, false)).catch(
        (error: unknown) => {
          if (!(error instanceof Crash)) throw error;
        },
      );
      expectRetained();
    }
  });

  it("keeps originals whose replacement is gone", async () => {
    await executeRows({ root, plan: planRows(root, [SOURCES]) });
    for (const name of names(join(root, "p"))) rmSync(join(root, "p", name));
    const purged = await maintainRows(root, (held) => purgeRuns(held, { kind: "all" }, false));
    expect(purged).toMatchObject({ runs: [], kept: [{ reason: expect.stringContaining("only copy") }] });
    expect(names(folder).filter((name) => name.endsWith(".pqtrash"))).toHaveLength(2);
  });

  it("keeps the originals of a run of which one group is not recovered", async () => {
    await executeRows({ root, plan: planRows(root, [SOURCES, OTHERS]) });
    const workspace = await locateWorkspace(nodeFs, root, null);
    const found = readableOf(await readJournals(nodeFs, [workspace])).at(-1);
    if (found === undefined) throw new Error("no journal");
    await writeJournal(nodeFs, found.folder, { ...found.record, state: "COMMIT", outputs: [] });
    const purged = await maintainRows(root, (held) => purgeRuns(held, { kind: "all" }, false));
    expect(purged).toMatchObject({ runs: [], kept: [{ reason: expect.stringContaining("not recovered") }] });
    expect(names(folder).filter((name) => name.endsWith(".pqtrash"))).toHaveLength(4);
  });
});
