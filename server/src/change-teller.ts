/** How many files were found new, different or gone. */
export interface FileTally {
  readonly added: number;
  readonly changed: number;
  readonly removed: number;
}

export const NO_FILES: FileTally = { added: 0, changed: 0, removed: 0 };

export interface ChangeTellerOptions {
  /** Monotonic milliseconds. */
  readonly clock: () => number;
  readonly tell: (tally: FileTally) => void;
}

/** A client is told at most this often, and each time of all that has changed since. */
const LEAST_GAP_MS = 50;

/** Gathers changes: the first after a pause is told at once, those that follow closely together. */
export class ChangeTeller {
  private readonly options: ChangeTellerOptions;
  private tally: FileTally | null = null;
  private toldMs = Number.NEGATIVE_INFINITY;
  private timer: NodeJS.Timeout | null = null;
  private disposed = false;

  constructor(options: ChangeTellerOptions) {
    this.options = options;
  }

  /** Without files: something else that a summary shows has changed. */
  add(tally: FileTally = NO_FILES): void {
    if (this.disposed) return;
    const { added, changed, removed } = this.tally ?? NO_FILES;
    this.tally = {
      added: added + tally.added,
      changed: changed + tally.changed,
      removed: removed + tally.removed,
    };
    const waitMs = this.toldMs + LEAST_GAP_MS - this.options.clock();
    if (waitMs <= 0) this.flush();
    else this.timer ??= setTimeout(() => this.flush(), waitMs).unref();
  }

  /** Of a dataset that was closed nothing is told. */
  dispose(): void {
    this.disposed = true;
    this.clear();
  }

  private clear(): void {
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
    this.tally = null;
  }

  private flush(): void {
    const { tally } = this;
    this.clear();
    if (tally === null) return;
    this.toldMs = this.options.clock();
    this.options.tell(tally);
  }
}
