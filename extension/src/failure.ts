import { ERROR_CODES, type ErrorCode, type WireErrorData } from "@tamp/server/protocol";
import { sentences } from "./format.ts";

/** What a failed request says, in the words that a person reads. */
export interface Failure {
  readonly kind: "cancelled" | "stale" | "untrusted" | "disconnected" | "failed";
  readonly message: string;
}

/** LSP's number for a request that was cancelled. */
const REQUEST_CANCELLED = -32800;
/** vscode-jsonrpc's numbers for answers that cannot come any more. */
const DISCONNECTED = new Set([-32097, -32099]);

export function readFailure(error: unknown): Failure {
  if (!(error instanceof Error)) return { kind: "failed", message: String(error) };
  const number = "code" in error && typeof error.code === "number" ? error.code : null;
  const data = "data" in error ? readData(error.data) : null;
  if (number !== null && DISCONNECTED.has(number)) {
    return { kind: "disconnected", message: "The connection to the Tamp daemon was lost." };
  }
  const message = sentences(error.message, data?.notDone, data?.hint);
  return { kind: kindOf(number, data?.code), message };
}

function kindOf(number: number | null, code: ErrorCode | undefined): Failure["kind"] {
  const is = (name: ErrorCode): boolean => code === name || number === ERROR_CODES[name];
  if (number === REQUEST_CANCELLED || is("Cancelled")) return "cancelled";
  if (is("PlanStale") || is("PlanNotFound")) return "stale";
  return is("Untrusted") ? "untrusted" : "failed";
}

function readData(data: unknown): WireErrorData | null {
  if (typeof data !== "object" || data === null) return null;
  const { code, hint, notDone } = data as Partial<Record<keyof WireErrorData, unknown>>;
  if (typeof code !== "string" || !Object.hasOwn(ERROR_CODES, code)) return null;
  return {
    code: code as ErrorCode,
    hint: typeof hint === "string" ? hint : "",
    notDone: typeof notDone === "string" ? notDone : "",
  };
}
