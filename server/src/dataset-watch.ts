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

/** A comparison that failed is tried again after this long. */
const RETRY_MS = 10_000;

/** Why a dataset is compared with the disk: at every hint of its watcher, and after a while without any. */
export class DatasetWatch {
  private readonly options: DatasetWatchOptions;
  private watch: Promise<Watch> | null = null;
  private watchState: WireWatchState = { kind: "off" };
  private timer: NodeJS.Timeout | null = null;
  /** Why the last comparison failed. */
  private failure: string | null = null;
  private comparing: Promise<void> | null = null;
  /** What was asked for during a comparison is compared after it, all of it at once. */
  private following: { readonly done: Promise<void>; directories: ReadonlySet<string> | null } | null = null;
  private retry: NodeJS.Timeout | null = null;
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
    if (this.failure === null) return;
    this.failure = null;
    this.options.onState();
  }

  failed(error: unknown): void {
    this.failure = error instanceof Error ? error.message : String(error);
    this.options.onState();
    if (!this.isOn || this.disposed) return;
    this.retry ??= setTimeout(() => {
      this.retry = null;
      void this.compare(null);
    }, RETRY_MS).unref();
  }

  present(): WireWatchState {
    const { failure, watchState } = this;
    // What the watcher lacks has a remedy of its own.
    if (failure === null || watchState.kind !== "watching") return watchState;
    const reason = `The dataset could not be compared with the disk: ${failure}`;
    return { kind: "degraded", reason, remedy: "It is tried again every 10 s." };
  }

  async dispose(): Promise<void> {
    this.disposed = true;
    for (const timer of [this.timer, this.retry]) if (timer !== null) clearTimeout(timer);
    await (await this.watch?.catch(() => null))?.dispose();
  }

  private begin(): Promise<Watch> {
    const { root, watcher, onState } = this.options;
    this.watchState = { kind: "watching" };
    this.compareAfter(RECONCILE_MS);
    return watcher.watch(root, {
      onHint: (directories) => void this.compare(directories),
      onOverflow: () => this.compare(null),
      onState: (state) => {
        this.watchState = state;
        onState();
      },
    });
  }

  /** Hints may come faster than they can be followed: they must not queue up. */
  private compare(directories: readonly string[] | null): Promise<void> {
    if (this.disposed) return Promise.resolve();
    if (this.comparing === null) {
      this.comparing = this.options.compare(directories).finally(() => {
        this.comparing = null;
      });
      return this.comparing;
    }
    this.following ??= { done: this.comparing.then(() => this.follow()), directories: new Set() };
    const { directories: others } = this.following;
    const all = directories === null || others === null ? null : new Set([...others, ...directories]);
    this.following.directories = all;
    return this.following.done;
  }

  private follow(): Promise<void> {
    const directories = this.following?.directories ?? null;
    this.following = null;
    return this.compare(directories === null ? null : [...directories]);
  }

  private compareAfter(waitMs: number): void {
    this.timer = setTimeout(async () => {
      const { clock } = this.options;
      const begunMs = clock();
      await this.compare(null);
      const tookMs = clock() - begunMs;
      if (!this.disposed) this.compareAfter(Math.max(RECONCILE_MS, tookMs / RECONCILE_SHARE));
    }, waitMs).unref();
  }
}
