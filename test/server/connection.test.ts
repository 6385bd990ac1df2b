import { rmSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { createInventoryPool, type InventoryPool } from "../../server/src/inventory-pool.ts";
import { PROTOCOL_VERSION, type RunResult } from "../../server/src/protocol.ts";
import { buildEntry } from "../support/build-worker.ts";
import { makeRoot, writeDataset } from "../support/dataset.ts";
import { type FakeEngine, fakeEngine } from "../support/fake-engine.ts";
import { createPair, frameOf, type Pair, readFrames, type WireAnswer } from "../support/pair.ts";

let pool: InventoryPool;
let checkerEntry: string;
const pairs: Pair[] = [];
const roots: string[] = [];

beforeAll(async () => {
  const [worker, checker] = await Promise.all([
    buildEntry("server/src/inventory-worker.ts"),
    buildEntry("server/src/checker-worker.ts"),
  ]);
  pool = createInventoryPool({ workerEntry: worker });
  checkerEntry = checker;
});
afterAll(() => pool.dispose());
afterEach(async () => {
  for (const pair of pairs.splice(0)) {
    pair.end();
    await pair.exitCode;
  }
  for (const root of roots.splice(0)) {
    rmSync(root, { recursive: true, force: true });
    rmSync(join(dirname(root), `.${basename(root)}.tamp`), { recursive: true, force: true });
  }
});

function pairOf(engine?: FakeEngine): Pair {
  const pair = createPair({ pool, checkerEntry, ...(engine === undefined ? {} : { engine }) });
  pairs.push(pair);
  return pair;
}

async function startedPair(options: object = {}, engine?: FakeEngine): Promise<Pair> {
  const pair = pairOf(engine);
  await pair.ask("initialize", { processId: null, initializationOptions: options });
  pair.notify("initialized", {});
  return pair;
}

function smallDataset(): string {
  const root = makeRoot();
  roots.push(root);
  const names = ["a.parquet", "b.parquet", "c.parquet"];
  return writeDataset(root, Object.fromEntries(names.map((name, index) => [name, { rows: 10 + index }])));
}

const POLICY = { minFiles: 2, settleMs: 0 };

/** A dataset that is open, and the id of a plan for it. */
async function planned(pair: Pair): Promise<{ readonly dataset: string; readonly planId: string }> {
  const dataset = smallDataset();
  await pair.ask("tamp/dataset/open", { dataset, policy: POLICY, watch: false });
  const { result } = await pair.ask("tamp/plan", { dataset, operation: "compact" });
  return { dataset, planId: (result as { readonly planId: string }).planId };
}

const codeOf = ({ error }: WireAnswer): unknown => error?.code;

describe("the life of a connection", () => {
  it("begins with what the server is and can do", async () => {
    const pair = pairOf(fakeEngine({ name: "fake" }));
    const { result } = await pair.ask("initialize", {
      processId: 4_242,
      clientInfo: { name: "test" },
      capabilities: {},
    });
    expect(result).toEqual({
      serverInfo: { name: "tamp", version: "0.0.0-test" },
      capabilities: {
        tamp: {
          protocolVersion: PROTOCOL_VERSION,
          operations: ["compact"],
          engines: ["fake"],
          progress: true,
        },
      },
    });
    expect(pair.clientProcesses).toEqual([4_242]);
  });

  it("answers -32002 before initialize, shutdown included, and works after it", async () => {
    const pair = pairOf();
    for (const method of ["tamp/dataset/list", "tamp/plan", "shutdown"]) {
      expect(codeOf(await pair.ask(method, {}))).toBe(-32002);
    }
    expect((await pair.ask("initialize")).error).toBeUndefined();
    expect((await pair.ask("tamp/dataset/list")).result).toEqual({ datasets: [] });
  });

  it("refuses a second initialize", async () => {
    expect(codeOf(await (await startedPair()).ask("initialize", {}))).toBe(-32600);
  });

  it("is not begun by an initialize with wrong params", async () => {
    const pair = pairOf();
    const wrong = await pair.ask("initialize", { processId: 1, initializationOptions: { trusted: "yes" } });
    expect(wrong.error).toMatchObject({ code: -32602, data: { code: "InvalidParams" } });
    expect(wrong.error?.message).toContain("trusted");
    expect(codeOf(await pair.ask("tamp/dataset/list"))).toBe(-32002);
    expect(pair.clientProcesses).toEqual([]);
  });

  it("answers -32601 to a method it does not know", async () => {
    const pair = await startedPair();
    for (const method of ["tamp/nonsense", "textDocument/hover", "toString", "__proto__"]) {
      expect(codeOf(await pair.ask(method, {}))).toBe(-32601);
    }
  });

  it("answers -32600 after shutdown, and exit then ends it with 0", async () => {
    const pair = await startedPair();
    expect((await pair.ask("shutdown")).result).toBeNull();
    for (const method of ["tamp/dataset/list", "shutdown", "initialize"]) {
      expect(codeOf(await pair.ask(method))).toBe(-32600);
    }
    pair.notify("exit");
    expect(await pair.exitCode).toBe(0);
  });

  const ends: readonly { readonly what: string; readonly end: (pair: Pair) => void }[] = [
    { what: "exit without shutdown", end: (pair) => pair.notify("exit") },
    { what: "the end of the stream", end: (pair) => pair.end() },
    {
      what: "half a frame and the end",
      end: (pair) => {
        pair.raw("Content-Le");
        pair.end();
      },
    },
  ];
  it.each(ends)("ends with 1 after $what", async ({ end }) => {
    const pair = await startedPair();
    end(pair);
    expect(await pair.exitCode).toBe(1);
  });

  it("ends with 1 before initialize too", async () => {
    const pair = pairOf();
    pair.notify("exit");
    expect(await pair.exitCode).toBe(1);
  });

  it("passes over notifications it does not know", async () => {
    const pair = await startedPair();
    pair.notify("$/setTrace", { value: "verbose" });
    pair.notify("$/unknown", {});
    pair.notify("tamp/unknown");
    pair.notify("$/cancelRequest", { id: 99 });
    pair.notify("$/cancelRequest");
    expect((await pair.ask("tamp/dataset/list", null)).result).toEqual({ datasets: [] });
  });
});

describe("a request that fails", () => {
  it("says what is wrong, what was not done and the next step", async () => {
    const pair = await startedPair();
    const { error } = await pair.ask("tamp/dataset/stats", { dataset: "/not/open" });
    expect(error?.code).toBe(1006);
    expect(error?.message).toContain("/not/open");
    expect(error?.data).toEqual({
      code: "DatasetNotOpen",
      hint: "send tamp/dataset/open first",
      notDone: "nothing was changed",
    });
  });

  const rows: readonly { readonly method: string; readonly params: unknown; readonly names: string }[] = [
    { method: "tamp/dataset/open", params: undefined, names: "dataset" },
    { method: "tamp/dataset/open", params: {}, names: "dataset" },
    { method: "tamp/dataset/open", params: { dataset: 5 }, names: "dataset" },
    { method: "tamp/dataset/open", params: { dataset: "relative/path" }, names: "dataset" },
    { method: "tamp/dataset/open", params: { dataset: "/a\0b" }, names: "dataset" },
    { method: "tamp/dataset/open", params: { dataset: "/a", watch: "yes" }, names: "watch" },
    { method: "tamp/dataset/open", params: { dataset: "/a", workspace: "here" }, names: "workspace" },
    { method: "tamp/dataset/open", params: { dataset: "/a", policy: [] }, names: "policy" },
    { method: "tamp/dataset/open", params: ["/a", "/b"], names: "params" },
    { method: "tamp/dataset/open", params: "/a", names: "params" },
    { method: "tamp/plan/groups", params: { planId: 1 }, names: "planId" },
    { method: "tamp/plan/document", params: {}, names: "planId" },
  ];
  it.each(rows)("names $names in $method $params", async ({ method, params, names }) => {
    const { error } = await (await startedPair()).ask(method, params);
    expect(error).toMatchObject({ code: -32602, data: { code: "InvalidParams" } });
    expect(error?.message).toContain(names);
  });

  const ofDataset: readonly { readonly method: string; readonly params: object; readonly error: object }[] = [
    { method: "tamp/dataset/files", params: { offset: -1 }, error: { code: -32602, message: /offset/ } },
    { method: "tamp/dataset/files", params: { limit: 0 }, error: { code: -32602, message: /limit/ } },
    { method: "tamp/dataset/files", params: { limit: 10_001 }, error: { code: -32602, message: /limit/ } },
    { method: "tamp/execute", params: { overlapMs: 1e9 }, error: { code: -32602, message: /overlapMs/ } },
    { method: "tamp/dataset/stats", params: { partitionFilter: "a" }, error: { message: /partitionFilter/ } },
    { method: "tamp/dataset/stats", params: { partitionFilter: ["a//b"] }, error: { code: 1004 } },
    { method: "tamp/dataset/stats", params: { partitionFilter: ["x=1"] }, error: { code: 1002 } },
    { method: "tamp/plan", params: { operation: "optimize" }, error: { code: -32602, message: /operation/ } },
    {
      method: "tamp/plan",
      params: { operation: "compact", policy: { minFiles: 0 } },
      error: { code: 1003, message: /minFiles/ },
    },
    { method: "tamp/execute", params: {}, error: { code: -32602, message: /planId/ } },
    { method: "tamp/execute", params: { planId: "none" }, error: { code: 1007 } },
    { method: "tamp/execute", params: { plan: {} }, error: { code: -32602, message: /plan/ } },
    { method: "tamp/undo", params: { runId: "none" }, error: { code: 1011 } },
  ];
  it("keeps the daemon alive and has its number", async () => {
    const pair = await startedPair();
    const { dataset } = await planned(pair);
    for (const { method, params, error } of ofDataset) {
      const answer = await pair.ask(method, { dataset, ...params });
      const expected = Object.entries(error).map(([key, value]) => [
        key,
        value instanceof RegExp ? expect.stringMatching(value) : value,
      ]);
      expect(answer.error, `${method} ${JSON.stringify(params)}`).toMatchObject(Object.fromEntries(expected));
    }
    expect((await pair.ask("tamp/dataset/list")).result).toMatchObject({ datasets: [{ fileCount: 3 }] });
  });
});

describe("frames that are no messages", () => {
  it("get -32700 or -32600 and the daemon goes on", async () => {
    const pair = await startedPair();
    expect(codeOf(await pair.raw(frameOf("{nonsense")))).toBe(-32700);
    expect(codeOf(await pair.raw(frameOf([{ jsonrpc: "2.0", id: 1, method: "shutdown" }])))).toBe(-32600);
    expect((await pair.ask("tamp/dataset/list")).result).toEqual({ datasets: [] });
  });

  it("end the connection where the framing is lost, after the answer", async () => {
    const pair = await startedPair();
    expect(codeOf(await pair.raw("Content-Length: 12abc\r\n\r\n"))).toBe(-32700);
    expect(await pair.exitCode).toBe(1);
  });

  it("are answered between other answers, never inside one", async () => {
    const pair = await startedPair();
    const garbage = Buffer.concat(Array.from({ length: 50 }, () => frameOf("{")));
    const answers = Array.from({ length: 50 }, () => {
      pair.raw(garbage);
      return pair.ask("tamp/dataset/list");
    });
    await Promise.all(answers);
    const { frames, remainder } = readFrames(pair.bytes());
    expect(remainder.length).toBe(0);
    expect(frames.filter(({ id }) => id === null).length).toBeGreaterThan(0);
    expect(frames).toEqual(pair.received);
  });
});

describe("a workspace that is not trusted", () => {
  it("may look and plan, but change nothing", async () => {
    const engine = fakeEngine();
    const pair = await startedPair({ trusted: false }, engine);
    const { dataset, planId } = await planned(pair);
    const looks = ["tamp/dataset/stats", "tamp/dataset/files", "tamp/runs"];
    for (const method of looks) expect((await pair.ask(method, { dataset })).error).toBeUndefined();
    for (const [method, params] of [["tamp/execute", { planId }], ["tamp/undo"], ["tamp/recover"]] as const) {
      const { error } = await pair.ask(method, { dataset, ...params });
      expect(error).toMatchObject({ code: 1019, data: { code: "Untrusted" } });
    }
    expect(engine.rewrites()).toBe(0);
  });
});

describe("a run", () => {
  async function beginRun(pair: Pair, engine: FakeEngine) {
    const { dataset, planId } = await planned(pair);
    const begun = engine.nextRewrite();
    const run = pair.begin("tamp/execute", { dataset, planId, workDoneToken: "t" });
    await begun;
    return { ...run, dataset };
  }
  const values = (pair: Pair): readonly { kind: string; percentage?: number }[] =>
    pair.received.flatMap(({ method, params }) =>
      method === "$/progress" ? [(params as { value: { kind: string; percentage?: number } }).value] : [],
    );

  it("that is cancelled answers with what it did, ends its progress, and leaves the files", async () => {
    const engine = fakeEngine({ hold: true });
    const pair = await startedPair({}, engine);
    const { id, answer, dataset } = await beginRun(pair, engine);
    pair.notify("$/cancelRequest", { id });
    const { result, error } = await answer;
    expect(error).toBeUndefined();
    expect((result as RunResult).kind).toBe("cancelled");
    expect(values(pair).map(({ kind }) => kind)).toEqual(["begin", "report", "end"]);
    const finished = pair.received.find(({ method }) => method === "tamp/run/finished");
    expect(finished?.params).toEqual({ dataset, result });
    expect((await pair.ask("tamp/dataset/stats", { dataset, sync: true })).result).toMatchObject({
      fileCount: 3,
      totalRows: 33,
    });
  });

  it("whose outputs do not hold the rows is rolled back, with a percentage that only rises", async () => {
    const engine = fakeEngine();
    const pair = await startedPair({}, engine);
    const { answer } = await beginRun(pair, engine);
    const { result } = await answer;
    expect(result).toMatchObject({ kind: "rolled_back", validation: { groupsPassed: 0, groupsFailed: 1 } });
    const percentages = values(pair).flatMap(({ percentage }) => percentage ?? []);
    expect(percentages).toEqual([...new Set(percentages)].sort((a, b) => a - b));
    expect(percentages.at(-1)).toBe(100);
  });

  it("is cancelled by the end of the stream, which waits for it", async () => {
    const engine = fakeEngine({ hold: true });
    const pair = await startedPair({}, engine);
    const { dataset } = await beginRun(pair, engine);
    pair.end();
    expect(await pair.exitCode).toBe(1);
    const next = await startedPair();
    await next.ask("tamp/dataset/open", { dataset, policy: POLICY, watch: false });
    expect((await next.ask("tamp/recover", { dataset })).result).toMatchObject({ kind: "nothing_to_do" });
  });

  it("lets one more wait and refuses the third", async () => {
    const engine = fakeEngine({ hold: true });
    const pair = await startedPair({}, engine);
    const first = await beginRun(pair, engine);
    const waiting = pair.begin("tamp/undo", { dataset: first.dataset });
    expect(codeOf(await pair.ask("tamp/recover", { dataset: first.dataset }))).toBe(1016);
    pair.notify("$/cancelRequest", { id: first.id });
    expect((await waiting.answer).result).toMatchObject({ kind: "nothing_to_do", runId: null });
  });
});
