import type { CheckResult } from "../../protocol.ts";
import { type CommandCall, filterOf, settledStats, tellWarnings, viewOf, withDataset } from "../call.ts";
import { renderGithub } from "../check-formats/github.ts";
import { renderJunit } from "../check-formats/junit.ts";
import { renderSarif } from "../check-formats/sarif.ts";
import { commandLine, POLICY_FLAGS } from "../flags.ts";
import { EXIT_FINE, EXIT_PROBLEM, type Problem, tellProblem } from "../problem.ts";
import { renderCheck } from "../render-check.ts";
import { UsageError } from "../usage-error.ts";

const EXIT_CROSSED = 1;

/** Says whether a threshold is crossed, for people and for the tools that read the results of a job. */
export function check(call: CommandCall): Promise<number> {
  const { io, flags } = call;
  const [directory = ""] = call.args;
  const render = formatOf(call);
  return withDataset(call, directory, async (opened) => {
    const { client, dataset } = opened;
    await settledStats(call, opened);
    const params = { dataset, ...filterOf(flags) };
    const result = await client.request("tamp/check", params, { signal: io.signal });
    const { crossed, refused, incomplete, warnings } = result;
    const problem = problemOf(result);
    if (render !== renderText || refused === undefined) io.out(render(result, call));
    if (render === renderText)
      tellWarnings(
        io,
        warnings.filter((text) => text !== refused && text !== incomplete),
      );
    if (problem !== null && render !== renderJson) tellProblem(problem, io);
    if (crossed) return EXIT_CROSSED;
    return problem === null ? EXIT_FINE : EXIT_PROBLEM;
  });
}

/** Why the answer does not speak for all that was asked for. */
function problemOf({ refused, incomplete, health }: CheckResult): Problem | null {
  if (refused !== undefined) {
    const isForeign = health.reasons.some(({ kind }) => kind === "foreign_format");
    const hint = isForeign ? "use the table format's own maintenance" : MEND;
    return { message: refused, notDone: "no threshold was checked", hint };
  }
  if (incomplete === undefined) return null;
  return { message: incomplete, notDone: "not every partition was checked as it should be", hint: MEND };
}

const MEND = "mend it and check again; `tamp stats DIR` shows every warning";

type Render = (result: CheckResult, call: CommandCall) => string;

const renderText: Render = (result, call) => renderCheck(result, viewOf(call), nextStep(result, call));
const renderJson: Render = (result) => `${JSON.stringify(result)}\n`;

const FORMATS: ReadonlyMap<string, Render> = new Map([
  ["text", renderText],
  ["json", renderJson],
  ["github", renderGithub],
  ["sarif", renderSarif],
  ["junit", renderJunit],
] satisfies readonly (readonly [string, Render])[]);

function formatOf({ flags: { format, json } }: CommandCall): Render {
  const name = format ?? (json === true ? "json" : "text");
  const found = FORMATS.get(name);
  if (found === undefined)
    throw new UsageError(`--format ${name} is not known`, `give one of ${[...FORMATS.keys()].join(", ")}`);
  if (json === true && name !== "json")
    throw new UsageError(`--json and --format ${name} exclude each other`, "give one of them");
  return found;
}

function nextStep({ dataset }: CheckResult, { flags }: CommandCall): string {
  return commandLine("compact", dataset, flags, ["partition", ...POLICY_FLAGS, "workspace"]);
}
