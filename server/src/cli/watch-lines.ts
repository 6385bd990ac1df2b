import type { DatasetSummary } from "../protocol.ts";
import { printJson } from "./call.ts";
import type { DaemonClient } from "./client.ts";
import type { CliIo } from "./io.ts";
import { addChanges, type Changes, createNews, differenceOf, isChange, NO_CHANGES } from "./watch-changes.ts";
import type { WatchTeller } from "./watch-teller.ts";

/** One JSON object a line, from `open` to `end`; protocol.md has them under "Lines of tamp watch". */
export function tellLines(io: CliIo, client: DaemonClient): WatchTeller {
  let phase: "opening" | "open" | "ending" = "opening";
  let news: ReturnType<typeof createNews> = () => NO_CHANGES;
  let untold = NO_CHANGES;
  let last = { text: "", fileCount: 0 };
  const early: (() => void)[] = [];
  const printLine = (kind: string, params: object): void =>
    printJson(io, { kind, at: new Date(io.now()).toISOString(), ...params });
  const print = (kind: string, changes: Changes, summary: DatasetSummary): void => {
    const text = JSON.stringify(summary);
    if (kind === "state" && text === last.text) return;
    last = { text, fileCount: summary.fileCount };
    printLine(kind, { ...changes, ...summary });
  };
  const printOther = (kind: string, params: object): void => {
    if (phase === "opening") early.push(() => printLine(kind, params));
    else printLine(kind, params);
  };
  client.onNotification("tamp/dataset/changed", (params) => {
    if (phase === "opening") return;
    const changes = news(params);
    if (phase === "open") print(isChange(changes) ? "change" : "state", changes, params.summary);
    else untold = addChanges(untold, changes);
  });
  // What the last look finds crossed may come after the last line.
  client.onNotification("tamp/dataset/thresholdCrossed", (params) => {
    if (phase !== "ending") printOther("crossed", params);
  });
  return {
    begin(summary) {
      phase = "open";
      news = createNews(summary);
      print("open", NO_CHANGES, summary);
      for (const tell of early) tell();
    },
    finished: (params) => printOther("run", params),
    async end({ isAnew, look }) {
      phase = "ending";
      const summary = await look();
      print("end", isAnew ? differenceOf(last.fileCount, summary.fileCount) : untold, summary);
    },
  };
}
