import { TampError } from "../../errors.ts";
import type { PlanDocument } from "../../protocol.ts";
import { type CommandCall, requireConsent, tellWarnings, withDataset } from "../call.ts";
import { carryOutJson, showAndCarryOut } from "../carry-out.ts";
import { checkEngine } from "../flags.ts";

/** Carries out a plan that was written before, in the dataset that it names or in DIR. */
export async function execute(call: CommandCall): Promise<number> {
  checkEngine(call.flags);
  requireConsent(call, "execute");
  const [file = "", directory] = call.args;
  const document = await readPlan(call, file);
  return withDataset(call, directory ?? document.dataset, (opened) => {
    tellWarnings(call.io, opened.summary.warnings);
    const source = { plan: document };
    return call.flags.json === true
      ? carryOutJson(call, opened, source)
      : showAndCarryOut(call, opened, document, source);
  });
}

async function readPlan({ io }: CommandCall, file: string): Promise<PlanDocument> {
  const path = io.resolvePath(file);
  const text = await io.readFile(path).catch((error: unknown) => {
    throw refused("IoError", `${path} cannot be read: ${error instanceof Error ? error.message : error}`);
  });
  const value = parse(text);
  if (!isPlan(value)) throw refused("InvalidParams", `${path} is not a Tamp plan`);
  return value;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

const KINDS: readonly unknown[] = ["planned", "nothing_to_do", "refused"];
const OBJECTS = ["stats", "skippedByReason", "estimate", "benefit", "health", "policy"] as const;
const LISTS = ["groups", "skipped", "notes", "partitionFilter"] as const;

const ESTIMATES = ["ratio", "neededBytes", "freeBytes", "retainedBytes", "purgeBytes"] as const;

/** What showing it needs; the daemon checks the rest before it executes anything. */
function isPlan(value: unknown): value is PlanDocument {
  if (!isRecord(value) || value.tampPlan !== 1 || !KINDS.includes(value.kind)) return false;
  const { estimate } = value;
  return (
    typeof value.dataset === "string" &&
    typeof value.planId === "string" &&
    OBJECTS.every((name) => isRecord(value[name])) &&
    LISTS.every((name) => Array.isArray(value[name])) &&
    isRecord(estimate) &&
    ESTIMATES.every((name) => typeof estimate[name] === "number") &&
    (value.groups as readonly unknown[]).every(isGroup)
  );
}

function isGroup(value: unknown): boolean {
  if (!isRecord(value)) return false;
  const { partition, inputs, outputRows, reasons } = value;
  return typeof partition === "string" && [inputs, outputRows, reasons].every(Array.isArray);
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function refused(code: "IoError" | "InvalidParams", message: string): TampError {
  return new TampError(code, message, {
    hint: "`tamp plan DIR --out FILE` writes a plan that can be executed",
    notDone: "nothing was executed",
  });
}
