/** The extension in a real VS Code with the real daemon. Needs `npm run build`. */
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import {
  copyFile,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  readlink,
  realpath,
  rm,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { asyncBufferFromFile, parquetReadObjects } from "hyparquet";
import { compressors } from "hyparquet-compressors";
import { parquetWriteBuffer } from "hyparquet-writer";
import { afterEach, expect, test } from "vitest";
import { startVscode, type VscodeSettings } from "../support/vscode.ts";
import { openWindow, type VscodeWindow } from "../support/vscode-window.ts";

const EXTENSION = fileURLToPath(new URL("../../extension", import.meta.url));
/** A browser on a busy machine now and then loses a key or a click: once is forgiven. */
const OPTIONS = { timeout: 180_000, retry: 1 } as const;
const FILES_PER_PARTITION = 20;
const ROWS_PER_FILE = 50;

const cleanups: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

interface Workbench {
  readonly folder: string;
  readonly events: string;
  readonly window: VscodeWindow;
}

async function openWorkbench(setUp: {
  readonly workspaceSettings: VscodeSettings;
  /** Partitions of twenty small files each. */
  readonly days?: number;
  readonly userSettings?: VscodeSettings;
  /** What happens to the dataset before the editor opens. */
  readonly before?: (events: string) => Promise<void>;
}): Promise<Workbench> {
  const folder = await mkdtemp(join(await realpath(tmpdir()), "tamp-workspace-"));
  cleanups.push(() => rm(folder, { recursive: true, force: true }));
  const events = join(folder, "data", "events");
  await writeSmallFiles(events, setUp.days ?? 2);
  await setUp.before?.(events);
  await mkdir(join(folder, ".vscode"));
  await writeFile(join(folder, ".vscode", "settings.json"), JSON.stringify(setUp.workspaceSettings));
  const vscode = await startVscode({
    extensionFolders: [EXTENSION],
    workspaceFolder: folder,
    userSettings: setUp.userSettings ?? {},
  });
  cleanups.push(vscode.dispose);
  const window = await openWindow(vscode.url);
  cleanups.push(window.dispose);
  return { folder, events, window };
}

async function writeSmallFiles(dataset: string, days: number): Promise<void> {
  for (let day = 1; day <= days; day++) {
    const partition = join(dataset, `day=${day}`);
    await mkdir(partition, { recursive: true });
    for (let file = 0; file < FILES_PER_PARTITION; file++) {
      const ids = Array.from({ length: ROWS_PER_FILE }, (_, row) => day * 100_000 + file * 1_000 + row);
      const bytes = parquetWriteBuffer({
        columnData: [
          { name: "id", data: ids, type: "INT32" },
          { name: "name", data: ids.map((id) => `event ${id}`), type: "STRING" },
        ],
      });
      await writeFile(
        join(partition, `part-${String(file).padStart(3, "0")}.parquet`),
        new Uint8Array(bytes),
      );
    }
  }
}

/** Path → digest of every data file. */
async function digests(dataset: string): Promise<Readonly<Record<string, string>>> {
  const names = (await readdir(dataset, { recursive: true })).filter((name) => name.endsWith(".parquet"));
  const entries = names.sort().map(async (name) => {
    const hash = createHash("sha256").update(await readFile(join(dataset, name)));
    return [name, hash.digest("hex")] as const;
  });
  return Object.fromEntries(await Promise.all(entries));
}

async function allIds(dataset: string): Promise<readonly number[]> {
  const ids: number[] = [];
  for (const name of Object.keys(await digests(dataset))) {
    const file = await asyncBufferFromFile(join(dataset, name));
    const rows = await parquetReadObjects({ file, compressors, columns: ["id"] });
    ids.push(...rows.map((row) => Number(row.id)));
  }
  return ids.sort((a, b) => a - b);
}

const WATCHED: VscodeSettings = { "tamp.datasets": ["data/events"], "tamp.notify": false };

test("from the status bar through preview and compaction to undo", OPTIONS, async () => {
  const { events, window } = await openWorkbench({ workspaceSettings: WATCHED });
  const [before, ids] = [await digests(events), await allIds(events)];
  const status = await window.waitForStatusBar(/Tamp \d+ · 1 dataset · 40 small files/);
  expect(status).toMatchObject({ id: "tamp.tamp.tamp.status", background: "none" });
  expect(status.label).toMatch(/^Tamp: health \d+ of 100, 1 dataset, 40 small files/);

  await window.clickStatusBar(/Tamp \d+/);
  await window.pickQuickItem("events");
  await window.waitForEditor(/Statistics of events/);
  expect(await window.activeEditorText()).toMatch(
    /\| files +\| +40 \|\n.*\n.*\n.*\n\| small files +\| +40 \|/,
  );

  await window.runCommand("Tamp: Preview Compaction");
  await window.waitForEditor(/Compaction of events/);
  const preview = await window.activeEditorText();
  expect(preview).toContain("Dry run: nothing has been changed.");
  expect(preview).toMatch(/40 files \(.*\) in 2 groups would become about 2 files\./);
  expect(preview).toContain("day=1/part-000.parquet");
  expect(await digests(events)).toEqual(before);

  await window.runCommand("Tamp: Compact");
  expect(await window.dialogText()).toContain("Compact 40 files of events into about 2?");
  await window.answerDialog("Cancel");
  expect(await digests(events)).toEqual(before);

  await window.runCommand("Tamp: Compact");
  await window.answerDialog("Compact");
  expect(await window.waitForNotification(/became/)).toMatch(/events: 40 files became 2 \(/);
  await window.waitForStatusBar(/Tamp 100 · 1 dataset/);
  expect(Object.keys(await digests(events))).toHaveLength(2);
  expect(await allIds(events)).toEqual(ids);
  await expect.poll(() => window.activeEditorText(), { timeout: 10_000 }).toContain("Nothing to do");

  await window.answerNotification(/became/, "Undo");
  expect(await window.dialogText()).toContain("Undo the last run in events?");
  await window.answerDialog("Undo");
  await window.waitForNotification(/40 files put back, 2 withdrawn/);
  await window.waitForStatusBar(/40 small files/);
  expect(await digests(events)).toEqual(before);
});

test("a notice leads to a run that is cancelled without losing a row", OPTIONS, async () => {
  const settings = { "tamp.datasets": ["data/events"] };
  const { events, window } = await openWorkbench({ workspaceSettings: settings, days: 60 });
  const ids = await allIds(events);
  await window.waitForNotification(/events has 1,200 files .* that could be about 60 files/);
  await window.answerNotification(/events has/, "Compact");
  await window.answerDialog("Compact");
  await window.waitForStatusBar(/Tamp [1-9]\d? % · events/);
  await window.answerNotification(/Compacting events/, "Cancel");
  await window.waitForNotification(/events: cancelled; \d+ of 60 groups had been published/);
  await window.waitForStatusBar(/Tamp \d+ · 1 dataset/);
  expect(await allIds(events)).toEqual(ids);
});

test("tamp.jsonc is followed as it changes, and a file that arrives is counted", OPTIONS, async () => {
  const { events, window } = await openWorkbench({
    workspaceSettings: WATCHED,
    before: (dataset) => writeFile(join(dataset, "tamp.jsonc"), '{ "defaults": { "minFiles": 100 } }'),
  });
  await window.waitForStatusBar(/Tamp 100 · 1 dataset · 40 small files/);
  await writeFile(join(events, "tamp.jsonc"), '{ "defaults": { "minFiles": 5 } } // now');
  await window.waitForStatusBar(/Tamp \d\d? · 1 dataset · 40 small files/);
  await copyFile(join(events, "day=1", "part-000.parquet"), join(events, "day=1", "late.parquet"));
  await window.waitForStatusBar(/41 small files/);
});

/** A compaction that is killed while the first group's outputs stand beside its sources. */
async function killInSwap(events: string): Promise<void> {
  const args = [join(EXTENSION, "dist/server/main.mjs"), "compact", events, "--yes", "--overlap", "10min"];
  const child = spawn(process.execPath, args, { stdio: "ignore" });
  const ended = once(child, "exit");
  await expect
    .poll(async () => Object.keys(await digests(events)).length, { timeout: 60_000 })
    .toBeGreaterThan(2 * FILES_PER_PARTITION);
  child.kill("SIGKILL");
  await ended;
}

test(
  "what an interrupted run left is recovered and told; originals are deleted only when asked for",
  OPTIONS,
  async () => {
    const { events, window } = await openWorkbench({ workspaceSettings: WATCHED, before: killInSwap });
    await window.waitForNotification(/events: an interrupted run was recovered: 1 group taken back/);
    await window.waitForStatusBar(/Tamp \d+ · 1 dataset · 40 small files/);
    const ids = await allIds(events);

    await window.runCommand("Tamp: Compact");
    await window.pickQuickItem("events");
    await window.answerDialog("Compact");
    // What recovery touched may count as unsettled still, and wait for the next run.
    await window.waitForNotification(/events: \d+ files became \d \(/);

    await window.runCommand("Tamp: Purge Originals…");
    await window.answerNotification(/events: nothing is past its retention; .* are kept/, "Purge All…");
    expect(await window.dialogText()).toContain("of 1 run in events?");
    await window.answerDialog("Delete Originals");
    await window.waitForNotification(/events: \d+ originals deleted, .* freed; no originals are kept/);
    expect(await allIds(events)).toEqual(ids);

    await window.runCommand("Tamp: Undo Last Run");
    await window.waitForNotification(/events: there is no run to undo/);
  },
);

test("a folder becomes a dataset from the explorer's context menu", OPTIONS, async () => {
  const { folder, window } = await openWorkbench({ workspaceSettings: { "tamp.notify": false } });
  // Without datasets there is nothing to show, and no process.
  await window.openContextMenu("data/events");
  expect(await window.statusBar()).not.toContainEqual(
    expect.objectContaining({ id: "tamp.tamp.tamp.status" }),
  );
  expect(await daemonPids(folder)).toEqual([]);
  await window.page
    .locator("[role=menuitem]")
    .filter({ hasText: /^\s*Tamp\s*$/ })
    .hover();
  // A menu takes no click in its first 100 ms; the keyboard it hears at once.
  await window.page.getByRole("menuitem", { name: "Watch This Folder as Dataset" }).hover();
  await window.page.keyboard.press("Enter");
  await window.waitForStatusBar(/Tamp \d+ · 1 dataset · 40 small files/);
  const settings = JSON.parse(await readFile(join(folder, ".vscode", "settings.json"), "utf8"));
  expect(settings["tamp.datasets"]).toEqual(["data/events"]);
});

test("without trust: preview yes, compaction no, folders outside no", OPTIONS, async () => {
  const { events, window } = await openWorkbench({
    workspaceSettings: { ...WATCHED, "tamp.datasets": ["data/events", "../"] },
    userSettings: {
      "security.workspace.trust.enabled": true,
      "security.workspace.trust.startupPrompt": "never",
      "security.workspace.trust.banner": "never",
    },
  });
  const before = await digests(events);
  await window.waitForStatusBar(/Tamp \d+ · 1 dataset · 40 small files/);
  await window.runCommand("Tamp: Preview Compaction");
  await window.pickQuickItem("events");
  await window.waitForEditor(/Compaction of events/);
  await window.runCommand("Tamp: Compact");
  await window.waitForNotification(/Compacting changes files, which needs a trusted workspace/);
  await window.runCommand("Tamp: Undo Last Run");
  await window.waitForNotification(/Undoing a run changes files, which needs a trusted workspace/);
  await window.runCommand("Tamp: Purge Originals…");
  await window.waitForNotification(/Purging originals changes files, which needs a trusted workspace/);
  expect(await digests(events)).toEqual(before);
});

test.runIf(process.platform === "linux")("a daemon that is killed comes back with its datasets", async () => {
  const { folder, window } = await openWorkbench({ workspaceSettings: WATCHED });
  await window.waitForStatusBar(/40 small files/);
  const [first] = await daemonPids(folder);
  expect(first).toBeDefined();
  process.kill(first ?? 0, "SIGKILL");
  await expect.poll(() => daemonPids(folder), { timeout: 10_000 }).not.toEqual([first]);
  await window.waitForStatusBar(/40 small files/);
  await window.runCommand("Tamp: Preview Compaction");
  await window.pickQuickItem("events");
  await window.waitForEditor(/Compaction of events/);
  expect(await window.activeEditorText()).toContain("would become about 2 files");
});

/** Daemons that an editor started in this workspace: they run in its folder. */
async function daemonPids(folder: string): Promise<readonly number[]> {
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  const found = await Promise.all(
    pids.map(async (pid) => {
      const cwd = await readlink(`/proc/${pid}/cwd`).catch(() => "");
      const command = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
      return cwd === folder && /main\.mjs\0serve/.test(command) ? [Number(pid)] : [];
    }),
  );
  return found.flat();
}
