import type { DatasetSummary, RunFinishedParams } from "../protocol.ts";

/** How a watched dataset is told of. */
export interface WatchTeller {
  /** Called once the dataset is open: changes that were heard before belong to opening it. */
  begin(summary: DatasetSummary): void;
  finished(params: RunFinishedParams): void;
  end(ending: WatchEnding): Promise<void>;
}

export interface WatchEnding {
  /** The dataset was closed, and the look opens it again: all of its files are then told as added. */
  readonly isAnew: boolean;
  /** Compares all of it with the disk. */
  readonly look: () => Promise<DatasetSummary>;
}
