export type EngineErrorCode = "EngineFailed" | "Cancelled" | "EngineUnavailable" | "DeadlineExceeded";

/** What a running engine rejects with. Nothing of the dataset has been touched: engines write staged files only. */
export class EngineError extends Error {
  readonly code: EngineErrorCode;

  constructor(code: EngineErrorCode, message: string) {
    super(message);
    this.name = "EngineError";
    this.code = code;
  }
}
