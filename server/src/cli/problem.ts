import { TampError } from "../errors.ts";
import type { ErrorCode } from "../protocol.ts";
import type { CliIo } from "./io.ts";
import { printable } from "./text.ts";

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

/** The command line itself was wrong: told before anything is read. */
export class UsageError extends Error {
  readonly hint: string;

  constructor(message: string, hint: string) {
    super(message);
    this.name = "UsageError";
    this.hint = hint;
  }
}

/** Tells a failure on the stream that fits and gives the exit code. */
export function tellFailure(error: unknown, io: CliIo, json: boolean): number {
  const failure = failureOf(error, io.signal.aborted);
  if (json) io.out(`${JSON.stringify({ error: wireOf(failure) })}\n`);
  else tellProblem(failure, io);
  return io.signal.aborted || failure.code === "Cancelled" ? EXIT_INTERRUPTED : EXIT_PROBLEM;
}

export function tellProblem({ message, notDone, hint }: Problem, io: CliIo): void {
  const lines = [`tamp: ${printable(message)}`];
  if (notDone !== "") lines.push(`  not done   ${printable(notDone)}`);
  if (hint !== "") lines.push(`  next step  ${printable(hint)}`);
  io.err(`${lines.join("\n")}\n`);
}

function wireOf({ code, message, hint, notDone }: Failure): Failure {
  return { code, message, hint, notDone };
}

/** A prompt or a wait that Ctrl-C ended. */
function isAbort(error: unknown): boolean {
  return error instanceof Error && error.name === "AbortError";
}

function failureOf(error: unknown, interrupted: boolean): Failure {
  if (error instanceof TampError) {
    const { code, message, hint, notDone } = error;
    return { code, message, hint, notDone };
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
