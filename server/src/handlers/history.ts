import { type Maintenance, maintain } from "../maintain.ts";
import type { RecoverResult, UndoResult, WireRun } from "../protocol.ts";
import { listRuns } from "../runs.ts";
import { undoRun } from "../undo.ts";
import { locateWorkspace } from "../workspace.ts";
import type { HandlerContext } from "./context.ts";
import { rootOf } from "./datasets.ts";
import { requireTrust } from "./execute.ts";

export async function runs({
  daemon,
  params,
}: HandlerContext): Promise<{ readonly runs: readonly WireRun[] }> {
  const { fs } = daemon.deps.ports;
  const dataset = daemon.dataset(rootOf(params));
  return { runs: await listRuns(fs, await locateWorkspace(fs, dataset.root, dataset.workspace)) };
}

export async function undo(context: HandlerContext): Promise<UndoResult> {
  requireTrust(context, "nothing was undone");
  const runId = context.params.optionalString("runId") ?? null;
  const { kind, restored, withdrawn, reason, ...undone } = await maintained(context, (held) =>
    undoRun(held, runId),
  );
  await context.daemon.dataset(rootOf(context.params)).refresh(null, [...restored, ...withdrawn]);
  return {
    kind,
    runId: undone.runId,
    restoredFiles: restored.length,
    withdrawnFiles: withdrawn.length,
    ...(reason === undefined ? {} : { reason }),
  };
}

export async function recover(context: HandlerContext): Promise<RecoverResult> {
  requireTrust(context, "nothing was recovered");
  const groups = await maintained(context, async (held) => [...held.recovered]);
  await context.daemon.dataset(rootOf(context.params)).refresh();
  const quarantined = groups.some((group) => group.action === "quarantine");
  return { kind: groups.length === 0 ? "nothing_to_do" : quarantined ? "quarantined" : "recovered", groups };
}

/** Work under the dataset's lock that a shutdown waits for. */
function maintained<T>(
  { daemon, params, signal }: HandlerContext,
  work: (held: Maintenance) => Promise<T>,
): Promise<T> {
  const dataset = daemon.dataset(rootOf(params));
  const { ports } = daemon.deps;
  return daemon.track(signal, () =>
    dataset.exclusively(() => maintain({ ports, root: dataset.root, workspace: dataset.workspace }, work)),
  );
}
