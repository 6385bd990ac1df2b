import { isAbsolute, join, relative, resolve, sep } from "node:path";
import type { WirePolicy } from "@tamp/server/protocol";

/** What `inspect` says of one setting; where it is set decides how far it is trusted. */
export interface SettingOrigins {
  readonly globalValue?: unknown;
  readonly workspaceValue?: unknown;
  readonly workspaceFolderValue?: unknown;
}

/** The value that someone set; undefined where only the default stands, so that the daemon's own default holds. */
export function explicitValue(origins: SettingOrigins | undefined): unknown {
  return origins?.workspaceFolderValue ?? origins?.workspaceValue ?? origins?.globalValue;
}

export function isFromUser(origins: SettingOrigins | undefined): boolean {
  return origins?.workspaceFolderValue === undefined && origins?.workspaceValue === undefined;
}

export interface PolicyValues {
  readonly targetSize: unknown;
  readonly minFiles: unknown;
  readonly allow: unknown;
  readonly retentionDays: unknown;
  readonly maxRetained: unknown;
}

const DAY_MS = 86_400_000;

export function policyOf(values: PolicyValues): WirePolicy {
  const { targetSize, minFiles, allow, retentionDays, maxRetained } = values;
  return {
    ...(isText(targetSize) ? { targetSize } : {}),
    ...(typeof minFiles === "number" ? { minFiles } : {}),
    ...(Array.isArray(allow) ? { allow: allow.filter((name) => typeof name === "string") } : {}),
    ...(typeof retentionDays === "number" ? { retentionMs: Math.round(retentionDays * DAY_MS) } : {}),
    ...(isText(maxRetained) ? { maxRetained } : {}),
  };
}

function isText(value: unknown): value is string {
  return typeof value === "string" && value.trim() !== "";
}

/** `tamp.datasets` as it holds in one folder; null: a window without a folder. */
export interface DatasetSetting {
  readonly folder: string | null;
  readonly value: unknown;
  readonly isFromUser: boolean;
}

export interface ResolvedPaths {
  readonly paths: readonly string[];
  readonly rejected: readonly { readonly entry: string; readonly reason: string }[];
}

/** A workspace that is not trusted may only name folders inside itself; the user's own settings may name any. */
export function resolvePaths(setting: DatasetSetting, isTrusted: boolean): ResolvedPaths {
  const paths: string[] = [];
  const rejected: { entry: string; reason: string }[] = [];
  for (const entry of Array.isArray(setting.value) ? (setting.value as readonly unknown[]) : []) {
    if (typeof entry !== "string" || entry.trim() === "") {
      rejected.push({ entry: JSON.stringify(entry), reason: "not a path" });
    } else if (setting.folder === null && !isAbsolute(entry)) {
      rejected.push({ entry, reason: "a relative path needs an open folder" });
    } else {
      const path = resolve(setting.folder ?? "", entry);
      if (isTrusted || setting.isFromUser || isInside(path, setting.folder)) paths.push(path);
      else rejected.push({ entry, reason: "outside of a workspace that is not trusted" });
    }
  }
  return { paths: [...new Set(paths)], rejected };
}

function isInside(path: string, folder: string | null): boolean {
  return folder !== null && (path === folder || path.startsWith(join(folder, sep)));
}

/** How a folder is written into the setting: relative to its workspace folder, with `/` on every system. */
export function settingEntry(path: string, folder: string | null): string {
  if (!isInside(path, folder)) return path;
  return (
    relative(folder ?? "", path)
      .split(sep)
      .join("/") || "."
  );
}
