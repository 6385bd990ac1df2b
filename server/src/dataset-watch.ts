import type { WireWatchState } from "./protocol.ts";
import type { Watch, Watcher } from "./watcher.ts";

export interface DatasetWatchOptions {
  readonly root: string;
  readonly watcher: Watcher;
  /** Monotonic milliseconds. */
  readonly clock: () => number;
  /** Compares some directories, or all (null), with the disk; never rejects. */
  readonly compare: (directories: readonly string[] | null) => Promise<void>;
  /** Another state than before. */
  readonly onState: () => void;
}

/** The whole dataset is compared with the disk at least this often, … */
const RECONCILE_MS = 5 * 60_000;
/** … but for no more than this share of the time. */
const RECONCILE_SHARE = 0.01;

/** Why a dataset is compared with the disk: at every hint of its watcher, and after a while without any. */
export class DatasetWatch {
  private readonly options: DatasetWatchOptions;
  private watch: Promise<Watch> | null = null;
  private watchState: WireWatchState = { kind: "off" };
  private timer: NodeJS.Timeout | null = null;
  /** Why the last comparison failed. */
  private failure: string | null = null;
  private disposed = false;

  constructor(options: DatasetWatchOptions) {
    this.options = options;
  }

  get isOn(): boolean {
    return this.watch !== null;
  }

  /** Resolves once what changes is hinted at. */
  async start(): Promise<void> {
    if (!this.disposed) this.watch ??= this.begin();
    await this.watch;
  }

  compared(): void {
    this.failure = null;
  }

  failed(error: unknown): void {
    this.failure = error instanceof Error ? error.message : String(error);
    this.options.onState();
  }

  present(): WireWatchState {
    const { failure, watchState } = this;
    if (failure === null || watchState.kind === "off") return watchState;
    const reason = `The dataset could not be compared with the disk: ${failure}`;
    return { kind: "degraded", reason, remedy: "The next comparison of all of it tries again." };
  }

  async dispose(): Promise<void> {
    this.disposed = true;
    if (this.timer !== null) clearTimeout(this.timer);
    await (await this.watch?.catch(() => null))?.dispose();
  }

  private begin(): Promise<Watch> {
    const { root, watcher, compare, onState } = this.options;
    this.watchState = { kind: "watching" };
    this.compareAfter(RECONCILE_MS);
    return watcher.watch(root, {
      onHint: (directories) => void compare(directories),
      onOverflow: () => compare(null),
      onState: (state) => {
        this.watchState = state;
        onState();
      },
    });
  }

  private compareAfter(waitMs: number): void {
    this.timer = setTimeout(async () => {
      const { clock, compare } = this.options;
      const begunMs = clock();
      await compare(null);
      const tookMs = clock() - begunMs;
      if (!this.disposed) this.compareAfter(Math.max(RECONCILE_MS, tookMs / RECONCILE_SHARE));
    }, waitMs).unref();
  }
}
