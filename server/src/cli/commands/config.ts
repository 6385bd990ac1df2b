import { formatDuration, formatSize, policySchema } from "@tamp/core";
import type {
  WireDatasetPolicy,
  WirePolicyOrigin,
  WirePolicyProblem,
  WirePolicyValue,
} from "../../protocol.ts";
import { type CommandCall, printJson, viewOf } from "../call.ts";
import { policyOf } from "../flags.ts";
import { EXIT_FINE, EXIT_PROBLEM } from "../problem.ts";
import { heading, renderTable, toText, type View } from "../render.ts";
import { printable, wrap } from "../text.ts";

/** What holds for a dataset and who says it; the folder need not hold files yet. */
export async function config(call: CommandCall): Promise<number> {
  const { io, flags, args } = call;
  if (flags.schema === true) {
    io.out(`${JSON.stringify(policySchema(), null, flags.json === true ? 0 : 2)}\n`);
    return EXIT_FINE;
  }
  const [directory = "."] = args;
  const client = await call.connect();
  try {
    const params = { dataset: io.resolvePath(directory), policy: policyOf(flags) };
    const found = await client.request("tamp/policy", params, { signal: io.signal });
    if (flags.json === true) printJson(io, found);
    else io.out(renderPolicy(found, viewOf(call)));
    return found.valid ? EXIT_FINE : EXIT_PROBLEM;
  } finally {
    await client.close().catch(() => {});
  }
}

function renderPolicy(found: WireDatasetPolicy, view: View): string {
  const { paint } = view;
  const rows = found.values.map((value) => [value.name, textOf(value), originOf(value.origin)]);
  return toText([
    paint.bold(printable(found.dataset)),
    ...sourceLines(found),
    "",
    ...renderTable({ head: ["option", "value", "from"], rows, flexible: 1 }, view),
    ...problemLines(found, view),
  ]);
}

function sourceLines({ file, userFile, trusted, onThreshold }: WireDatasetPolicy): readonly string[] {
  const state = trusted ? "" : " (not trusted)";
  const own = userFile === null ? [] : [`  user    ${printable(userFile)}`];
  const nearest = file === null ? "  policy  none" : `  policy  ${printable(file)}${state}`;
  return [nearest, ...own, `  over a threshold: ${onThreshold}`];
}

function textOf({ value, unit }: WirePolicyValue): string {
  if (value === null) return "not set";
  if (typeof value === "number" && unit === "bytes") return formatSize(value);
  if (typeof value === "number" && unit === "ms") return formatDuration(value);
  if (typeof value !== "object") return printable(String(value));
  return value.length === 0 ? "none" : printable(value.join(", "));
}

function originOf({ kind, file, line, variable }: WirePolicyOrigin): string {
  switch (kind) {
    case "file":
    case "user":
      return printable(`${file}:${line}`);
    case "environment":
      return variable ?? kind;
    case "client":
      return "flag";
    default:
      return kind;
  }
}

/** First what is wrong here; a file may be wrong about other datasets too. */
function problemLines({ valid, problems }: WireDatasetPolicy, view: View): readonly string[] {
  if (problems.length === 0) return [];
  const sorted = [...problems].sort((a, b) => Number(b.concerns) - Number(a.concerns));
  const lines = sorted.flatMap((problem) =>
    wrap(problemText(problem), view.hintWidth - 2).map((line) => `  ${line}`),
  );
  const rest = valid ? [] : ["  Nothing is executed by itself until this is mended."];
  return [...heading("Problems", view), ...lines, ...rest];
}

function problemText({ severity, concerns, file, line, column, message }: WirePolicyProblem): string {
  const where = file === null ? "" : `${file}:${line}:${column}: `;
  const about = concerns ? "" : " (another dataset)";
  return printable(`${where}${severity === "held" ? "held back: " : ""}${message}${about}`);
}
