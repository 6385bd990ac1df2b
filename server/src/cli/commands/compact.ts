import { type CommandCall, requireConsent, tellWarnings, withDataset } from "../call.ts";
import { carryOutJson, showAndCarryOut } from "../carry-out.ts";
import { checkEngine } from "../flags.ts";
import { makePlan, plan, refusePlan } from "./plan.ts";

/** Plan and execute in one: fewer, larger files with the rows in their order. */
export async function compact(call: CommandCall): Promise<number> {
  if (call.flags.dryRun === true) return plan(call);
  checkEngine(call.flags);
  requireConsent(call, "compact");
  const [directory = ""] = call.args;
  return withDataset(call, directory, async (opened) => {
    tellWarnings(call, opened);
    const document = await makePlan(call, opened);
    const source = { planId: document.planId };
    if (call.flags.json === true) return carryOutJson(call, opened, source);
    if (document.kind !== "refused") return showAndCarryOut(call, opened, document, source);
    return refusePlan(call, document);
  });
}
