import { rmSync } from "node:fs";
import { dirname } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { buildFailing } from "../support/failpoint-build.ts";
import {
  type CellRequest,
  type CellResult,
  createLane,
  disposeLane,
  type Lane,
  runCell,
} from "../support/failpoint-cell.ts";
import { makeTemplate, SCENARIOS, type Scenario, type Template } from "../support/failpoint-scenarios.ts";
import { allFailpoints, FAULTS, type Fault, type FaultKind, plainFailpoints } from "../support/failpoints.ts";
import { createRandom, SEED, shuffled } from "../support/seed.ts";

/** `npm run test:full` takes every point; else so many cells are drawn for a scenario and a fault. */
const FULL = process.env.TAMP_FULL === "1";
const SAMPLE = Number(process.env.TAMP_CELLS ?? 9);
/** Cells side by side, each with processes and a dataset of its own. */
const LANES = 3;
const MOST_MS = 3 * 3_600_000;

let entry = "";
const lanes: Lane[] = [];
const templates = new Map<string, Template>();
/** By scenario and by who asks: how often each failpoint is passed when nothing fails. */
const recorded = new Map<string, ReadonlyMap<string, number>>();
const unhurt: string[] = [];
const seen = new Set<string>();
const totals = { cells: 0, struck: 0, failed: 0 };

beforeAll(async () => {
  entry = await buildFailing();
  lanes.push(...(await Promise.all(Array.from({ length: LANES }, () => createLane(entry)))));
  const runs = SCENARIOS.flatMap((scenario) => {
    templates.set(scenario.name, makeTemplate(scenario));
    return (["command", "daemon"] as const).map((by) => ({ scenario, by, fault: null }));
  });
  await inLanes(runs, (run, { calls, problems }) => {
    unhurt.push(...problems.map((problem) => `${run.scenario.name}, ${run.by}: ${problem}`));
    const counts = new Map<string, number>();
    for (const call of calls) counts.set(call, (counts.get(call) ?? 0) + 1);
    recorded.set(keyOf(run), counts);
  });
}, MOST_MS);

afterAll(async () => {
  await Promise.all(lanes.map(disposeLane));
  for (const { folder } of templates.values()) rmSync(folder, { recursive: true, force: true });
  rmSync(dirname(entry), { recursive: true, force: true });
  const { cells, struck, failed } = totals;
  process.stdout.write(
    `failpoints, seed ${SEED}: ${cells} cells, ${struck} struck, ${failed} with violations\n`,
  );
});

type Cell = Pick<CellRequest, "scenario" | "by" | "fault">;

function keyOf({ scenario, by }: Pick<Cell, "scenario" | "by">): string {
  return `${scenario.name} by ${by}`;
}

/** Each lane takes the next cell when it is done with one. */
async function inLanes(
  cells: readonly Cell[],
  onDone: (cell: Cell, result: CellResult) => void,
): Promise<void> {
  const waiting = [...cells];
  await Promise.all(
    lanes.map(async (lane) => {
      for (let cell = waiting.shift(); cell !== undefined; cell = waiting.shift()) {
        const template = templates.get(cell.scenario.name) as Template;
        const result = await runCell({ ...cell, lane, template });
        for (const call of result.calls) seen.add(call.replace("!", ""));
        onDone(cell, result);
      }
    }),
  );
}

function cellsOf(scenario: Scenario, kind: FaultKind): readonly Cell[] {
  const by = kind === "kill" ? "command" : "daemon";
  const cells = [...(recorded.get(keyOf({ scenario, by })) ?? [])].flatMap(([at, count]) =>
    occurrencesOf(kind, count).flatMap((occurrence) =>
      (kind === "kill" ? [false] : [false, true]).map((lasting): Cell => {
        const fault: Fault = { kind, at, occurrence, lasting };
        return { scenario, by, fault };
      }),
    ),
  );
  const random = createRandom(SEED + SCENARIOS.indexOf(scenario) * FAULTS.length + FAULTS.indexOf(kind));
  return FULL ? cells : shuffled(cells, random).slice(0, SAMPLE);
}

/** A killed process leaves another disk at each call; a failed call is answered in the same way wherever it fails. */
function occurrencesOf(kind: FaultKind, count: number): readonly number[] {
  if (kind === "kill") return Array.from({ length: count }, (_, index) => index + 1);
  return [...new Set([1, Math.ceil(count / 2), count])];
}

function textOf({ fault }: Cell, { told, problems }: CellResult): string {
  const place = fault === null ? "" : `${fault.at}#${fault.occurrence}${fault.lasting ? " and on" : ""}`;
  return `${place}: ${problems.join("; ")} (answered: ${told.slice(0, 160)})`;
}

it("leaves all as it must be where nothing fails", () => {
  expect(unhurt).toEqual([]);
});

describe(`seed ${SEED}: no row is lost`, () => {
  const rows = SCENARIOS.flatMap((scenario) =>
    FAULTS.map((kind) => [scenario.name, kind, scenario] as const),
  );
  it.each(rows)(
    "%s × %s",
    async (_name, kind, scenario) => {
      const failures: string[] = [];
      let struck = 0;
      await inLanes(cellsOf(scenario, kind), (cell, result) => {
        totals.cells += 1;
        if (result.struck) struck += 1;
        if (result.problems.length === 0) return;
        failures.push(textOf(cell, result));
        // A run of hours tells at once what it finds.
        process.stdout.write(`${scenario.name} × ${kind}: ${textOf(cell, result)}\n`);
      });
      totals.struck += struck;
      totals.failed += failures.length;
      expect(failures).toEqual([]);
      expect(struck).toBeGreaterThan(0);
    },
    MOST_MS,
  );
});

describe("the table of failpoints", () => {
  it("lists all that occur", () => {
    // A sample meets other failures each time: what only they lead to is for the full run to find.
    const occurred = FULL ? seen : new Set([...recorded.values()].flatMap((counts) => [...counts.keys()]));
    const listed = new Set(allFailpoints());
    expect([...occurred].filter((name) => !listed.has(name))).toEqual([]);
  });

  it("lists none that never occurs", () => {
    const passed = new Set([...recorded.values()].flatMap((counts) => [...counts.keys()]));
    expect(plainFailpoints().filter((name) => !passed.has(name))).toEqual([]);
  });
});
