import { TampError } from "../errors.ts";
import type { ErrorCode } from "../protocol.ts";
import { inFlags } from "./flags.ts";
import { type CliIo, hintWidthOf, widthOf } from "./io.ts";
import { printable, wrap } from "./text.ts";
import { UsageError } from "./usage-error.ts";

export const EXIT_FINE = 0;
export const EXIT_PROBLEM = 2;
export const EXIT_INTERRUPTED = 130;

/** The cause, what was not done, and the next step. */
export interface Problem {
  readonly message: string;
  readonly notDone: string;
  readonly hint: string;
}

interface Failure extends Problem {
  readonly code: ErrorCode | "Usage";
}

/** The daemon says of these what a run did not do; `notDone` is what the command at hand did not do. */
const BEFORE_ANY_WORK: ReadonlySet<string> = new Set(["NotEnoughSpace", "WorkspaceUnusable"]);

/** Tells a failure on the stream that fits and gives the exit code. */
export function tellFailure(error: unknown, io: CliIo, json: boolean, notDone?: string): number {
  const found = failureOf(error, io.signal.aborted);
  const failure = notDone !== undefined && BEFORE_ANY_WORK.has(found.code) ? { ...found, notDone } : found;
  if (json) io.out(`${JSON.stringify({ error: wireOf(failure) })}\n`);
  else tellProblem(failure, io);
  return io.signal.aborted || failure.code === "Cancelled" ? EXIT_INTERRUPTED : EXIT_PROBLEM;
}

export function tellProblem({ message, notDone, hint }: Problem, io: CliIo): void {
  const told = (label: string, text: string, width = widthOf(io)): readonly string[] =>
    wrap(printable(text), width - label.length).map((line, index) => {
      return `${index === 0 ? label : " ".repeat(label.length)}${line}`;
    });
  const lines = [
    ...told("tamp: ", message),
    ...(notDone === "" ? [] : told("  not done   ", notDone)),
    ...(hint === "" ? [] : told("  next step  ", hint, hintWidthOf(io, io.errIsTty))),
  ];
  io.err(`${lines.join("\n")}\n`);
}

function wireOf({ code, message, hint, notDone }: Failure): Failure {
  return { code, message, hint, notDone };
}

/** A prompt or a wait that Ctrl-C ended. */
function isAbort(error: unknown): boolean {
  return error instanceof Error && error.name === "AbortError";
}

/** The daemon speaks of thresholds and params; here both were flags. */
function hintOf({ code, hint }: TampError): string {
  if (code === "InvalidPolicy" && /^correct the threshold\b/.test(hint))
    return "correct the flag and try again";
  if (code === "InvalidParams" && /\bprotocol\.md\b/.test(hint))
    return "`tamp COMMAND --help` shows the flags";
  return inFlags(hint);
}

function failureOf(error: unknown, interrupted: boolean): Failure {
  if (error instanceof TampError) {
    const { code, message, notDone } = error;
    if (code === "InvalidPolicy" || code === "InvalidParams") {
      return { code, message: inFlags(message), hint: hintOf(error), notDone };
    }
    return { code, message, hint: error.hint, notDone };
  }
  if (error instanceof UsageError)
    return {
      code: "Usage",
      message: error.message,
      hint: error.hint,
      notDone: "nothing was read or changed",
    };
  if (isAbort(error)) {
    const hint = "run the command again";
    return { code: "Cancelled", message: "interrupted", hint, notDone: "nothing was changed" };
  }
  if (interrupted) {
    const hint = "`tamp recover DIR` finishes or rolls back a run that was under way";
    return { code: "Cancelled", message: "interrupted", hint, notDone: "the command was not finished" };
  }
  const message = error instanceof Error ? error.message : String(error);
  const hint = "report this with the command that you ran";
  return { code: "InternalError", message, hint, notDone: "the command was not finished" };
}
