import type { WirePolicy } from "@tamp/server/protocol";
import { ConfigurationTarget, type LogOutputChannel, Uri, workspace } from "vscode";
import { explicitValue, isFromUser, policyOf, resolvePaths, settingEntry } from "./settings-values.ts";

export interface WantedDataset {
  readonly path: string;
  readonly policy: WirePolicy;
}

/** The datasets that the settings of all open folders name, each with the policy of its folder. */
export function wantedDatasets(log: LogOutputChannel): readonly WantedDataset[] {
  const folders = (workspace.workspaceFolders ?? []).filter((folder) => folder.uri.scheme === "file");
  const scopes: readonly (Uri | null)[] = folders.length === 0 ? [null] : folders.map((folder) => folder.uri);
  const wanted = new Map<string, WantedDataset>();
  for (const scope of scopes) {
    const origins = workspace.getConfiguration("tamp", scope).inspect("datasets");
    const setting = {
      folder: scope?.fsPath ?? null,
      value: explicitValue(origins),
      isFromUser: isFromUser(origins),
    };
    const { paths, rejected } = resolvePaths(setting, workspace.isTrusted);
    for (const { entry, reason } of rejected) log.warn(`tamp.datasets: ${entry} is not opened: ${reason}`);
    for (const path of paths) wanted.set(path, { path, policy: readPolicy(scope) });
  }
  return [...wanted.values()];
}

/** The policy for a dataset that no setting names. */
export function policyFor(path: string): WirePolicy {
  return readPolicy(Uri.file(path));
}

function readPolicy(scope: Uri | null): WirePolicy {
  const configuration = workspace.getConfiguration("tamp", scope);
  const read = (name: string): unknown => explicitValue(configuration.inspect(name));
  return policyOf({
    targetSize: read("policy.targetSize"),
    minFiles: read("policy.minFiles"),
    allow: read("policy.allow"),
    retentionDays: read("policy.retentionDays"),
    maxRetained: read("policy.maxRetained"),
  });
}

export function memoryLimit(): string | null {
  const value = workspace.getConfiguration("tamp").get<unknown>("memoryLimit");
  return typeof value === "string" && value.trim() !== "" ? value : null;
}

export function wantsNotices(): boolean {
  return workspace.getConfiguration("tamp").get<unknown>("notify") !== false;
}

export async function silenceNotices(): Promise<void> {
  await workspace.getConfiguration("tamp").update("notify", false, ConfigurationTarget.Global);
}

/** Adds a folder to `tamp.datasets` where that folder belongs; false if it is there already. */
export async function addDataset(uri: Uri): Promise<boolean> {
  const folder = workspace.getWorkspaceFolder(uri);
  const configuration = workspace.getConfiguration("tamp", folder?.uri ?? null);
  const root = folder?.uri.fsPath ?? null;
  const value: unknown = explicitValue(configuration.inspect("datasets"));
  if (resolvePaths({ folder: root, value, isFromUser: true }, true).paths.includes(uri.fsPath)) return false;
  const entries: readonly unknown[] = Array.isArray(value) ? value : [];
  await configuration.update(
    "datasets",
    [...entries, settingEntry(uri.fsPath, root)],
    targetFor(folder !== undefined),
  );
  return true;
}

function targetFor(isInFolder: boolean): ConfigurationTarget {
  const folders = workspace.workspaceFolders ?? [];
  if (folders.length === 0) return ConfigurationTarget.Global;
  return isInFolder && folders.length > 1
    ? ConfigurationTarget.WorkspaceFolder
    : ConfigurationTarget.Workspace;
}
