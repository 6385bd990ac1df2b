import type { ThresholdCrossedParams } from "@tamp/server/protocol";
import { commands, type Disposable, type Memento, window } from "vscode";
import { NoticeLedger, noticeText, type Told } from "./notice-text.ts";
import type { Services } from "./services.ts";
import { silenceNotices, wantsNotices } from "./settings.ts";

const TOLD_KEY = "tamp.told";

/** Tells that a dataset has newly crossed a threshold, and offers what can be done about it. */
export function registerNotices(memento: Memento, services: Services): readonly Disposable[] {
  const { daemon, datasets, status } = services;
  const save = (told: Told): void => void memento.update(TOLD_KEY, told);
  const ledger = new NoticeLedger(memento.get<Told>(TOLD_KEY, {}), save);
  return [
    datasets.onChanged(() => {
      for (const summary of datasets.summaries()) ledger.observe(summary);
    }),
    daemon.onThresholdCrossed((params) => {
      // What runs by itself needs nobody.
      if (params.action === "execute" || !wantsNotices() || status.isRunning(params.dataset)) return;
      if (ledger.isNew(params.dataset, params.plan.stats.compactedFileCount)) void notify(params);
    }),
  ];
}

async function notify(params: ThresholdCrossedParams): Promise<void> {
  const chosen = await window.showInformationMessage(
    noticeText(params),
    "Preview",
    "Compact",
    "Don't Show Again",
  );
  if (chosen === "Preview") await commands.executeCommand("tamp.previewCompaction", params.dataset);
  else if (chosen === "Compact") await commands.executeCommand("tamp.compact", params.dataset);
  else if (chosen === "Don't Show Again") await silenceNotices();
}
