import {
  type CommandCall,
  nextSteps,
  type OpenedDataset,
  requireConsent,
  tellWarnings,
  viewOf,
  withDataset,
} from "../call.ts";
import { carryOutJson, showAndCarryOut } from "../carry-out.ts";
import { checkEngine } from "../flags.ts";
import { paragraph, toText } from "../render.ts";
import { recoveredFirst } from "../render-history.ts";
import { makePlan, plan, refusePlan } from "./plan.ts";

/** Plan and execute in one: fewer, larger files with the rows in their order. */
export async function compact(call: CommandCall): Promise<number> {
  if (call.flags.dryRun === true) return plan(call);
  checkEngine(call.flags);
  requireConsent(call, "compact");
  const [directory = ""] = call.args;
  return withDataset(call, directory, async (found) => {
    const opened = await recoverLeftovers(call, found);
    tellWarnings(call.io, opened.summary.warnings);
    const document = await makePlan(call, opened);
    const source = { planId: document.planId };
    if (call.flags.json === true) return carryOutJson(call, opened, source);
    if (document.kind !== "refused") return showAndCarryOut(call, opened, document, source);
    return refusePlan(call, document);
  });
}

/** First of all, since it changes files: a plan that was made before would be stale. */
async function recoverLeftovers(call: CommandCall, opened: OpenedDataset): Promise<OpenedDataset> {
  const { io, flags } = call;
  const { client, dataset, summary } = opened;
  if (summary.interruptedGroups === 0) return opened;
  const { groups } = await client.request("tamp/recover", { dataset }, { signal: io.signal });
  const lines = paragraph(recoveredFirst(groups, viewOf(call), nextSteps(dataset, flags)));
  if (flags.json !== true && lines.length > 0) io.out(toText(lines));
  const warnings = summary.warnings.filter((text) => !text.includes("`tamp recover "));
  return { ...opened, summary: { ...summary, warnings }, recovered: groups };
}
