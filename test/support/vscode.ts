/**
 * A real VS Code in a browser, for the slow tests.
 *
 *   await prepareVscode();                         // once: fetch and install (cached in node_modules/.cache)
 *   const vscode = await startVscode({
 *     extensionFolders: [extension],               // linked, so build first; or vsixFiles: [file], which installs
 *     workspaceFolder: folder,                     // opened in the explorer
 *     userSettings: { 'tamp.notify': true },       // on top of quiet defaults
 *   });
 *   const window = await openWindow(vscode.url);
 *   await window.runCommand('Tamp: Plan Compaction');
 *   await window.pickQuickItem('events');
 *   await window.answerDialog('Run');
 *   await window.waitForStatusBar(/Tamp/);
 *   await window.dispose();
 *   await vscode.dispose();
 *
 * VS Code's server and web client come from the npm package code-server; the browser is Debian's chromium, or the
 * one that CHROMIUM names. Every wait ends in an error that lists what was on screen instead. One thing differs
 * from the desktop: `workspace.findFiles` fails, for want of ripgrep.
 */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import {
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  realpath,
  rename,
  rm,
  symlink,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

export * from "./vscode-window.ts";

const VERSION = "4.100.3";
const CACHE = fileURLToPath(new URL("../../node_modules/.cache/vscode", import.meta.url));
const MARKER = "complete";
const START_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 5_000;

/** No tips, no experiments, no trust prompt, nothing that asks the network or changes what a test sees. */
const QUIET_SETTINGS: VscodeSettings = {
  "editor.minimap.enabled": false,
  "explorer.compactFolders": false,
  "extensions.autoCheckUpdates": false,
  "extensions.autoUpdate": false,
  "extensions.ignoreRecommendations": true,
  "git.enabled": false,
  "security.workspace.trust.enabled": false,
  "telemetry.telemetryLevel": "off",
  "update.mode": "none",
  "workbench.enableExperiments": false,
  "workbench.reduceMotion": "on",
  "workbench.settings.enableNaturalLanguageSearch": false,
  "workbench.startupEditor": "none",
  "workbench.tips.enabled": false,
};

export type VscodeSettings = Readonly<Record<string, unknown>>;

export interface VscodeOptions {
  /** Unpacked extensions, each with its package.json and what that points to already built. */
  readonly extensionFolders?: readonly string[];
  /** Packaged extensions, installed as a user would. Not together with folders: VS Code then sees only these. */
  readonly vsixFiles?: readonly string[];
  readonly workspaceFolder: string;
  readonly userSettings?: VscodeSettings;
  /** For the extension host and its children. HOME is a temporary folder unless named here. */
  readonly env?: Readonly<Record<string, string>>;
}

export interface Vscode {
  /** Opens the workspace folder; several windows may use it, each with an extension host of its own. */
  readonly url: string;
  /** A change to User/settings.json shows in the next window; .vscode/settings.json in the workspace is watched. */
  readonly userDataDir: string;
  readonly logs: VscodeLogs;
  readonly dispose: () => Promise<void>;
}

export interface VscodeLogs {
  /** Holds one folder per start, and in it exthost1/<publisher.name>/<channel>.log for a LogOutputChannel. */
  readonly folder: string;
  /** What the server itself wrote to stdout and stderr. */
  readonly server: () => string;
  /** All log files whose path matches, one after the other; empty when there is none yet. */
  readonly read: (path: RegExp) => Promise<string>;
}

/** Returns the folder of VS Code's server. A second caller at the same time wastes work but harms nothing. */
export async function prepareVscode(): Promise<string> {
  const target = join(CACHE, `code-server-${VERSION}`);
  if (isComplete(target)) return serverFolder(target);
  await mkdir(CACHE, { recursive: true });
  const staging = await mkdtemp(join(CACHE, "staging-"));
  try {
    await install(staging);
    await writeFile(join(staging, MARKER), `${VERSION}\n`);
    await moveIntoPlace(staging, target);
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
  return serverFolder(target);
}

export async function startVscode(options: VscodeOptions): Promise<Vscode> {
  const server = await prepareVscode();
  const home = await mkdtemp(join(await realpath(tmpdir()), "tamp-vscode-"));
  const removeHome = (): Promise<void> =>
    rm(home, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
  try {
    return await startIn({ home, server, removeHome, options });
  } catch (error) {
    await removeHome();
    throw error;
  }
}

interface Start {
  readonly home: string;
  readonly server: string;
  readonly removeHome: () => Promise<void>;
  readonly options: VscodeOptions;
}

async function startIn({ home, server, removeHome, options }: Start): Promise<Vscode> {
  const folders = {
    user: join(home, "user"),
    server: join(home, "server"),
    extensions: join(home, "extensions"),
  };
  await mkdir(join(folders.user, "User"), { recursive: true });
  await mkdir(folders.extensions);
  const settings = { ...QUIET_SETTINGS, ...options.userSettings };
  await writeFile(join(folders.user, "User", "settings.json"), JSON.stringify(settings, null, 2));
  const workspace = await realpath(options.workspaceFolder);
  const args = serverArguments(server, folders);
  const env = { ...serverEnvironment(home), ...options.env };
  await addExtensions({ options, extensions: folders.extensions, args, env });
  const child = spawn(process.execPath, [...args, ...LISTEN], {
    cwd: home,
    env,
    // A process group of its own, so that nothing outlives dispose.
    detached: true,
    stdio: ["ignore", "pipe", "pipe"],
  });
  const output = collect(child);
  const dispose = async (): Promise<void> => {
    await stop(child);
    await removeHome();
  };
  try {
    const url = `http://127.0.0.1:${await waitForPort(child, output)}/?folder=${encodeURIComponent(workspace)}`;
    return { url, userDataDir: folders.user, logs: logsOf(folders.user, output), dispose };
  } catch (error) {
    await stop(child);
    throw error;
  }
}

async function install(staging: string): Promise<void> {
  const npm = promisify(execFile);
  await npm("npm", ["pack", `code-server@${VERSION}`, "--pack-destination", staging], { cwd: staging });
  const archive = join(staging, `code-server-${VERSION}.tgz`);
  await npm("tar", ["-xzf", archive, "-C", staging, "package/lib/vscode"]);
  await rm(archive);
  const folder = serverFolder(staging);
  const flags = ["--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund", "--workspaces=false"];
  await npm("npm", ["install", ...flags, "--prefix", folder], { cwd: folder });
  await symlink("node_modules", join(folder, "node_modules.asar"));
  await writeFile(join(folder, "node_modules/@vscode/spdlog/index.js"), LOG_WRITER);
  await writeFile(join(folder, "node_modules/native-watchdog/index.js"), "exports.start = () => {};\n");
  const product = JSON.parse(await readFile(join(folder, "product.json"), "utf8")) as Record<string, unknown>;
  // Without a gallery there is nothing to ask for updates and recommendations.
  delete product.extensionsGallery;
  await writeFile(join(folder, "product.json"), JSON.stringify(product));
}

/**
 * VS Code writes its logs and output channels through a native module, which would need a compiler here. Without
 * it there are no log files at all, so this does what VS Code asks of it.
 */
const LOG_WRITER = `
const fs = require('node:fs');
const path = require('node:path');
const levels = ['trace', 'debug', 'info', 'warn', 'error', 'critical'];
class Logger {
  constructor(file) { Object.assign(this, { file, level: 0, raw: false }); }
  getLevel() { return this.level; }
  setLevel(level) { this.level = level; }
  clearFormatters() { this.raw = true; }
  setPattern() {}
  flush() {}
  drop() {}
}
levels.forEach((name, level) => {
  Logger.prototype[name] = function (message) {
    if (level < this.level) return;
    const time = new Date().toISOString().replace('T', ' ').replace('Z', '');
    fs.appendFileSync(this.file, this.raw ? message : time + ' [' + name + '] ' + message + '\\n');
  };
});
const create = async (name, file) => {
  fs.mkdirSync(path.dirname(file), { recursive: true });
  return new Logger(file);
};
exports.version = 0;
exports.setLevel = () => {};
exports.setFlushOn = () => {};
exports.createRotatingLogger = create;
exports.createAsyncRotatingLogger = create;
`;

async function moveIntoPlace(staging: string, target: string): Promise<void> {
  try {
    await rename(staging, target);
  } catch (error) {
    if (!isComplete(target)) throw error;
  }
}

function isComplete(folder: string): boolean {
  return existsSync(join(folder, MARKER));
}

function serverFolder(folder: string): string {
  return join(folder, "package/lib/vscode");
}

interface DataFolders {
  readonly user: string;
  readonly server: string;
  readonly extensions: string;
}

function serverArguments(server: string, folders: DataFolders): readonly string[] {
  return [
    join(server, "out/server-main.js"),
    "--without-connection-token",
    "--accept-server-license-terms",
    "--force-disable-user-env",
    ...["--telemetry-level", "off"],
    ...["--user-data-dir", folders.user],
    ...["--server-data-dir", folders.server],
    ...["--extensions-dir", folders.extensions],
  ];
}

/** What npm and the test runner put into the environment is theirs; a user's own files are not for tests. */
function serverEnvironment(home: string): Record<string, string> {
  const env: Record<string, string> = {};
  for (const [name, value] of Object.entries(process.env)) {
    if (value !== undefined && !/^(npm_|VITEST|VITE_|NODE_|XDG_|VSCODE_|TAMP_)/i.test(name))
      env[name] = value;
  }
  return { ...env, HOME: home };
}

interface ExtensionsToAdd {
  readonly options: VscodeOptions;
  readonly extensions: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

async function addExtensions({ options, extensions, args, env }: ExtensionsToAdd): Promise<void> {
  const { extensionFolders = [], vsixFiles = [] } = options;
  if (extensionFolders.length > 0 && vsixFiles.length > 0)
    throw new Error("extensionFolders or vsixFiles, not both");
  for (const folder of extensionFolders) {
    await symlink(await realpath(folder), join(extensions, basename(resolve(folder))));
  }
  for (const file of vsixFiles) {
    await promisify(execFile)(process.execPath, [...args, "--install-extension", resolve(file)], { env });
  }
}

function collect(child: ChildProcess): () => string {
  let text = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding("utf8").on("data", (chunk: string) => {
      text += chunk;
    });
  }
  return () => text;
}

function waitForPort(child: ChildProcess, output: () => string): Promise<number> {
  return new Promise((resolvePort, reject) => {
    const fail = (why: string): void => reject(new Error(`VS Code's server ${why}:\n${output()}`));
    const timer = setTimeout(() => fail("did not answer"), START_TIMEOUT_MS);
    child.once("error", (error) => fail(String(error)));
    child.once("exit", (code) => fail(`ended with ${code}`));
    child.stdout?.on("data", () => {
      const port = /Extension host agent listening on (\d+)/.exec(output())?.[1];
      if (port === undefined || !output().includes("Extension host agent started")) return;
      clearTimeout(timer);
      resolvePort(Number(port));
    });
  });
}

function logsOf(userDataDir: string, server: () => string): VscodeLogs {
  const folder = join(userDataDir, "logs");
  const read = async (path: RegExp): Promise<string> => {
    const names = await readdir(folder, { recursive: true }).catch(() => []);
    const files = names.filter((name) => name.endsWith(".log") && path.test(name)).sort();
    return (await Promise.all(files.map((name) => readFile(join(folder, name), "utf8")))).join("");
  };
  return { folder, server, read };
}

/** The server first, so that extensions may end in order; then whatever of its process group is still there. */
async function stop(child: ChildProcess): Promise<void> {
  const group = -(child.pid ?? Number.NaN);
  if (Number.isNaN(group)) return;
  child.kill("SIGTERM");
  for (const deadlineMs = Date.now() + STOP_TIMEOUT_MS; isAlive(group) && Date.now() < deadlineMs; ) {
    await sleep(50);
  }
  if (isAlive(group)) process.kill(group, "SIGKILL");
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

const LISTEN = ["--host", "127.0.0.1", "--port", "0"];
