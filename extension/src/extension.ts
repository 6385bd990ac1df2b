import { commands, type ExtensionContext, window, workspace } from "vscode";
import { Daemon } from "./client.ts";
import { registerCommands } from "./commands.ts";
import { Datasets, type Recovery } from "./datasets.ts";
import { nameOf } from "./format.ts";
import { tell } from "./messages.ts";
import { registerNotices } from "./notices.ts";
import { Previews } from "./previews.ts";
import { recoveredDetails, recoveredOutcome } from "./recovered-text.ts";
import type { Services } from "./services.ts";
import { Status } from "./status.ts";

let daemon: Daemon | null = null;

export function activate(context: ExtensionContext): void {
  const log = window.createOutputChannel("Tamp", { log: true });
  daemon = new Daemon({ entry: context.asAbsolutePath("dist/server/main.mjs"), log });
  const datasets = new Datasets(daemon, log);
  const previews = new Previews(daemon, datasets);
  const status = new Status(daemon, datasets);
  const services: Services = { daemon, datasets, previews, status, log };
  context.subscriptions.push(log, daemon, datasets, previews, status);
  context.subscriptions.push(
    ...registerCommands(services),
    ...registerNotices(context.workspaceState, services),
  );
  followWorkspace(context, services);
  datasets.followSettings();
}

/** The language client gives the daemon two seconds; a run that is cut off then is finished from its journal. */
export async function deactivate(): Promise<void> {
  await daemon?.stop();
}

function followWorkspace(context: ExtensionContext, services: Services): void {
  const { daemon, datasets } = services;
  context.subscriptions.push(
    workspace.onDidChangeConfiguration((event) => {
      if (event.affectsConfiguration("tamp")) datasets.followSettings();
    }),
    workspace.onDidChangeWorkspaceFolders(() => datasets.followSettings()),
    workspace.onDidGrantWorkspaceTrust(() => void trusted(services)),
    datasets.onFailed(({ path, message }) => void tellOpenFailure(path, message)),
    datasets.onRecovered((recovery) => void tellRecovery(recovery, services)),
  );
  context.subscriptions.push(daemon.onStateChanged((state) => services.log.debug(`daemon: ${state}`)));
}

/** Trust is told to the daemon when it starts, so it starts again. Untrusted, it ran nothing that could be lost. */
async function trusted({ daemon, datasets, log }: Services): Promise<void> {
  try {
    if (daemon.hasStarted) await daemon.restart();
    datasets.followSettings();
  } catch (error) {
    log.error(`Restarting the daemon failed: ${error instanceof Error ? error.message : String(error)}`);
  }
}

async function tellRecovery({ dataset, groups }: Recovery, { log }: Services): Promise<void> {
  for (const line of recoveredDetails(groups)) log.info(line);
  const button = "Show Output";
  if ((await tell(recoveredOutcome(groups, dataset), button)) === button) log.show();
}

async function tellOpenFailure(path: string, message: string): Promise<void> {
  const button = "Open Settings";
  if ((await window.showWarningMessage(`${nameOf(path)}: ${message}`, button)) === button) {
    await commands.executeCommand("workbench.action.openSettings", "tamp");
  }
}
