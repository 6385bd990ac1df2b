import type { Crossing } from "@tamp/core";
import { expect, it } from "vitest";
import type { ExecutionOutcome } from "../../server/src/automation.ts";
import type { Judgement } from "../../server/src/judge.ts";
import type { RunFacts } from "../../server/src/runs.ts";
import { type CrossingAction, type ThresholdPolicy, Thresholds } from "../../server/src/thresholds.ts";

type Action = ThresholdPolicy["onThreshold"];

const CROSSING: Crossing = { partition: "", trigger: "count", files: 9, bytes: 90, limit: 5, value: 9 };
const CROSSED: Judgement = {
  generation: 1,
  health: { score: 50, reasons: [] },
  crossings: [CROSSING],
  bytesToRewrite: 90,
  unsettledCount: 0,
  nextDueMs: null,
};

interface Scene {
  readonly thresholds: Thresholds;
  readonly told: readonly CrossingAction[];
  readonly executed: () => number;
  /** Ends the execution that is under way. */
  readonly finish: (outcome: ExecutionOutcome) => void;
  /** How often another judgement was asked for. */
  readonly due: () => number;
  set(action: Action): void;
}

const HOUR_MS = 3_600_000;
const NOW_MS = 100 * 24 * HOUR_MS;

function scene(runs: readonly RunFacts[] = []): Scene {
  const told: CrossingAction[] = [];
  let action: Action = "notify";
  let executed = 0;
  let due = 0;
  let finish = (_: ExecutionOutcome): void => {};
  const thresholds = new Thresholds({
    now: () => NOW_MS,
    policy: () => ({ onThreshold: action, quietHours: [], dailyBudgetBytes: null }),
    runs: () => runs,
    isBusy: () => false,
    onCrossed: (given) => told.push(given),
    execute: () => {
      executed += 1;
      return new Promise((resolve) => {
        finish = resolve;
      });
    },
    onState: () => {},
    onDue: () => {
      due += 1;
    },
  });
  const set = (given: Action): void => {
    action = given;
  };
  return {
    thresholds,
    told,
    executed: () => executed,
    finish: (outcome) => finish(outcome),
    due: () => due,
    set,
  };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

it.each<readonly [string, readonly Action[], readonly CrossingAction[]]>([
  ["once", ["notify", "notify"], ["notify"]],
  ["to people when it is not executed any more", ["execute", "notify", "notify"], ["execute", "notify"]],
  ["again after it was off", ["notify", "off", "notify"], ["notify", "notify"]],
  ["once where it is executed only later", ["notify", "execute"], ["notify"]],
])("a crossing is told %s", (_, actions, expected) => {
  const { thresholds, told, set } = scene();
  for (const action of actions) {
    set(action);
    thresholds.judged(CROSSED);
  }
  expect(told).toEqual(expected);
  thresholds.dispose();
});

it("what is executed is not executed a second time because the policy was another for a moment", async () => {
  const { thresholds, executed, finish, set } = scene();
  for (const action of ["execute", "notify", "execute"] as const) {
    set(action);
    thresholds.judged(CROSSED);
  }
  expect(executed()).toBe(1);
  finish({ kind: "done" });
  await turn();
  thresholds.judged(CROSSED);
  expect(executed()).toBe(2);
  thresholds.dispose();
});

it("after a failure it waits, but not once the policy is another", async () => {
  const { thresholds, executed, finish, set } = scene();
  set("execute");
  thresholds.judged(CROSSED);
  finish({ kind: "failed", reason: "no group fits" });
  await turn();
  thresholds.judged(CROSSED);
  expect(executed()).toBe(1);
  expect(thresholds.present()).toMatchObject({ state: "waiting", reason: "no group fits" });
  thresholds.forget();
  thresholds.judged(CROSSED);
  expect(executed()).toBe(2);
  thresholds.dispose();
});

it.each<readonly [ExecutionOutcome["kind"], number]>([
  ["done", 1],
  ["not_begun", 1],
  ["failed", 0],
])(
  "what was judged during an execution that was %s is judged again %i times at once",
  async (kind, times) => {
    const { thresholds, finish, due, set } = scene();
    set("execute");
    thresholds.judged(CROSSED);
    thresholds.judged(CROSSED);
    finish(kind === "failed" ? { kind, reason: "a test" } : { kind });
    await turn();
    expect(due()).toBe(times);
    thresholds.dispose();
  },
);

function runOf(state: RunFacts["state"], hoursAgo: number): RunFacts {
  const at = new Date(NOW_MS - hoursAgo * HOUR_MS).toISOString();
  return {
    runId: `${state}${hoursAgo}`,
    state,
    operation: "compact",
    startedAt: at,
    engine: "duckdb",
    groups: 1,
    inputFiles: 9,
    inputBytes: 90,
    outputFiles: 1,
    outputBytes: 90,
    rows: 9,
    partitions: [""],
    retainedBytes: 90,
    stateSince: at,
    duplicateWindowMs: 0,
    folder: "",
    interruptedGroups: 0,
    reason: null,
  };
}

it.each([
  [[], 1],
  [[runOf("published", 1)], 1],
  [[runOf("published", 0.01)], 0],
  [[runOf("undone", 1)], 0],
  [[runOf("published", 1), runOf("undone", 23)], 0],
  [[runOf("published", 1), runOf("undone", 25)], 1],
  [[runOf("rolled_back", 0)], 1],
] as const)("after %j it executes %i times", async (runs, times) => {
  const { thresholds, executed, set } = scene(runs);
  set("execute");
  thresholds.judged(CROSSED);
  await turn();
  expect(executed()).toBe(times);
  expect(thresholds.present().state).toBe(times === 0 ? "waiting" : "running");
  thresholds.dispose();
});
