import { basename, dirname, join } from "node:path";

/**
 * Failpoints of the real daemon: every call that it makes through its file-system port, its engine and its checker
 * has a name `role.verb`, made of what the path is for and of what is done to it. The product knows nothing of them;
 * the test's build puts `failing-fs.ts` and its friends in place of three modules.
 */
export const FAILPOINTS: readonly Role[] = [
  {
    role: "parent",
    what: "folder that holds the dataset and its workspace",
    verbs: ["sync", "resolve", "list"],
  },
  {
    role: "live",
    what: "root of the dataset or one of its partitions",
    verbs: ["resolve", "stat", "measure", "sync"],
  },
  { role: "source", what: "original under its live name", verbs: ["stat", "retire", "restore", "tail"] },
  { role: "output", what: "published file under its live name", verbs: ["stat", "link", "withdraw", "tail"] },
  { role: "base", what: "folder given with --workspace", verbs: ["create", "sync", "resolve", "stat"] },
  {
    role: "workspace",
    what: "folder of everything that is ours",
    verbs: ["create", "stat", "sync", "measure", "list"],
  },
  {
    role: "policy",
    what: "policy file of the user, beside the dataset or above it, and what is trusted",
    verbs: ["stat", "read"],
  },
  { role: "registry", what: "list of the workspaces of a root", verbs: ["stat", "create", "list", "sync"] },
  {
    role: "registry-entry",
    what: "one workspace in that list",
    verbs: ["stat", "write", "torn", "rename", "read"],
  },
  {
    role: "unlinked-lock",
    what: "lock before it has its name",
    verbs: ["write", "torn", "stat", "unlink", "read"],
  },
  { role: "lock", what: "lock of the dataset", verbs: ["link", "read", "stat", "unlink"] },
  {
    role: "claim",
    what: "claim on a dead owner's lock",
    verbs: ["link", "unlink"],
    onFailure: ["stat", "read"],
  },
  { role: "state", what: "home of a root in the user's state folder", verbs: ["stat"] },
  { role: "neighbour", what: "workspace or lock of a root above or below", verbs: ["stat"] },
  { role: "home-runs", what: "runs beside a root that was given another workspace", verbs: ["stat"] },
  { role: "runs", what: "folder of all runs", verbs: ["create", "stat", "list", "sync"] },
  { role: "run", what: "folder of one run", verbs: ["create", "list", "sync"], onFailure: ["remove"] },
  { role: "group", what: "folder of one group", verbs: ["create", "sync", "list"], onFailure: ["stat"] },
  { role: "journal", what: "record of one group", verbs: ["rename", "read"] },
  { role: "unfinished-journal", what: "record before it has its name", verbs: ["write", "torn", "unlink"] },
  { role: "pin", what: "link to a source for the engine", verbs: ["link", "stat", "unlink"] },
  {
    role: "stage",
    what: "output before it is published",
    verbs: ["stat", "chmod", "sync", "unlink", "tail"],
  },
  { role: "trash", what: "original after it was retired", verbs: ["stat", "unlink", "tail"] },
  {
    role: "pin-folder",
    what: "folder of a group's pins",
    verbs: ["create", "sync", "stat", "list", "remove"],
  },
  {
    role: "stage-folder",
    what: "folder of a group's stages",
    verbs: ["create", "sync", "stat", "list", "remove"],
  },
  { role: "trash-folder", what: "folder of a group's originals", verbs: ["create", "sync", "remove"] },
  { role: "tmp-folder", what: "folder of the engine's own", verbs: ["create", "stat", "list", "remove"] },
  {
    role: "engine",
    what: "process that rewrites; `answer`: its outputs stand",
    verbs: ["start", "rewrite", "answer", "digest"],
  },
  { role: "checker", what: "independent reader", verbs: ["footers", "compare"] },
];

interface Role {
  readonly role: string;
  readonly what: string;
  readonly verbs: readonly string[];
  /** Verbs that nothing but an earlier failure leads to. */
  readonly onFailure?: readonly string[];
}

/** Those that a run without any failure passes in one of the scenarios. */
export function plainFailpoints(): readonly string[] {
  return FAILPOINTS.flatMap(({ role, verbs }) => verbs.map((verb) => `${role}.${verb}`));
}

export function allFailpoints(): readonly string[] {
  const rare = FAILPOINTS.flatMap(({ role, onFailure = [] }) => onFailure.map((verb) => `${role}.${verb}`));
  return [...plainFailpoints(), ...rare];
}

/** `kill`: SIGKILL of the whole process group. The others reject the call. */
export const FAULTS = ["kill", "throw", "ENOSPC", "EIO"] as const;

export type FaultKind = (typeof FAULTS)[number];

export interface Fault {
  readonly kind: FaultKind;
  readonly at: string;
  /** Counts the calls of that name from 1. */
  readonly occurrence: number;
  /** From then on the disk stays full or broken, until it is disarmed. */
  readonly lasting: boolean;
}

/** What a test writes into `armed.json` of the folder that `TAMP_FAILPOINTS` names; another `id` counts anew. */
export interface Armed {
  readonly id: string;
  /** Real path of the dataset. */
  readonly root: string;
  /** Folder of its runs. */
  readonly workspace: string;
  readonly fault: Fault | null;
  /** A file of somebody else that arrives when `at` is first called. */
  readonly arrival: { readonly at: string; readonly from: string; readonly to: string } | null;
}

export const ARMED_FILE = "armed.json";
/** One line a call: `id name`, with `!` before the name where the fault struck. */
export const LOG_FILE = "calls.log";

const VERBS: Readonly<Record<string, string>> = {
  lstat: "stat",
  readdir: "list",
  readText: "read",
  writeNew: "write",
  mkdir: "create",
  rmdir: "remove",
  realpath: "resolve",
  freeBytes: "measure",
  readTail: "tail",
};

/** A name that two paths make together says more than the role of one. */
const MOVES: Readonly<Record<string, string>> = {
  "rename source trash": "source.retire",
  "link trash source": "source.restore",
  "rename output stage": "output.withdraw",
  "link source pin": "pin.link",
  "link stage output": "output.link",
};

/** Name of a port call: the role of the path that it makes or asks for. */
export function failpointOf(armed: Armed, method: string, args: readonly unknown[]): string {
  const roles = (method === "link" || method === "rename" ? args : args.slice(0, 1)).map((path) =>
    roleOf(armed, String(path)),
  );
  return MOVES[[method, ...roles].join(" ")] ?? `${roles.at(-1)}.${VERBS[method] ?? method}`;
}

function roleOf({ root, workspace }: Armed, path: string): string {
  const home = join(dirname(root), `.${basename(root)}.tamp`);
  if (/\/(tamp\.jsonc|trusted\.json)$/.test(path)) return "policy";
  if (path === root) return "live";
  if (path === dirname(root)) return "parent";
  if (path === workspace || path.startsWith(`${workspace}/`))
    return ownRole(path.slice(workspace.length + 1));
  if (path === home || path.startsWith(`${home}/`)) return homeRole(path.slice(home.length + 1));
  if (/\.tamp(\/|$)/.test(path)) return "neighbour";
  if (path === dirname(workspace)) return "base";
  if (!path.startsWith(`${root}/`)) return /\/roots\/[0-9a-f]{32}(\/|$)/.test(path) ? "state" : "stray";
  if (!path.endsWith(".parquet")) return "live";
  return /^(compacted|optimized)-/.test(basename(path)) ? "output" : "source";
}

/** `runs/<run>/<group>/…`; what is no run's may be of the root's home, which is mostly the same folder. */
function ownRole(path: string): string {
  const [top, run, group, part, file] = path.split("/");
  if (top !== "runs") return homeRole(path);
  if (run === undefined) return "runs";
  if (group === undefined) return "run";
  if (part === undefined) return "group";
  if (part.startsWith("journal.json")) return part.endsWith(".new") ? "unfinished-journal" : "journal";
  const role = { src: "pin", out: "stage", trash: "trash", tmp: "tmp" }[part] ?? "stray";
  return file === undefined ? `${role}-folder` : role;
}

function homeRole(path: string): string {
  if (path === "") return "workspace";
  if (path === "runs") return "home-runs";
  if (path === "lock") return "lock";
  if (path.startsWith("lock.stale.")) return "claim";
  if (path.startsWith("lock.")) return "unlinked-lock";
  if (path === "workspaces") return "registry";
  return path.startsWith("workspace") ? "registry-entry" : "stray";
}
