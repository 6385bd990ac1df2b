import type { CheckResult } from "../protocol.ts";
import { explainCrossing, workOfCrossing } from "./crossings.ts";
import { heading, renderHealth, toText, type View } from "./render.ts";
import { countOf, partitionName, printable, shorten, wrap } from "./text.ts";

const MOST_CROSSINGS = 20;
const MOST_UNREADABLE = 5;

/** Which partitions are over which threshold, and what else was found. `next` is the command that mends it. */
export function renderCheck(result: CheckResult, view: View, next: string): string {
  const { dataset, crossings, health, incomplete } = result;
  const { bold, good, bad, warn } = view.paint;
  const none =
    incomplete === undefined ? good("No threshold is crossed.") : warn("Not everything could be checked.");
  const verdict =
    crossings.length === 0 ? none : bad(`${countOf(crossings.length, "partition")} over a threshold.`);
  return toText([
    bold(printable(dataset)),
    verdict,
    ...crossingLines(result, view),
    "",
    ...renderHealth(health, view),
    ...unreadableLines(result, view),
    ...unsettledLines(result, view),
    ...(crossings.length === 0 ? [] : ["", ...wrap(`next step: ${next}`, view.hintWidth)]),
  ]);
}

function crossingLines({ crossings }: CheckResult, { paint, width }: View): readonly string[] {
  const more = crossings.length - MOST_CROSSINGS;
  return [
    ...crossings
      .slice(0, MOST_CROSSINGS)
      .flatMap((crossing) => [
        `  ${shorten(partitionName(crossing.partition), width - 2)}`,
        ...wrap(explainCrossing(crossing), width - 4).map((line) => `    ${paint.warn(line)}`),
        `    ${paint.dim(workOfCrossing(crossing))}`,
      ]),
    ...(more > 0 ? [`  … and ${countOf(more, "more partition")} (all: --json)`] : []),
  ];
}

function unreadableLines({ counts, quarantined }: CheckResult, view: View): readonly string[] {
  const { quarantinedCount } = counts;
  if (quarantinedCount === 0) return [];
  const more = quarantinedCount - Math.min(quarantined.length, MOST_UNREADABLE);
  return [
    ...heading(`Cannot be read: ${countOf(quarantinedCount, "file")} (crosses no threshold)`, view),
    ...quarantined
      .slice(0, MOST_UNREADABLE)
      .flatMap(({ path, detail }) => [
        `  ${shorten(printable(path), view.width - 2)}`,
        ...wrap(printable(detail), view.width - 4).map((line) => `    ${view.paint.dim(line)}`),
      ]),
    ...(more > 0 ? [`  … and ${countOf(more, "more file")} (tamp check --json)`] : []),
  ];
}

function unsettledLines({ counts: { unsettledCount } }: CheckResult, view: View): readonly string[] {
  if (unsettledCount === 0) return [];
  const text = `${countOf(unsettledCount, "file")} may still be written and took no part in this`;
  return ["", ...wrap(text, view.width)];
}
