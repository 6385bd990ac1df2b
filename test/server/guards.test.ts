import { existsSync, linkSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { JournalRecord, JournalState, PublicationStep } from "@tamp/core";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { nodeFs } from "../../server/src/fs.ts";
import { readableOf, readJournals, writeJournal } from "../../server/src/journal.ts";
import { observe } from "../../server/src/observe.ts";
import { type PublishContext, performSteps } from "../../server/src/publish.ts";
import { locateWorkspace } from "../../server/src/workspace.ts";
import { Crash } from "../support/crashing-fs.ts";
import { testPorts } from "../support/ports.ts";
import {
  filesBelow,
  hooked,
  makeRowDataset,
  namesBelow,
  replace,
  runUntilCrash,
  touch,
} from "../support/row-dataset.ts";
import { maintainRows, readRows } from "../support/row-files.ts";

let folder: string;
let root: string;

beforeEach(() => {
  folder = makeRowDataset();
  root = join(folder, "data");
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const tree = (): ReadonlyMap<string, string> => filesBelow(folder);

interface Scene {
  readonly context: PublishContext;
  readonly record: JournalRecord;
  readonly live: (index: number) => string;
  readonly trash: (index: number) => string;
  readonly output: string;
  readonly stage: string;
}

/** A group right after its COMMIT: the process was killed as it would have linked the output. */
async function committed(given: Partial<PublishContext> = {}): Promise<Scene> {
  let gone = false;
  const fs = hooked((method, [from]) => {
    gone ||= method === "link" && from?.endsWith(".pqstage") === true;
    if (gone) throw new Crash();
  });
  await runUntilCrash(root, fs);
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
    expect(namesBelow(dirname(scene.trash(0)))).toEqual(["000001.pqtrash"]);
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
