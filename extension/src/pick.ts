import type { DatasetSummary } from "@tamp/server/protocol";
import { type QuickPickItem, Uri, window } from "vscode";
import type { Datasets } from "./datasets.ts";
import { countOf, formatCount, nameOf } from "./format.ts";
import { datasetOfDocument } from "./previews.ts";

/** What a command was called with: a folder of the explorer, a preview's title bar, a link, or nothing. */
export type Target = Uri | string | undefined;

/** The root that a command is for; asks where it was called without one. Null: the person gave up. */
export async function pickDataset(target: Target, datasets: Datasets): Promise<string | null> {
  if (typeof target === "string") return target;
  const uri = target instanceof Uri ? target : window.activeTextEditor?.document.uri;
  const shown = uri === undefined ? null : datasetOfDocument(uri);
  if (shown !== null) return shown;
  if (target instanceof Uri) return localPath(target);
  return datasets.roots().length === 0 ? pickFolder() : pickOpenDataset(datasets);
}

export async function pickFolder(): Promise<string | null> {
  const chosen = await window.showOpenDialog({
    canSelectFolders: true,
    canSelectFiles: false,
    openLabel: "Choose Dataset",
    title: "Folder of Parquet files",
  });
  return chosen?.[0] === undefined ? null : localPath(chosen[0]);
}

function localPath(uri: Uri): string | null {
  if (uri.scheme === "file") return uri.fsPath;
  void window.showWarningMessage("Tamp works on folders of this machine's file system.");
  return null;
}

const OTHER_FOLDER = "Choose Another Folder…";

async function pickOpenDataset(datasets: Datasets): Promise<string | null> {
  const items: (QuickPickItem & { readonly path: string | null })[] = datasets
    .roots()
    .map(({ path, summary }) => ({
      label: nameOf(path),
      description: describe(summary),
      detail: path,
      path,
    }));
  const picked = await window.showQuickPick([...items, { label: OTHER_FOLDER, path: null }], {
    placeHolder: "Dataset",
    matchOnDetail: true,
  });
  if (picked === undefined) return null;
  return picked.path ?? pickFolder();
}

function describe(summary: DatasetSummary | null): string {
  if (summary === null) return "not open yet";
  if (summary.state !== "ready") return summary.state;
  const { health, smallFileCount, fileCount } = summary;
  return `health ${health.score}, ${formatCount(smallFileCount)} small of ${countOf(fileCount, "file")}`;
}
