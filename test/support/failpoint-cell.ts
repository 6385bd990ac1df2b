import { rmSync } from "node:fs";
import { basename, join } from "node:path";
import type { DaemonClient } from "../../server/src/cli/client.ts";
import type { RecoverResult } from "../../server/src/protocol.ts";
import { imageOf } from "./dataset-image.ts";
import {
  type Arming,
  createArming,
  runFailing,
  type ServedDaemon,
  serveFailing,
} from "./failpoint-daemon.ts";
import {
  type CellFolder,
  flagsOf,
  groupCountOf,
  isPurging,
  makeCell,
  policyOf,
  type Scenario,
  type Template,
} from "./failpoint-scenarios.ts";
import type { Fault } from "./failpoints.ts";
import { groupStates, type KnownDataset, lostRows, restProblems } from "./oracle.ts";

/** Processes that a sequence of cells shares: one that is made to fail, and one that is never. */
export interface Lane {
  readonly entry: string;
  readonly arming: Arming;
  failing: ServedDaemon;
  readonly healthy: ServedDaemon;
}

export async function createLane(entry: string): Promise<Lane> {
  const arming = createArming();
  const [failing, healthy] = await Promise.all([serveFailing(entry, arming), serveFailing(entry, null)]);
  return { entry, arming, failing, healthy };
}

export async function disposeLane({ arming, failing, healthy }: Lane): Promise<void> {
  await Promise.all([failing.dispose(), healthy.dispose()]);
  arming.dispose();
}

export interface CellRequest {
  readonly lane: Lane;
  readonly scenario: Scenario;
  readonly template: Template;
  /** Null: nothing fails, all calls are listed. */
  readonly fault: Fault | null;
  /** A process of the command line, or a request to the daemon. */
  readonly by: "command" | "daemon";
}

export interface CellResult {
  readonly calls: readonly string[];
  readonly struck: boolean;
  /** What the operation answered, shortened. */
  readonly told: string;
  readonly problems: readonly string[];
}

let cells = 0;

/** One operation on a fresh dataset with one fault, then all that must hold. */
export async function runCell(request: CellRequest): Promise<CellResult> {
  const { lane, scenario, fault } = request;
  const cell = await makeCell(scenario, request.template);
  cells += 1;
  const id = `cell-${cells}`;
  const client = lane.healthy.client;
  try {
    const known = await prepare(request, cell);
    const arrival = { at: scenario.arriveAt, from: request.template.arrival, to: cell.arrival };
    const { root, workspace } = cell;
    const begin = (): void => lane.arming.arm({ id, root, workspace, fault, arrival });
    const told = await (request.by === "command" ? command(request, cell, begin) : ask(request, cell, begin));
    const withArrival = { ...known, arrived: arrivedIn(cell) };
    const problems = [...told.problems, ...(await lostRows(withArrival))];
    if (fault === null && withArrival.arrived.size === 0) problems.push("nothing arrived in the middle");
    problems.push(...(await disagreements(withArrival, told)));
    lane.arming.disarm();
    problems.push(...(await afterwards(request, cell, withArrival)));
    if (request.by === "daemon") problems.push(...(await stillWorks(lane, cell)));
    problems.push(...lockProblems(cell));
    const calls = lane.arming.calls(id);
    return { calls, struck: calls.some((call) => call.startsWith("!")), told: told.text, problems };
  } finally {
    lane.arming.disarm();
    await client.request("tamp/dataset/close", { dataset: cell.root }).catch(() => {});
    rmSync(cell.folder, { recursive: true, force: true });
  }
}

/** Plans, and brings the dataset to where the operation under test begins. */
async function prepare({ lane, scenario }: CellRequest, cell: CellFolder): Promise<KnownDataset> {
  const { client } = lane.healthy;
  const planId = await openAndPlan(client, scenario, cell);
  const { groups } = await client.request("tamp/plan/document", { planId });
  if (groups.length !== groupCountOf(scenario)) throw new Error(`the plan has ${groups.length} groups`);
  const known = {
    root: cell.root,
    workspace: cell.workspace,
    original: cell.original,
    groups: groups.map((group) => group.inputs.map((input) => input.path)),
    arrived: new Map(),
    purges: isPurging(scenario),
  };
  if (scenario.prepare === "nothing") return known;
  const interruption = scenario.prepare === "publish" ? null : scenario.prepare;
  if (interruption?.operation !== "compact") {
    const { kind } = await client.request("tamp/execute", { dataset: cell.root, planId, overlapMs: 0 });
    if (kind !== "published") throw new Error(`the run to begin with was ${kind}`);
  }
  if (interruption !== null) {
    const { operation, ...point } = interruption;
    const fault = { ...point, kind: "kill", lasting: false } as const;
    lane.arming.arm({ id: "prepare", root: cell.root, workspace: cell.workspace, fault, arrival: null });
    const { signal, text } = await runFailing(lane.entry, lane.arming, argsOf(operation, scenario, cell));
    lane.arming.disarm();
    if (signal !== "SIGKILL") throw new Error(`the run to recover from was not killed: ${text}`);
  }
  return known;
}

async function openAndPlan(client: DaemonClient, scenario: Scenario, cell: CellFolder): Promise<string> {
  const dataset = cell.root;
  const workspace = cell.asked === null ? {} : { workspace: cell.asked };
  await client.request("tamp/dataset/open", {
    dataset,
    watch: false,
    policy: policyOf(scenario),
    ...workspace,
  });
  return (await client.request("tamp/plan", { dataset, operation: "compact" })).planId;
}

/** What an operation answered, and what that claims of the groups. */
interface Told {
  readonly text: string;
  readonly claims: readonly ("before" | "after" | null)[];
  readonly problems: readonly string[];
}

function argsOf(operation: Scenario["operation"], scenario: Scenario, cell: CellFolder): readonly string[] {
  const flags = {
    compact: ["--yes", "--overlap", "0", ...flagsOf(scenario)],
    undo: ["--yes"],
    recover: [],
    purge: ["--all", "--yes"],
  }[operation];
  const workspace = cell.asked === null ? [] : ["--workspace", cell.asked];
  return [operation, cell.root, "--json", ...flags, ...workspace];
}

async function command(
  { lane, scenario, fault }: CellRequest,
  cell: CellFolder,
  begin: () => void,
): Promise<Told> {
  begin();
  const { operation } = scenario;
  const { code, signal, text } = await runFailing(lane.entry, lane.arming, argsOf(operation, scenario, cell));
  const wanted = fault?.kind === "kill" ? signal === "SIGKILL" || code === 0 : code === 0;
  const problems = wanted ? [] : [`tamp ${operation} ended with ${code ?? signal}: ${text.slice(0, 300)}`];
  return { text: signal ?? `exit ${code}`, claims: [], problems };
}

const ANSWER_MS = 180_000;

async function ask({ lane, scenario }: CellRequest, cell: CellFolder, begin: () => void): Promise<Told> {
  const { client } = lane.failing;
  const dataset = cell.root;
  const planId = await openAndPlan(client, scenario, cell);
  begin();
  try {
    const told = await within(ANSWER_MS, send(client, scenario, dataset, planId));
    return { ...told, problems: await unanswered(client, dataset, "while the fault was there") };
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    return { text, claims: [], problems: await unanswered(client, dataset, "while the fault was there") };
  }
}

async function send(
  client: DaemonClient,
  { operation }: Scenario,
  dataset: string,
  planId: string,
): Promise<Omit<Told, "problems">> {
  switch (operation) {
    case "compact": {
      const { kind, reason, groups } = await client.request("tamp/execute", {
        dataset,
        planId,
        overlapMs: 0,
      });
      const claims = groups.map(({ kind: group }) =>
        group === "published" ? "after" : group === "unknown" ? null : "before",
      );
      return { text: `${kind}: ${reason ?? ""}`, claims };
    }
    case "undo": {
      const { kind, reason } = await client.request("tamp/undo", { dataset });
      return { text: `${kind}: ${reason ?? ""}`, claims: kind === "undone" ? ["before"] : [] };
    }
    case "recover": {
      const { kind, groups } = await client.request("tamp/recover", { dataset });
      return { text: `${kind}: ${groups.map((group) => group.detail).join("; ")}`, claims: [] };
    }
    case "purge": {
      const { kind, reason } = await client.request("tamp/purge", { dataset, all: true });
      return { text: `${kind}: ${reason ?? ""}`, claims: ["after"] };
    }
  }
}

function within<T>(limitMs: number, work: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no answer within ${limitMs / 1000} s`)), limitMs);
    work.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

async function unanswered(client: DaemonClient, dataset: string, when: string): Promise<readonly string[]> {
  try {
    await within(ANSWER_MS, client.request("tamp/dataset/stats", { dataset, sync: true }));
    return [];
  } catch (error) {
    return [`the daemon did not answer ${when}: ${String(error)}`];
  }
}

/** What was answered must be what lies on the disk, before anything is recovered. */
async function disagreements(known: KnownDataset, { text, claims }: Told): Promise<readonly string[]> {
  const states = await groupStates(known);
  return claims.flatMap((claim, index) =>
    claim === null || states[index] === claim
      ? []
      : [`group ${index + 1} is ${states[index]} although the answer was ${text}`],
  );
}

function arrivedIn({ root, arrival }: CellFolder): KnownDataset["arrived"] {
  return new Map([...imageOf(root)].filter(([path]) => join(root, path) === arrival));
}

/** Recovery by a healthy process, once more, then undo as far as it goes. */
async function afterwards(
  { lane, scenario }: CellRequest,
  cell: CellFolder,
  known: KnownDataset,
): Promise<readonly string[]> {
  const { client } = lane.healthy;
  const dataset = cell.root;
  const problems: string[] = [];
  try {
    const { kind, groups } = await recover(lane, dataset);
    if (kind === "quarantined")
      problems.push(`quarantined: ${groups.map(({ detail }) => detail).join("; ")}`);
    problems.push(...(await restProblems(known)));
    const rested = imagesOf(cell);
    const second = await within(ANSWER_MS, client.request("tamp/recover", { dataset }));
    if (second.kind !== "nothing_to_do") problems.push(`the second recovery was ${second.kind}`);
    if (imagesOf(cell) !== rested) problems.push("the second recovery changed something");
    if (!isPurging(scenario)) problems.push(...(await undoProblems(client, known)));
  } catch (error) {
    problems.push(`after the fault: ${error instanceof Error ? error.message : String(error)}`);
  }
  return problems;
}

/** A lock that could not be given back stays with the daemon while it lives: it alone may take it up again. */
async function recover({ failing, healthy }: Lane, dataset: string): Promise<RecoverResult> {
  const ask = ({ client }: ServedDaemon) => within(ANSWER_MS, client.request("tamp/recover", { dataset }));
  try {
    return await ask(healthy);
  } catch (error) {
    if (!String(error).includes(`maintained by process ${failing.process.pid} `)) throw error;
  }
  return ask(failing);
}

function imagesOf({ folder }: CellFolder): string {
  return JSON.stringify([...imageOf(folder)]);
}

async function undoProblems(client: DaemonClient, known: KnownDataset): Promise<readonly string[]> {
  for (;;) {
    const { kind, reason } = await client.request("tamp/undo", { dataset: known.root });
    if (kind === "refused") return [`the undo was refused: ${reason}`];
    if (kind === "nothing_to_do") break;
  }
  const problems = await restProblems(known);
  const states = await groupStates(known);
  return states.every((state) => state === "before") ? problems : [...problems, "the undo gave not all back"];
}

/** The daemon that failed maintains as before. One that ended is started anew, so that the next cell has one. */
async function stillWorks(lane: Lane, { root: dataset }: CellFolder): Promise<readonly string[]> {
  const { client, process } = lane.failing;
  const problems = [...(await unanswered(client, dataset, "after the fault"))];
  try {
    const { kind } = await within(ANSWER_MS, client.request("tamp/recover", { dataset }));
    if (kind !== "nothing_to_do") problems.push(`the last recovery was ${kind}`);
    await client.request("tamp/dataset/close", { dataset });
  } catch (error) {
    problems.push(`the daemon that failed does not recover: ${String(error)}`);
  }
  if (process.exitCode !== null || problems.length > 0) {
    await lane.failing.dispose();
    lane.failing = await serveFailing(lane.entry, lane.arming);
  }
  return problems;
}

/** Whatever a living process could not remove, it has removed by now. */
function lockProblems({ folder }: CellFolder): readonly string[] {
  const left = [...imageOf(folder).keys()].filter((path) => basename(path).startsWith("lock"));
  return left.map((path) => `${path} is left over`);
}
