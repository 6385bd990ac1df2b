import type { CheckResult, WireCrossing } from "../../protocol.ts";
import { explainCrossing, workOfCrossing } from "../crossings.ts";
import { partitionName, printable } from "../text.ts";

interface Finding {
  readonly rule: string;
  readonly level: "warning" | "note";
  readonly text: string;
  /** Relative to the dataset. */
  readonly uri: string;
}

const RULES: Readonly<Record<WireCrossing["trigger"] | "unreadable", string>> = {
  count: "More small files in a partition than the policy allows",
  bytes: "More bytes in small files of a partition than the policy allows",
  age: "Small files of a partition older than the policy allows",
  row_groups: "More row groups in a partition than its rows need",
  oversize: "A file larger than the policy allows",
  codec: "Files with another codec than the policy asks for",
  unreadable: "A file that cannot be read",
};

const BASE = "DATASET";

/**
 * SARIF 2.1.0: a result for each crossing, whose place is the partition's directory, and each unreadable file;
 * warnings are notifications of the run.
 */
export function renderSarif(result: CheckResult): string {
  const { dataset, crossings, quarantined, refused, incomplete = refused } = result;
  const findings: readonly Finding[] = [
    ...crossings.map((crossing) => crossingOf(crossing)),
    ...quarantined.map(({ path, detail }) => ({
      rule: "unreadable",
      level: "note" as const,
      text: `${printable(path)}: cannot be read: ${printable(detail)}`,
      uri: uriOf(path),
    })),
  ];
  const rules = [...new Set(findings.map(({ rule }) => rule))];
  const log = {
    $schema: "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
    version: "2.1.0",
    runs: [
      {
        tool: { driver: { name: "tamp", rules: rules.map(presentRule) } },
        originalUriBaseIds: { [BASE]: { uri: `file://${uriOf(dataset)}/` } },
        invocations: [
          {
            executionSuccessful: incomplete === undefined,
            toolExecutionNotifications: notificationsOf(result),
          },
        ],
        results: findings.map((finding) => presentFinding(finding, rules.indexOf(finding.rule))),
      },
    ],
  };
  return `${JSON.stringify(log, null, 2)}\n`;
}

function notificationsOf({ warnings, refused, incomplete = refused }: CheckResult): readonly object[] {
  const told = warnings.map((text) => ({ level: "warning", message: { text: printable(text) } }));
  if (incomplete === undefined) return told;
  const text = `not everything could be checked: ${printable(incomplete)}`;
  return [...told, { level: "error", message: { text } }];
}

function crossingOf(crossing: WireCrossing): Finding {
  const { partition, trigger } = crossing;
  return {
    rule: trigger,
    level: "warning",
    text: `${partitionName(partition)}: ${explainCrossing(crossing)} (${workOfCrossing(crossing)})`,
    uri: partition === "" ? "./" : `${uriOf(partition)}/`,
  };
}

function presentRule(id: string): object {
  const text = new Map(Object.entries(RULES)).get(id) ?? id;
  return { id, shortDescription: { text } };
}

function presentFinding({ rule, level, text, uri }: Finding, ruleIndex: number): object {
  return {
    ruleId: rule,
    ruleIndex,
    level,
    message: { text },
    locations: [{ physicalLocation: { artifactLocation: { uri, uriBaseId: BASE } } }],
    // The same finding of two checks is one.
    partialFingerprints: { "tampPlace/v1": `${rule}:${uri}` },
  };
}

function uriOf(path: string): string {
  const segments = path.replace(/\p{Surrogate}/gu, "\uFFFD").split("/");
  return segments.map(encodeURIComponent).join("/");
}
