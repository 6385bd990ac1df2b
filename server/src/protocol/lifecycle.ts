export interface InitializeParams {
  readonly processId?: number | null;
  readonly clientInfo?: { readonly name: string; readonly version?: string };
  readonly capabilities?: unknown;
  readonly initializationOptions?: {
    /** False where the client's workspace is not trusted: execute, undo, recover and purge are refused. */
    readonly trusted?: boolean;
  };
}

export interface InitializeResult {
  readonly serverInfo: { readonly name: "tamp"; readonly version: string };
  readonly capabilities: {
    readonly tamp: {
      readonly protocolVersion: number;
      readonly operations: readonly "compact"[];
      readonly engines: readonly string[];
      readonly progress: true;
    };
  };
}
