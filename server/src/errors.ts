import type { ErrorCode } from "./protocol.ts";

/** The server's one error: the cause as message, what was not done, and the next step. */
export class TampError extends Error {
  readonly code: ErrorCode;
  readonly hint: string;
  readonly notDone: string;

  constructor(code: ErrorCode, message: string, guide: { readonly hint: string; readonly notDone?: string }) {
    super(message);
    this.name = "TampError";
    this.code = code;
    this.hint = guide.hint;
    this.notDone = guide.notDone ?? "nothing was changed";
  }
}
