import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, cpSync, fstatSync, mkdirSync, openSync, readSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { type Digest, dataFiles, digestFiles } from "../../demo/digest.ts";
import type { RunResult } from "../../server/src/protocol.ts";
import { makeRoot } from "../support/dataset.ts";
import {
  childrenOf,
  type Finished,
  filesBelow,
  hasEnded,
  isGone,
  type KnownProcess,
  type Server,
  stagedBytes,
  stampsOf,
  startServer,
  startTamp,
  type TampProcess,
  tamp,
  until,
  workspaceOf,
  writeSlowFiles,
} from "../support/tamp-process.ts";

const FILES = 6;
/** Long enough for a test to act in it, short enough to be waited for. */
const OVERLAP_MS = 1500;
const POLICY = { minFiles: 2, settleMs: 0, compression: "gzip" };
const FLAGS = ["--yes", "--json", "--settle", "0", "--min-files", "2", "--compression", "gzip"];
const WITH_OVERLAP = [...FLAGS, "--overlap", `${OVERLAP_MS}ms`];

let parent: string;
let root: string;
let rows: Digest;
let before: ReadonlyMap<string, string>;
const started: ChildProcess[] = [];

beforeAll(async () => {
  parent = makeRoot();
  await writeSlowFiles(join(parent, "template"), FILES, 60_000);
  rows = await digestFiles(dataFiles(join(parent, "template")));
});
afterAll(() => rmSync(parent, { recursive: true, force: true }));
afterEach(() => {
  for (const child of started.splice(0)) child.kill("SIGKILL");
  rmSync(root, { recursive: true, force: true });
  rmSync(workspaceOf(root), { recursive: true, force: true });
});

function freshDataset(): void {
  root = join(parent, "data");
  mkdirSync(root);
  cpSync(join(parent, "template"), root, { recursive: true });
  before = stampsOf(root);
}

interface Moment {
  readonly name: string;
  /** S9 is done: the run ends as published or undone. */
  readonly published: boolean;
  readonly reached: () => boolean;
}

const REWRITE: Moment = {
  name: "during the rewrite",
  published: false,
  reached: () => stagedBytes(root).some((bytes) => bytes > 1_000_000),
};
const VALIDATION: Moment = {
  name: "during validation",
  published: false,
  reached: () => filesBelow(workspaceOf(root)).some((path) => path.endsWith(".pqstage") && isWhole(path)),
};
const OVERLAP: Moment = {
  name: "during the overlap",
  published: true,
  reached: () => filesBelow(root).some((path) => path.startsWith("compacted-")),
};

/** A Parquet file ends in its magic once all of it is written. */
function isWhole(staged: string): boolean {
  const file = openSync(join(workspaceOf(root), staged), "r");
  try {
    const { size } = fstatSync(file);
    if (size < 12) return false;
    const tail = Buffer.alloc(4);
    readSync(file, tail, 0, 4, size - 4);
    return tail.toString() === "PAR1";
  } finally {
    closeSync(file);
  }
}

interface DaemonEnd {
  readonly name: string;
  readonly act: (server: Server, cancel: AbortController, client: ChildProcess) => void;
  /** How the daemon ends by itself; none: it goes on. */
  readonly exit?: { readonly code: number | null; readonly signal: NodeJS.Signals | null };
  /** Its end leaves the run where it was: recovery brings it to rest. */
  readonly killed?: true;
}

const ENDED = { code: 1, signal: null };
const CANCEL: DaemonEnd = { name: "$/cancelRequest", act: (_server, cancel) => cancel.abort() };
const EXIT: DaemonEnd = {
  name: "exit",
  act: ({ connection }) => void connection.sendNotification("exit"),
  exit: ENDED,
};
const STDIN_END: DaemonEnd = {
  name: "the end of stdin",
  act: ({ child }) => void child.stdin?.end(),
  exit: ENDED,
};
const [SIGTERM, SIGINT, SIGHUP] = (["SIGTERM", "SIGINT", "SIGHUP"] as const).map(
  (signal): DaemonEnd => ({ name: signal, act: ({ child }) => void child.kill(signal), exit: ENDED }),
) as [DaemonEnd, DaemonEnd, DaemonEnd];
const CLIENT_KILLED: DaemonEnd = {
  name: "SIGKILL of its client",
  act: (_server, _cancel, client) => void client.kill("SIGKILL"),
  exit: ENDED,
};
const KILLED: DaemonEnd = {
  name: "SIGKILL",
  act: ({ child }) => void child.kill("SIGKILL"),
  exit: { code: null, signal: "SIGKILL" },
  killed: true,
};

const rowsOf = <T extends { readonly name: string }>(moment: Moment, ends: readonly T[]) =>
  ends.map((end) => [end.name, moment.name, { end, moment }] as const);

describe.skipIf(process.platform !== "linux")("the daemon (children are found in /proc: Linux only)", () => {
  it.each([
    ...rowsOf(REWRITE, [CANCEL, EXIT, STDIN_END, SIGTERM, SIGINT, SIGHUP, CLIENT_KILLED, KILLED]),
    ...rowsOf(VALIDATION, [CANCEL, STDIN_END, KILLED]),
    ...rowsOf(OVERLAP, [CANCEL, EXIT, STDIN_END, SIGTERM, CLIENT_KILLED, KILLED]),
  ])("is ended by %s %s", async (_end, _moment, { end, moment }) => {
    freshDataset();
    const client = spawn("sleep", ["600"]);
    const server = await startServer(client.pid ?? null);
    started.push(client, server.child);
    const cancel = new AbortController();
    const answer = execute(server, cancel.signal);
    await until(moment.reached, server.child);
    const children = childrenOf(server.pid);
    expect(children.length).toBeGreaterThan(0);
    end.act(server, cancel, client);
    const result = await answer;
    // Whoever can still hear is answered; a client that was killed has closed nothing here.
    if (end.killed !== true)
      expect(result?.kind, result?.reason).toBe(moment.published ? "published" : "cancelled");
    if (end.exit === undefined) await goesOn(server);
    else expect(await server.exited).toEqual([end.exit.code, end.exit.signal]);
    await until(() => children.every(isGone));
    await expectAtRest(moment, end.killed === true);
  });

  it("is ended after a run", async () => {
    freshDataset();
    const server = await startServer();
    started.push(server.child);
    expect((await execute(server, new AbortController().signal))?.kind).toBe("published");
    server.child.stdin?.end();
    expect(await server.exited).toEqual([1, null]);
    await expectAtRest(OVERLAP, false);
  });
});

/** The answer, or null where the daemon could not give one. */
async function execute({ client }: Server, signal: AbortSignal): Promise<RunResult | null> {
  await client.request("tamp/dataset/open", { dataset: root, policy: POLICY, watch: false });
  const { planId } = await client.request("tamp/plan", { dataset: root, operation: "compact", sync: true });
  const params = { dataset: root, planId, overlapMs: OVERLAP_MS };
  return client.request("tamp/execute", params, { signal }).catch(() => null);
}

async function goesOn({ client, exited, pid }: Server): Promise<void> {
  expect((await client.request("tamp/runs", { dataset: root })).runs).toHaveLength(1);
  await until(() => childrenOf(pid).length === 0);
  await client.close();
  expect(await exited).toEqual([0, null]);
}

interface CommandEnd {
  readonly name: string;
  readonly act: (process: TampProcess) => void;
  readonly killed?: true;
}

const COMMAND_ENDS: readonly CommandEnd[] = [
  ...(["SIGINT", "SIGTERM", "SIGHUP"] as const).map((signal) => ({
    name: signal,
    act: ({ child }: TampProcess) => void child.kill(signal),
  })),
  { name: "Ctrl-C (SIGINT to its process group)", act: ({ pid }) => void process.kill(-pid, "SIGINT") },
  { name: "SIGKILL", act: ({ child }) => void child.kill("SIGKILL"), killed: true },
];

describe.skipIf(process.platform !== "linux")(
  "tamp compact (children are found in /proc: Linux only)",
  () => {
    it.each([
      ...rowsOf(REWRITE, COMMAND_ENDS),
      ...rowsOf(VALIDATION, COMMAND_ENDS.slice(-2)),
      ...rowsOf(OVERLAP, COMMAND_ENDS.slice(-2)),
    ])("is ended by %s %s", async (_end, _moment, { end, moment }) => {
      freshDataset();
      const running = startTamp(["compact", root, ...WITH_OVERLAP], { detached: true });
      started.push(running.child);
      await until(moment.reached);
      const children = childrenOf(running.pid);
      expect(children.length).toBeGreaterThan(0);
      end.act(running);
      const { code, signal, out } = await endOf(running, children);
      if (end.killed === true) expect(signal).toBe("SIGKILL");
      else {
        expect(JSON.parse(out)).toMatchObject({ kind: moment.published ? "published" : "cancelled" });
        expect(code).toBe(moment.published ? 0 : 130);
      }
      await expectAtRest(moment, end.killed === true);
    });
  },
);

async function endOf({ child, finished }: TampProcess, children: readonly KnownProcess[]): Promise<Finished> {
  await until(() => hasEnded(child));
  await until(() => children.every(isGone));
  return finished;
}

/** Before or after, whole; nothing in the workspace but records and, once published, the retained originals. */
async function expectAtRest({ published }: Moment, killed: boolean): Promise<void> {
  if (killed) {
    if (!published) expect(stampsOf(root)).toEqual(before);
    expect(JSON.parse((await tamp("recover", root, "--json")).out).kind).toBe("recovered");
  }
  const again = await tamp("recover", root, "--json");
  expect(JSON.parse(again.out).kind).toBe("nothing_to_do");
  const left = filesBelow(workspaceOf(root)).map((path) => path.replace(/^runs\/\w+\/0001\//, ""));
  const isBefore = JSON.stringify([...stampsOf(root)]) === JSON.stringify([...before]);
  if (published && !isBefore) {
    const trash = Array.from({ length: FILES }, (_, file) => `trash/00000${file + 1}.pqtrash`);
    expect(left).toEqual(["journal.json", ...trash]);
    expect(filesBelow(root)).toEqual([expect.stringMatching(/^compacted-/)]);
    expect(await digestFiles(dataFiles(root))).toEqual(rows);
  } else {
    expect(stampsOf(root)).toEqual(before);
    expect(left).toEqual(["journal.json"]);
  }
}
