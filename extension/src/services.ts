import type { LogOutputChannel } from "vscode";
import type { Daemon } from "./client.ts";
import type { Datasets } from "./datasets.ts";
import type { Previews } from "./previews.ts";
import type { Status } from "./status.ts";

/** What activation makes once and every command uses. */
export interface Services {
  readonly daemon: Daemon;
  readonly datasets: Datasets;
  readonly previews: Previews;
  readonly status: Status;
  readonly log: LogOutputChannel;
}
