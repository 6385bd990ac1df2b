import {
  appendFileSync,
  existsSync,
  lstatSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { digestFiles } from "../../demo/digest.ts";
import type { Engine } from "../../server/src/engine.ts";
import { nodeFs, type PublicationFs } from "../../server/src/fs.ts";
import type { RunResult } from "../../server/src/protocol.ts";
import { createTestBench, type TestBench, type TestDaemonOptions } from "../support/daemon.ts";
import { type FileSpec, makeRoot, parquetBytes, writeDataset } from "../support/dataset.ts";

let bench: TestBench;
let root: string;

beforeAll(async () => {
  bench = await createTestBench();
});
afterAll(() => bench.dispose());
afterEach(() => {
  for (const path of [root, elsewhere(), join(dirname(root), `.${basename(root)}.tamp`)])
    rmSync(path, { recursive: true, force: true });
});

function elsewhere(): string {
  return `${root}-elsewhere`;
}

type Act = () => void;

/** A point of a run at which somebody else acts: once, and before the call that it names is made. */
interface Moment {
  readonly name: string;
  readonly options: (act: Act) => TestDaemonOptions;
}

/** Before the first call of a port's method with such an argument. */
function before(method: "link" | "rename" | "sync", argument: RegExp): (act: Act) => TestDaemonOptions {
  return (act) => ({
    fs: new Proxy(nodeFs, {
      get(target, name: keyof PublicationFs) {
        if (name !== method) return target[name];
        const call = target[name] as (...paths: readonly string[]) => Promise<void>;
        return async (...paths: readonly string[]): Promise<void> => {
          if (paths.some((path) => argument.test(path))) act();
          await call(...paths);
        };
      },
    }),
  });
}

function afterRewrite(act: Act): TestDaemonOptions {
  const wrapEngine = (engine: Engine): Engine => ({
    ...engine,
    async start(limits, signal) {
      const running = await engine.start(limits, signal);
      return {
        rewrite: (task, onProgress) => running.rewrite(task, onProgress).then(act),
        digest: (task) => running.digest(task),
        kill: () => running.kill(),
        dispose: () => running.dispose(),
      };
    },
  });
  return { wrapEngine };
}

const PINNED: Moment = { name: "before it is pinned (S3)", options: before("link", /\.pqsrc$/) };
const REWRITTEN: Moment = { name: "while it is read (S4)", options: afterRewrite };
const SYNCED: Moment = { name: "after it was validated (S6)", options: before("sync", /\.pqstage$/) };
const LINKED: Moment = { name: "as outputs are linked (S9)", options: before("link", /\.pqstage$/) };
const OVERLAP: Moment = {
  name: "while both stand (overlap)",
  options: (act) => ({ ports: { sleep: async () => act() } }),
};
const RETIRED: Moment = { name: "as it is retired (S10)", options: before("rename", /a\/2\.parquet$/) };

interface Change {
  readonly name: string;
  readonly act: Act;
}

const SOURCES = ["a/1.parquet", "a/2.parquet", "a/3.parquet"];
const BYSTANDER = "b/1.parquet";
const target = (): string => join(root, "a/2.parquet");

const ARRIVAL: Change = {
  name: "a new file",
  act: () => writeFileSync(join(root, "a/4.parquet"), parquetBytes({ rows: 4, from: 400 })),
};
const TOUCH: Change = { name: "a touch that restores the mtime", act: () => keepingTimes(() => {}) };
const OVERWRITE: Change = {
  name: "a write that keeps size and mtime",
  act: () =>
    keepingTimes(() => writeFileSync(target(), readFileSync(target()).fill(0, 8, 40), { flag: "r+" })),
};
const APPEND: Change = { name: "an append", act: () => appendFileSync(target(), "more") };
const REPLACEMENT: Change = {
  name: "a replacement by rename",
  act: () => {
    writeFileSync(`${target()}.new`, parquetBytes({ rows: 7, from: 700 }));
    renameSync(`${target()}.new`, target());
  },
};
const REMOVAL: Change = { name: "a removal", act: () => rmSync(target()) };
const MOVE: Change = {
  name: "the directory renamed",
  act: () => renameSync(join(root, "a"), elsewhere()),
};
const SYMLINK: Change = {
  name: "the directory replaced by a symlink",
  act: () => {
    renameSync(join(root, "a"), elsewhere());
    symlinkSync(elsewhere(), join(root, "a"));
  },
};

function keepingTimes(change: () => void): void {
  const { atime, mtime } = statSync(target());
  change();
  utimesSync(target(), atime, mtime);
}

type Kind = RunResult["kind"];

interface Row {
  readonly moment: Moment;
  readonly change: Change;
  readonly kinds: readonly Kind[];
}

function rowsOf(
  kinds: readonly Kind[],
  moments: readonly Moment[],
  changes: readonly Change[],
): readonly Row[] {
  return changes.flatMap((change) => moments.map((moment) => ({ moment, change, kinds })));
}

const ALL = [PINNED, REWRITTEN, SYNCED, LINKED, OVERLAP, RETIRED];
/** Once a directory is not where it was, going back may have to wait until its owner says what became of it. */
const BACK_OR_UNKNOWN: readonly Kind[] = ["rolled_back", "unknown"];
const ROWS: readonly Row[] = [
  ...rowsOf(["published"], ALL, [ARRIVAL]),
  ...rowsOf(["rolled_back"], ALL, [APPEND, REPLACEMENT, REMOVAL]),
  // Until it is pinned a file may change; after the last look at its times its identity alone can be compared.
  ...rowsOf(["rolled_back"], ALL.slice(1, -1), [TOUCH, OVERWRITE]),
  ...rowsOf(BACK_OR_UNKNOWN, [PINNED, REWRITTEN, SYNCED, LINKED], [MOVE]),
  // The very same directory behind the link: what is published there has lost no row either.
  ...rowsOf(["published", ...BACK_OR_UNKNOWN], [REWRITTEN, OVERLAP], [SYMLINK]),
];

describe("somebody else's change during a run is kept, whatever it is and whenever it comes", () => {
  it.each(ROWS.map((row) => [row.change.name, row.moment.name, row] as const))(
    "%s, %s",
    (_what, _when, row) => check(row),
  );
});

async function check({ moment, change, kinds }: Row): Promise<void> {
  root = makeRoot();
  const file = (n: number): FileSpec => ({ rows: 1000, from: n * 1000 });
  writeDataset(root, Object.fromEntries([...SOURCES, BYSTANDER].map((path, n) => [path, file(n)])));
  utimesSync(target(), 1_700_000_000, 1_700_000_000);
  const before = prints();
  const changed = new Map<string, string>();
  const client = await bench.start(
    moment.options(() => {
      if (changed.size > 0) return;
      change.act();
      for (const [path, print] of prints()) changed.set(path, print);
    }),
  );
  const policy = { minFiles: 2, settleMs: 0, allow: ["nullability", "time-unit"] };
  await client.request("tamp/dataset/open", { dataset: root, policy, watch: false });
  const { planId } = await client.request("tamp/plan", { dataset: root, operation: "compact", sync: true });
  const { kind, reason } = await client.request("tamp/execute", { dataset: root, planId, overlapMs: 1 });
  expect(changed.size).toBeGreaterThan(0);
  expect(kinds, reason).toContain(kind);
  await expectKept(kind, before, changed);
  if (kind === "unknown") await client.request("tamp/recover", { dataset: root });
  else expect((await client.request("tamp/recover", { dataset: root })).kind).toBe("nothing_to_do");
  await expectKept(kind, before, changed);
}

/** Nothing but what this run published has come, and nothing but the files that it replaced has gone. */
async function expectKept(
  kind: Kind,
  before: ReadonlyMap<string, string>,
  changed: ReadonlyMap<string, string>,
): Promise<void> {
  const expected = new Map([...before].filter(([path]) => path !== "a/2.parquet"));
  for (const [path, print] of changed) expected.set(path, print);
  if (kind === "published") for (const path of SOURCES) expected.delete(path);
  const isOutput = (path: string): boolean => path.includes("/compacted-");
  for (const path of [...expected.keys()].filter(isOutput)) expected.delete(path);
  const found = prints();
  const outputs = [...found.keys()].filter(isOutput);
  for (const path of outputs) found.delete(path);
  expect(found).toEqual(expected);
  expect(outputs).toHaveLength(kind === "published" ? 1 : 0);
  const { rows } = await digestFiles(outputs.map((path) => join(root, path)));
  expect(rows).toBe(kind === "published" ? 3000 : 0);
}

/** Inode, mtime and bytes of every file of the dataset, wherever its directory was moved to. */
function prints(): Map<string, string> {
  const found = new Map<string, string>();
  for (const folder of [root, elsewhere()].filter((path) => existsSync(path))) {
    for (const name of readdirSync(folder, { recursive: true, encoding: "utf8" })) {
      const path = join(folder, name);
      const entry = lstatSync(path, { bigint: true });
      const label = folder === root ? name : `a/${name}`;
      if (entry.isFile())
        found.set(label, `${entry.ino} ${entry.mtimeNs} ${readFileSync(path).toString("base64")}`);
    }
  }
  return found;
}
