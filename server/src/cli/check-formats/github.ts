import type { CheckResult } from "../../protocol.ts";
import { explainCrossing, workOfCrossing } from "../crossings.ts";
import { partitionName, printable } from "../text.ts";

/** Workflow commands of GitHub Actions: an annotation for each crossing, unreadable file and warning. */
export function renderGithub(result: CheckResult): string {
  const { dataset, crossings, quarantined, warnings, refused, incomplete = refused } = result;
  const lines = [
    ...crossings.map((crossing) => {
      const text = `${explainCrossing(crossing)} (${workOfCrossing(crossing)})`;
      return command("warning", "Tamp: threshold crossed", `${place(dataset, crossing.partition)}: ${text}`);
    }),
    ...quarantined.map(({ path, detail }) =>
      command(
        "notice",
        "Tamp: file cannot be read",
        `${printable(`${dataset}/${path}`)}: ${printable(detail)}`,
      ),
    ),
    ...warnings.map((text) => command("warning", "Tamp: warning", printable(text))),
    ...(incomplete === undefined
      ? []
      : [command("error", "Tamp: not everything could be checked", printable(incomplete))]),
    ...(crossings.length === 0 && incomplete === undefined
      ? [`No threshold is crossed in ${printable(dataset)}.`]
      : []),
  ];
  return lines.map((line) => `${line}\n`).join("");
}

function place(dataset: string, partition: string): string {
  return `${printable(dataset)}, ${partitionName(partition)}`;
}

function command(name: "error" | "warning" | "notice", title: string, message: string): string {
  return `::${name} title=${escapeProperty(title)}::${escapeData(message)}`;
}

/** As in GitHub's own toolkit (`packages/core/src/command.ts`). */
export function escapeData(text: string): string {
  return text.replaceAll("%", "%25").replaceAll("\r", "%0D").replaceAll("\n", "%0A");
}

export function escapeProperty(text: string): string {
  return escapeData(text).replaceAll(":", "%3A").replaceAll(",", "%2C");
}
