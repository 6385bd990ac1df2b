import type { ParamReader } from "../check.ts";
import type { Daemon } from "../daemon.ts";
import { TampError } from "../errors.ts";
import type { ServerNotifications } from "../protocol.ts";

/** What a handler may use: the daemon, the params, cancellation, and a way to notify the client. */
export interface HandlerContext {
  readonly daemon: Daemon;
  readonly params: ParamReader;
  readonly signal: AbortSignal;
  /** False where the client said that its workspace is not trusted. */
  readonly trusted: boolean;
  notify<N extends keyof ServerNotifications>(method: N, params: ServerNotifications[N]): void;
}

export function requireTrust({ trusted }: HandlerContext, notDone: string): void {
  if (trusted) return;
  throw new TampError("Untrusted", "the workspace is not trusted", {
    hint: "trust the workspace first",
    notDone,
  });
}
