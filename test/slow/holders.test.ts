import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readdirSync, realpathSync, rmSync, symlinkSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { makeRoot, writeDataset } from "../support/dataset.ts";

const TAMP = fileURLToPath(new URL("../../server/bin/tamp.mjs", import.meta.url));
const COMPACT = [
  ..."compact --yes --json --settle 0 --min-age 0 --min-files 2".split(" "),
  ..."--allow nullability --allow time-unit".split(" "),
];
const ROWS_A_FILE = 10;
const PARTITIONS = ["mid=1/low=1", "mid=1/low=2", "mid=2/low=1"];
const FILES = 4;

/** `top` holds `mid=1`, which a process maintains, with `low=1` and `low=2`; and `mid=2`. */
let folder: string;
let holder: ChildProcess;

beforeAll(async () => {
  folder = realpathSync(makeRoot());
  mkdirSync(join(folder, "top"));
  const files = PARTITIONS.flatMap((partition) =>
    Array.from({ length: FILES }, (_, n) => [`${partition}/f${n}.parquet`, { rows: ROWS_A_FILE }] as const),
  );
  writeDataset(join(folder, "top"), Object.fromEntries(files));
  symlinkSync("top/mid=1", join(folder, "link"));
  holder = tamp([...COMPACT, "--overlap", "600000", "top/mid=1"]);
  const isLive = (): boolean =>
    readdirSync(join(folder, "top/mid=1/low=1")).some((name) => name.startsWith("compacted-"));
  while (!isLive() && holder.exitCode === null) await delay(50);
});
afterAll(() => {
  killGroup(holder);
  rmSync(folder, { recursive: true, force: true });
});

/** In a process group of its own, so that a kill takes its children as well. */
function tamp(args: readonly string[]): ChildProcess {
  return spawn(process.execPath, [TAMP, ...args], {
    cwd: folder,
    detached: true,
    stdio: ["ignore", "pipe", "inherit"],
  });
}

function killGroup(child: ChildProcess): void {
  if (child.exitCode === null && child.signalCode === null) process.kill(-(child.pid ?? 0), "SIGKILL");
}

interface Answer {
  readonly code: number | null;
  readonly value: { readonly [key: string]: unknown };
}

async function answer(args: readonly string[]): Promise<Answer> {
  const child = tamp(args);
  let text = "";
  child.stdout?.on("data", (chunk: Buffer) => {
    text += chunk.toString();
  });
  const [code] = await once(child, "close");
  return { code, value: JSON.parse(text) };
}

async function rowsOf(root: string): Promise<unknown> {
  return (await answer(["stats", root, "--json"])).value.totalRows;
}

const REFUSED: readonly { readonly what: string; readonly args: readonly string[]; readonly at: string }[] = [
  { what: "compact of the same", args: [...COMPACT, "top/mid=1"], at: "top/mid=1" },
  { what: "compact of the same through a link", args: [...COMPACT, "link"], at: "top/mid=1" },
  {
    what: "compact of the same, spelled otherwise",
    args: [...COMPACT, "top/./mid=2//../mid=1/"],
    at: "top/mid=1",
  },
  {
    what: "compact of the same in another workspace",
    args: [...COMPACT, "--workspace", "elsewhere", "top/mid=1"],
    at: "top/mid=1",
  },
  { what: "compact below", args: [...COMPACT, "top/mid=1/low=2"], at: "top/mid=1/low=2" },
  { what: "compact below through a link", args: [...COMPACT, "link/low=2"], at: "top/mid=1/low=2" },
  { what: "compact above", args: [...COMPACT, "top"], at: "top" },
  { what: "undo of the same", args: ["undo", "--yes", "--json", "top/mid=1"], at: "top/mid=1" },
  { what: "undo below", args: ["undo", "--yes", "--json", "top/mid=1/low=1"], at: "top/mid=1/low=1" },
  { what: "recover of the same", args: ["recover", "--json", "top/mid=1"], at: "top/mid=1" },
  { what: "recover below", args: ["recover", "--json", "top/mid=1/low=1"], at: "top/mid=1/low=1" },
];

describe("while a process maintains a dataset", () => {
  it.each(REFUSED)("$what is refused and told the holder", async ({ args, at }) => {
    const { code, value } = await answer(args);
    const held = join(folder, "top/mid=1");
    const shared = at === "top/mid=1" ? "" : `; it shares files with ${join(folder, at)}`;
    const since = "since \\d{4}-\\d\\d-\\d\\dT[\\d:.]+Z";
    expect(value).toMatchObject({
      error: {
        code: "Locked",
        message: expect.stringMatching(
          `^${held} is being maintained by process ${holder.pid} on ${hostname()} ${since}${shared}$`,
        ),
        notDone: "nothing was changed",
        hint: "wait until it is done, or end that process",
      },
    });
    expect(code).toBe(2);
    expect(holder.exitCode).toBeNull();
  });

  it("a partition beside it may be compacted and undone from above", async () => {
    const compacted = await answer([...COMPACT, "--partition", "mid=2", "top"]);
    expect(compacted.value).toMatchObject({ kind: "published" });
    expect((await answer(["undo", "--yes", "--json", "top"])).value).toMatchObject({ kind: "undone" });
  });
});

describe("after that process was killed in the middle of a swap", () => {
  it("its rows are compacted from above once they are recovered, and none is doubled", async () => {
    const rows = PARTITIONS.length * FILES * ROWS_A_FILE;
    killGroup(holder);
    await once(holder, "close");
    expect(await rowsOf("top")).toBe(rows + FILES * ROWS_A_FILE);
    const early = await answer([...COMPACT, "top"]);
    expect(early.value).toMatchObject({
      error: { code: "Locked", hint: `run \`tamp recover\` on ${join(folder, "top/mid=1")} first` },
    });
    expect((await answer(["recover", "--json", "top/mid=1"])).value).toMatchObject({ kind: "recovered" });
    expect((await answer([...COMPACT, "top"])).value).toMatchObject({ kind: "published" });
    expect(await rowsOf("top")).toBe(rows);
  });
});
