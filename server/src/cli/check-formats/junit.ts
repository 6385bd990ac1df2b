import type { CheckResult } from "../../protocol.ts";
import { explainCrossing, workOfCrossing } from "../crossings.ts";
import { partitionName, printable } from "../text.ts";

/**
 * A failed test for each crossing, or one that passed; one in error where not everything could be checked; a skipped
 * one for each file that cannot be read. Warnings are what the tests wrote to stderr.
 */
export function renderJunit(result: CheckResult): string {
  const { dataset, crossings, quarantined, warnings, refused, incomplete = refused } = result;
  const failed = crossings.map((crossing) => {
    const text = explainCrossing(crossing);
    const failure = element("failure", { message: text, type: crossing.trigger }, workOfCrossing(crossing));
    return testCase(partitionName(crossing.partition), failure);
  });
  const unknown = incomplete === undefined ? [] : [incompleteCase(incomplete)];
  const passed = failed.length + unknown.length === 0 ? [testCase("no threshold is crossed", "")] : [];
  const skipped = quarantined.map(({ path, detail }) =>
    testCase(printable(path), element("skipped", { message: `cannot be read: ${detail}` }, "")),
  );
  const cases = [...failed, ...unknown, ...passed, ...skipped];
  const counts = {
    tests: String(cases.length),
    failures: String(failed.length),
    errors: String(unknown.length),
    skipped: String(skipped.length),
  };
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<testsuites${attributes({ name: "tamp check", ...counts })}>`,
    `<testsuite${attributes({ name: dataset, ...counts })}>`,
    ...cases,
    ...(warnings.length === 0 ? [] : [element("system-err", {}, warnings.join("; "))]),
    "</testsuite>",
    "</testsuites>",
    "",
  ].join("\n");
}

function incompleteCase(why: string): string {
  return testCase("everything could be checked", element("error", { message: why, type: "incomplete" }, ""));
}

function testCase(name: string, within: string): string {
  return `<testcase${attributes({ classname: "tamp.check", name })}${within === "" ? "/>" : `>${within}</testcase>`}`;
}

function element(name: string, values: Readonly<Record<string, string>>, text: string): string {
  return `<${name}${attributes(values)}>${escapeXml(text)}</${name}>`;
}

function attributes(values: Readonly<Record<string, string>>): string {
  return Object.entries(values)
    .map(([name, value]) => ` ${name}="${escapeXml(value)}"`)
    .join("");
}

const ENTITIES: ReadonlyMap<string, string> = new Map([
  ["&", "&amp;"],
  ["<", "&lt;"],
  [">", "&gt;"],
  ['"', "&quot;"],
]);

/** XML 1.0 has no way at all to write most control characters, halves of a pair, and two more. */
function escapeXml(text: string): string {
  return printable(text)
    .replace(/[\p{Surrogate}\uFFFE\uFFFF]/gu, "\uFFFD")
    .replace(/[&<>"]/g, (character) => ENTITIES.get(character) ?? "");
}
