import type { Requests, ServerNotifications, WorkDoneProgress } from "../protocol.ts";

export interface RequestOptions {
  /** Aborting it cancels the request on the wire. */
  readonly signal?: AbortSignal;
  /** The client adds a progress token of its own to the params. */
  readonly onProgress?: (value: WorkDoneProgress) => void;
}

/** The command line's only way to a dataset: the daemon's own protocol. Failures reject with `TampError`. */
export interface DaemonClient {
  request<M extends keyof Requests>(
    method: M,
    params: Requests[M]["params"],
    options?: RequestOptions,
  ): Promise<Requests[M]["result"]>;
  onNotification<N extends keyof ServerNotifications>(
    name: N,
    handler: (params: ServerNotifications[N]) => void,
  ): void;
  close(): Promise<void>;
}
