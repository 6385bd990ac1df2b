import { commands, type Disposable, Uri, window } from "vscode";
import { compact, previewCompaction, showStatistics, undoLastRun } from "./compact.ts";
import { nameOf } from "./format.ts";
import { tellFailure } from "./messages.ts";
import { pickDataset, pickFolder, type Target } from "./pick.ts";
import { purgeOriginals } from "./purge.ts";
import type { Services } from "./services.ts";
import { addDataset } from "./settings.ts";

type Command = (target: Target, services: Services) => Promise<void>;

/** Every command that package.json contributes. */
const COMMANDS: Readonly<Record<string, Command>> = {
  "tamp.showStatistics": onDataset(showStatistics),
  "tamp.previewCompaction": onDataset(previewCompaction),
  "tamp.compact": onDataset(compact),
  "tamp.undoLastRun": onDataset(undoLastRun),
  "tamp.purgeOriginals": onDataset(purgeOriginals),
  "tamp.watchFolder": watchFolder,
  "tamp.showLog": async (_, { log }) => log.show(),
  "tamp.restart": async (_, { daemon }) => daemon.restart(),
};

export function registerCommands(services: Services): readonly Disposable[] {
  return Object.entries(COMMANDS).map(([id, command]) =>
    commands.registerCommand(id, async (target: unknown) => {
      try {
        await command(readTarget(target), services);
      } catch (error) {
        await tellFailure(error, services.log);
      }
    }),
  );
}

function onDataset(run: (root: string, services: Services) => Promise<void>): Command {
  return async (target, services) => {
    const root = await pickDataset(target, services.datasets);
    if (root !== null) await run(root, services);
  };
}

function readTarget(target: unknown): Target {
  return typeof target === "string" || target instanceof Uri ? target : undefined;
}

async function watchFolder(target: Target): Promise<void> {
  const root = target instanceof Uri && target.scheme === "file" ? target.fsPath : await pickFolder();
  if (root === null) return;
  // The settings' change opens it.
  if (!(await addDataset(Uri.file(root)))) {
    await window.showInformationMessage(`${nameOf(root)} is watched already.`);
  }
}
