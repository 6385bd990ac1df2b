import { mkdirSync, renameSync, rmSync, symlinkSync, utimesSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { nodeFs, type PublicationFs } from "../../server/src/fs.ts";
import { type ReadableJournal, readableOf, readJournals, writeJournal } from "../../server/src/journal.ts";
import type { Ports } from "../../server/src/maintain.ts";
import { purgeRuns } from "../../server/src/purge.ts";
import type { RunReport } from "../../server/src/run.ts";
import { undoRun } from "../../server/src/undo.ts";
import { groupFolder, locateWorkspace } from "../../server/src/workspace.ts";
import { Crash, crashingFs } from "../support/crashing-fs.ts";
import {
  filesBelow,
  type Hook,
  hooked,
  makeRowDataset,
  namesBelow,
  OTHERS,
  replace,
  runUntilCrash,
  SOURCES,
  textOf,
  touch,
} from "../support/row-dataset.ts";
import {
  executeRows,
  maintainRows,
  planRows,
  type RowRun,
  readRows,
  writeRows,
} from "../support/row-files.ts";

let folder: string;
let root: string;

beforeEach(() => {
  folder = makeRowDataset();
  root = join(folder, "data");
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const tree = (): ReadonlyMap<string, string> => filesBelow(folder);

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
      states.push(String(/"state":"(\w+)"/.exec(textOf(from))?.[1]));
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

/** The real file system until the first such call, and none from then on. */
function crashingAt(isLast: (...call: Parameters<Hook>) => boolean): PublicationFs {
  let gone = false;
  return hooked((method, paths) => {
    gone ||= isLast(method, paths);
    if (gone) throw new Crash();
  });
}

describe("a source that somebody changes stops a run", () => {
  const source = (): string => join(root, SOURCES[1] ?? "");
  const atFolder = (act: () => void): Hook => {
    const first = once(act);
    return (method, [path]) => {
      if (method === "mkdir" && path?.endsWith("/0001") === true) first();
    };
  };
  const atCommit =
    (act: () => void): Hook =>
    (method, [path = ""]) => {
      if (method === "rename" && path.endsWith(".json.new") && /COMMIT/.test(textOf(path))) act();
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
      hook: atCommit,
      act: () => touch(source()),
      states: ["PREPARED", "COMMIT", "ROLLED_BACK"],
    },
    {
      when: "moved behind a link as COMMIT is written (S8), with no live name touched",
      hook: atCommit,
      act: linkPartition,
      states: ["PREPARED", "COMMIT"],
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

  it.each([
    { when: "from the start (S1)", from: 1, states: ["ROLLED_BACK"] },
    { when: "by the end (S8)", from: 2, states: ["PREPARED", "COMMIT", "ROLLED_BACK"] },
  ])("who has it open for writing $when", async ({ from, states }) => {
    let looks = 0;
    const openWriters: Ports["openWriters"] = async (files) => {
      looks += 1;
      return files.map(() => (looks >= from ? 4242 : null));
    };
    const watched = await watchedRun(() => {}, { ports: { openWriters } });
    expect(watched.report).toMatchObject({ kind: "rolled_back", reason: expect.stringContaining("4242") });
    expect(watched.states).toEqual(states);
    expect(watched.live).toEqual([]);
  });
});

it("a run that loses its lock stops where it is", async () => {
  const { lock } = await locateWorkspace(nodeFs, root, null);
  const before = namesBelow(root);
  const { report, states } = await watchedRun(() => {}, { afterRewrite: () => rmSync(lock) });
  expect(report.kind).toBe("unknown");
  expect(states).toEqual(["PREPARED", "COMMIT"]);
  expect(namesBelow(root)).toEqual(before);
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
  expect(namesBelow(root)).toHaveLength(6);
});

/** Makes the latest group one that recovery cannot judge. */
async function breakLatest(): Promise<ReadableJournal> {
  const found = readableOf(await readJournals(nodeFs, [await locateWorkspace(nodeFs, root, null)])).at(-1);
  if (found === undefined) throw new Error("no journal");
  await writeJournal(nodeFs, found.folder, { ...found.record, state: "COMMIT", outputs: [] });
  return found;
}

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
    await executeRows({ root, plan: planRows(root, [SOURCES]) });
    const { record } = await breakLatest();
    for (const path of SOURCES) writeRows(join(root, path), ["a new row"]);
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

it("a file that slipped in as its run was killed is given back by recovery", async () => {
  let raced = false;
  const fs = hooked((method, [from]) => {
    if (raced) throw new Crash();
    raced = method === "rename" && from === join(root, SOURCES[1] ?? "");
    if (raced) replace(join(root, SOURCES[1] ?? ""));
  });
  await runUntilCrash(root, fs);
  const recovered = await maintainRows(root, async (held) => held.recovered);
  // Whether another original had left by then is a matter of timing.
  expect(recovered.map(({ action }) => action)).toEqual([expect.stringMatching(/^(undo|roll_back)$/)]);
  expect(namesBelow(join(root, "p"))).toEqual(["a.parquet", "b.parquet"]);
  expect(readRows(join(root, SOURCES[1] ?? ""))).toEqual(["another row"]);
});

it("an output that was moved away with its directory is not taken for one that is gone", async () => {
  // At the first of them: originals leave side by side.
  const fs = crashingAt((method, [from = ""]) => method === "rename" && from.startsWith(join(root, "p/")));
  await runUntilCrash(root, fs);
  const recover = (): Promise<readonly string[]> =>
    maintainRows(root, async (held) => held.recovered.map(({ action }) => action));
  renameSync(join(root, "p"), join(folder, "elsewhere"));
  expect(await recover()).toEqual(["quarantine"]);
  renameSync(join(folder, "elsewhere"), join(root, "p"));
  expect(await recover()).toEqual(["roll_back"]);
  expect(namesBelow(join(root, "p"))).toEqual(["a.parquet", "b.parquet"]);
});

describe("an undo", () => {
  it("of an original that was changed behind its size and time is refused", async () => {
    await executeRows({ root, plan: planRows(root, [SOURCES]) });
    const [name = ""] = namesBelow(folder).filter((each) => each.endsWith(".pqtrash"));
    writeRows(join(folder, name), ["p/a.parquet 8", "p/a.parquet 9"]);
    utimesSync(join(folder, name), 1_700_000_000, 1_700_000_000);
    const found = tree();
    const undone = await maintainRows(root, (held) => undoRun(held, null));
    expect(undone).toMatchObject({ kind: "refused", reason: expect.stringContaining("no longer retained") });
    expect(tree()).toEqual(found);
  });

  it("of two groups of which one cannot be undone touches neither", async () => {
    await executeRows({ root, plan: planRows(root, [SOURCES, OTHERS]) });
    const output = namesBelow(join(root, "q"))[0] ?? "";
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
        if (!/"PURGED"/.test(textOf(found.folder.journal))) expect(namesBelow(trash)).toHaveLength(2);
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
    for (const name of namesBelow(join(root, "p"))) rmSync(join(root, "p", name));
    const purged = await maintainRows(root, (held) => purgeRuns(held, { kind: "all" }, false));
    expect(purged).toMatchObject({ runs: [], kept: [{ reason: expect.stringContaining("only copy") }] });
    expect(namesBelow(folder).filter((name) => name.endsWith(".pqtrash"))).toHaveLength(2);
  });

  it("keeps the originals of a run of which one group is not recovered", async () => {
    await executeRows({ root, plan: planRows(root, [SOURCES, OTHERS]) });
    await breakLatest();
    const purged = await maintainRows(root, (held) => purgeRuns(held, { kind: "all" }, false));
    expect(purged).toMatchObject({ runs: [], kept: [{ reason: expect.stringContaining("not recovered") }] });
    expect(namesBelow(folder).filter((name) => name.endsWith(".pqtrash"))).toHaveLength(4);
  });
});
