import type { PurgeParams, PurgeResult } from "@tamp/server/protocol";
import { ProgressLocation, window } from "vscode";
import { nameOf } from "./format.ts";
import { confirm, requireTrust, tell } from "./messages.ts";
import { confirmPurge, isSamePurge, purgeDetails, purgeOutcome } from "./purge-text.ts";
import { recoveredDetails } from "./recovered-text.ts";
import type { Services } from "./services.ts";

const EVERY_RUN = "Purge All…";

/** Shows which originals would be deleted, asks, deletes them, tells. Where none is due, all may be asked for. */
export async function purgeOriginals(root: string, services: Services): Promise<void> {
  if (!(await requireTrust("Purging originals"))) return;
  const { dataset } = await services.datasets.ensureOpen(root);
  const due = await purge({ dataset, dryRun: true }, services);
  if (due.kind !== "nothing_to_do" || due.retainedBytes === 0) return askAndPurge({ dataset }, due, services);
  if ((await tell(purgeOutcome(due, dataset), EVERY_RUN)) !== EVERY_RUN) return;
  const all = { dataset, all: true };
  await askAndPurge(all, await purge({ ...all, dryRun: true }, services), services);
}

async function askAndPurge(asked: PurgeParams, preview: PurgeResult, services: Services): Promise<void> {
  const { dataset } = asked;
  if (preview.kind !== "purged") {
    await tell(purgeOutcome(preview, dataset));
    return;
  }
  if (!(await confirm(confirmPurge(preview, dataset), "Delete Originals"))) return;
  // The answer was about these runs: one that ended meanwhile stays undoable.
  if (!isSamePurge(preview, await purge({ ...asked, dryRun: true }, services))) {
    const message = `${nameOf(dataset)}: other runs would be purged now; nothing was deleted. Try again.`;
    await tell({ severity: "warning", message });
    return;
  }
  const result = await purge(asked, services);
  for (const line of [...recoveredDetails(result.recovered), ...purgeDetails(result)])
    services.log.info(line);
  await tell(purgeOutcome(result, dataset));
}

/** Waits for a run under way, so that it is told what is waited for. */
async function purge(params: PurgeParams, { daemon }: Services): Promise<PurgeResult> {
  const title = `Tamp: ${params.dryRun === true ? "looking for" : "deleting"} originals of ${nameOf(params.dataset)}`;
  return window.withProgress({ location: ProgressLocation.Window, title }, () =>
    daemon.request("tamp/purge", params),
  );
}
