import type { CheckResult } from "../../protocol.ts";
import { explainCrossing, workOfCrossing } from "../crossings.ts";
import { partitionName, printable } from "../text.ts";

/** Workflow commands of GitHub Actions: a warning for each crossing, a notice for each file that cannot be read. */
export function renderGithub(result: CheckResult): string {
  const { dataset, crossings, quarantined } = result;
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
    ...(crossings.length === 0 ? [`No threshold is crossed in ${printable(dataset)}.`] : []),
  ];
  return lines.map((line) => `${line}\n`).join("");
}

function place(dataset: string, partition: string): string {
  return `${printable(dataset)}, ${partitionName(partition)}`;
}

function command(name: "warning" | "notice", title: string, message: string): string {
  return `::${name} title=${escapeProperty(title)}::${escapeData(message)}`;
}

/** As in GitHub's own toolkit (`packages/core/src/command.ts`). */
export function escapeData(text: string): string {
  return text.replaceAll("%", "%25").replaceAll("\r", "%0D").replaceAll("\n", "%0A");
}

export function escapeProperty(text: string): string {
  return escapeData(text).replaceAll(":", "%3A").replaceAll(",", "%2C");
}
