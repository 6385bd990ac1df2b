/** The port of the adapters that watch the directories below one root. */
export interface TreeEvents {
  /** Something happened in this directory; null for events on our own names, which only count. */
  readonly onChange: (directory: string | null) => void;
  /** The root itself may be gone or replaced. */
  readonly onRoot: () => void;
  readonly onError: (error: unknown) => void;
}

export interface Tree {
  /** Settles when the first walk is done. May never settle when the root is replaced while walked. */
  readonly ready: Promise<void>;
  /** Arms anew what changed without an event, and the directories at these paths whatever they look like. */
  readonly sweep: (paths: readonly string[]) => Promise<void>;
  /** The tree has grown past what its adapter is good for. */
  readonly outgrown: () => boolean;
  readonly dispose: () => Promise<void>;
}

export interface TreeOptions {
  /** A real path. */
  readonly root: string;
  readonly events: TreeEvents;
  /** Milliseconds since the epoch, as file time stamps have them. */
  readonly now: () => number;
}

export type OpenTree = (options: TreeOptions) => Tree;
