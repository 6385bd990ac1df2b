/** The window of the VS Code that `vscode.ts` starts: what a user sees and does there. */
import { chromium, type Locator, type Page } from "playwright-core";

const START_TIMEOUT_MS = 60_000;
const STEP_TIMEOUT_MS = 20_000;

export interface VscodeWindow {
  /** For what has no helper here. Context menus are in a shadow root, which Playwright's selectors pierce. */
  readonly page: Page;
  /** Runs a command from the palette by the title shown there, category included: `Tamp: Plan Compaction`. */
  readonly runCommand: (title: string) => Promise<void>;
  readonly statusBar: () => Promise<readonly StatusBarEntry[]>;
  /** Waits for an entry whose text matches. */
  readonly waitForStatusBar: (text: RegExp) => Promise<StatusBarEntry>;
  readonly clickStatusBar: (text: RegExp) => Promise<void>;
  /** The title of the active editor's tab. */
  readonly activeEditorTitle: () => Promise<string>;
  /** Waits for the active editor to carry this title. */
  readonly waitForEditor: (title: RegExp) => Promise<void>;
  /** The whole text, not only the lines on screen. Copies it, so it changes the clipboard and the cursor. */
  readonly activeEditorText: () => Promise<string>;
  /** The message and detail of the modal dialog, once there is one. */
  readonly dialogText: () => Promise<string>;
  readonly answerDialog: (button: string) => Promise<void>;
  /** The messages of the notifications on screen, progress included. */
  readonly notifications: () => Promise<readonly string[]>;
  readonly waitForNotification: (message: RegExp) => Promise<string>;
  /** Clicks a button of the notification; `Cancel` is also the button of a cancellable progress. */
  readonly answerNotification: (message: RegExp, button: string) => Promise<void>;
  /** The labels of the open quick pick, once it has entries. */
  readonly quickItems: () => Promise<readonly string[]>;
  /** Picks by the entry's label, without its description. */
  readonly pickQuickItem: (label: string) => Promise<void>;
  /** Answers an input box. */
  readonly typeQuickInput: (text: string) => Promise<void>;
  /** Opens the context menu on a path in the explorer, `events/day=1`, or on a tree row; returns its labels. */
  readonly openContextMenu: (target: string | Locator) => Promise<readonly string[]>;
  /** Chooses from the open context menu. */
  readonly chooseMenuItem: (label: string) => Promise<void>;
  /** The rows on screen of the tree view with this title. `Explorer: Focus on <title> View` opens a collapsed one. */
  readonly treeRows: (view: string) => Promise<readonly TreeRow[]>;
  /** One of them, by its label without the description: to click, or to open its context menu. */
  readonly treeRow: (view: string, label: string) => Locator;
  /** The document inside the newest webview. */
  readonly webviewText: () => Promise<string>;
  readonly screenshot: (file: string) => Promise<void>;
  /** Leaves the page as a user would, so that VS Code deactivates its extensions, and closes the browser. */
  readonly dispose: () => Promise<void>;
}

export interface StatusBarEntry {
  /** `publisher.name.<id of the item>` for an extension's own entry. */
  readonly id: string;
  /** Without icons. */
  readonly text: string;
  /** What a screen reader says: names of icons, text, tooltip. */
  readonly label: string;
  readonly background: "none" | "warning" | "error";
}

export interface TreeRow {
  /** From 1. */
  readonly level: number;
  readonly label: string;
  readonly description: string;
}

export async function openWindow(url: string): Promise<VscodeWindow> {
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-background-networking",
      // Whatever VS Code might ask of the network fails at once instead of making a test depend on it.
      "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    ],
  });
  try {
    const context = await browser.newContext({
      viewport: { width: 1400, height: 900 },
      permissions: ["clipboard-read", "clipboard-write"],
    });
    const page = await context.newPage();
    page.setDefaultTimeout(STEP_TIMEOUT_MS);
    await page.goto(url);
    await page.locator(".monaco-workbench .statusbar-item").first().waitFor({ timeout: START_TIMEOUT_MS });
    return windowOf(page, async () => {
      await page.goto("about:blank").catch(() => undefined);
      await browser.close();
    });
  } catch (error) {
    await browser.close();
    throw error;
  }
}

function windowOf(page: Page, dispose: () => Promise<void>): VscodeWindow {
  return {
    page,
    ...editorHelpers(page),
    ...statusBarHelpers(page),
    ...promptHelpers(page),
    ...treeHelpers(page),
    runCommand: (title) => step(page, `command ${title}`, runCommand(page, title)),
    webviewText: () => webviewText(page),
    screenshot: async (file) => {
      await page.screenshot({ path: file, animations: "disabled" });
    },
    dispose,
  };
}

/** Tries again: the palette does not learn of an extension that is found while it is open. */
async function runCommand(page: Page, title: string): Promise<void> {
  const input = page.locator(".quick-input-widget:visible input");
  const row = quickRow(page, title);
  await page.keyboard.press("F1");
  for (const deadlineMs = Date.now() + STEP_TIMEOUT_MS; ; ) {
    await input.fill(">");
    await input.fill(`>${title}`);
    const found = await row.waitFor({ timeout: 2_000 }).then(
      () => true,
      () => false,
    );
    if (found || Date.now() > deadlineMs) return row.click({ timeout: 2_000 });
  }
}

function editorHelpers(
  page: Page,
): Pick<VscodeWindow, "activeEditorTitle" | "waitForEditor" | "activeEditorText"> {
  const group = page.locator(".editor-group-container.active");
  const tab = group.locator(".tab.active .label-name");
  return {
    activeEditorTitle: () => step(page, "an editor", textOf(tab)),
    waitForEditor: (title) => step(page, `editor ${title}`, tab.filter({ hasText: title }).waitFor()),
    activeEditorText: async () => {
      await page.evaluate(() => navigator.clipboard.writeText(""));
      await step(page, "a text editor", group.locator(".monaco-editor textarea.inputarea").last().focus());
      await page.keyboard.press("Control+A");
      await page.keyboard.press("Control+C");
      const text = await page.evaluate(() => navigator.clipboard.readText());
      await page.keyboard.press("Control+Home");
      return text.replaceAll("\r\n", "\n");
    },
  };
}

function statusBarHelpers(
  page: Page,
): Pick<VscodeWindow, "statusBar" | "waitForStatusBar" | "clickStatusBar"> {
  const entry = (text: RegExp): Locator =>
    page.locator(".statusbar-item:visible").filter({ hasText: text }).first();
  return {
    statusBar: async () =>
      Promise.all((await page.locator(".statusbar-item:visible").all()).map(statusBarEntry)),
    waitForStatusBar: async (text) => {
      await step(page, `status bar entry ${text}`, entry(text).waitFor());
      return statusBarEntry(entry(text));
    },
    clickStatusBar: (text) =>
      step(page, `status bar entry ${text}`, entry(text).locator("a").first().click()),
  };
}

function statusBarEntry(item: Locator): Promise<StatusBarEntry> {
  return item.evaluate((element) => ({
    id: element.id,
    text: (element.textContent ?? "").replaceAll("\u00a0", " ").trim(),
    label: element.getAttribute("aria-label") ?? "",
    background: element.classList.contains("error-kind")
      ? "error"
      : element.classList.contains("warning-kind")
        ? "warning"
        : "none",
  }));
}

type PromptHelpers = Pick<
  VscodeWindow,
  | "dialogText"
  | "answerDialog"
  | "notifications"
  | "waitForNotification"
  | "answerNotification"
  | "quickItems"
  | "pickQuickItem"
  | "typeQuickInput"
>;

function promptHelpers(page: Page): PromptHelpers {
  const dialog = page.locator(".monaco-dialog-box");
  const messages = page.locator(".notification-list-item:visible .notification-list-item-message");
  const notice = (message: RegExp): Locator =>
    page.locator(".notification-list-item:visible").filter({ hasText: message }).first();
  const rows = page.locator(".quick-input-widget:visible .quick-input-list .monaco-list-row");
  return {
    dialogText: async () => {
      await step(page, "a dialog", dialog.waitFor());
      return (await dialog.locator(".dialog-message-container").allInnerTexts()).join("\n");
    },
    answerDialog: (button) =>
      step(
        page,
        `dialog button ${button}`,
        dialog.getByRole("button", { name: button, exact: true }).click(),
      ),
    notifications: () => messages.allInnerTexts(),
    waitForNotification: (message) =>
      step(page, `notification ${message}`, textOf(messages.filter({ hasText: message }).first())),
    answerNotification: (message, button) =>
      step(
        page,
        `button ${button} of notification ${message}`,
        notice(message).getByRole("button", { name: button, exact: true }).click(),
      ),
    quickItems: async () => {
      await step(page, "a quick pick", rows.first().waitFor());
      return (await rows.locator(".label-name").allInnerTexts()).map((label) => label.trim());
    },
    pickQuickItem: (label) => step(page, `quick pick entry ${label}`, quickRow(page, label).click()),
    typeQuickInput: async (text) => {
      await step(page, "an input box", page.locator(".quick-input-widget:visible input").fill(text));
      await page.keyboard.press("Enter");
    },
  };
}

function quickRow(page: Page, label: string): Locator {
  return page
    .locator(".quick-input-widget:visible .quick-input-list .monaco-list-row")
    .filter({ has: page.locator(".label-name").filter({ hasText: exactly(label) }) })
    .first();
}

function treeHelpers(
  page: Page,
): Pick<VscodeWindow, "openContextMenu" | "chooseMenuItem" | "treeRows" | "treeRow"> {
  const menu = page.locator(".monaco-menu").last();
  const items = (view: string): Locator =>
    page.locator(`[role=tree][aria-label=${JSON.stringify(view)}] [role=treeitem]`);
  return {
    openContextMenu: async (target) => {
      const row = typeof target === "string" ? await explorerRow(page, target) : target;
      await step(page, `context menu on ${target}`, row.click({ button: "right" }));
      await step(page, "a context menu", menu.waitFor());
      return menu.locator("[role=menuitem] .action-label").allInnerTexts();
    },
    chooseMenuItem: async (label) => {
      const item = menu
        .locator("[role=menuitem]")
        .filter({ has: page.locator(".action-label").filter({ hasText: exactly(label) }) })
        .first();
      // A menu ignores clicks in its first tenth of a second; the keyboard it hears at once.
      await step(page, `menu entry ${label}`, item.hover());
      await page.keyboard.press("Enter");
    },
    treeRows: async (view) => Promise.all((await items(view).all()).map(treeRow)),
    treeRow: (view, label) =>
      items(view)
        .filter({ has: page.locator(".label-name").filter({ hasText: exactly(label) }) })
        .first(),
  };
}

function treeRow(item: Locator): Promise<TreeRow> {
  return item.evaluate((element) => ({
    level: Number(element.getAttribute("aria-level")),
    label: element.querySelector(".label-name")?.textContent ?? "",
    description: element.querySelector(".label-description")?.textContent ?? "",
  }));
}

/** Expands what leads to the path. The explorer's labels carry the absolute path, so equal names do not mix. */
async function explorerRow(page: Page, path: string): Promise<Locator> {
  const parts = path.split("/");
  const rowOf = (length: number): Locator => {
    const tail = JSON.stringify(`/${parts.slice(0, length).join("/")}`);
    return page
      .locator(`.explorer-folders-view [role=treeitem][aria-level="${length}"]`)
      .filter({ has: page.locator(`.explorer-item[aria-label$=${tail}]`) });
  };
  for (let length = 1; length < parts.length; length++) {
    const row = rowOf(length);
    await step(page, `${path} in the explorer`, row.waitFor());
    if ((await row.getAttribute("aria-expanded")) === "false") await row.click();
  }
  return rowOf(parts.length);
}

/** Icons leave space around a label, and VS Code writes some spaces as non-breaking ones. */
function exactly(label: string): RegExp {
  const words = label
    .trim()
    .split(/\s+/)
    .map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  return new RegExp(`^\\s*${words.join("\\s+")}\\s*$`);
}

async function webviewText(page: Page): Promise<string> {
  const frame = page.frameLocator("iframe.webview.ready >> nth=-1").frameLocator("#active-frame");
  const body = frame.locator("body");
  await step(page, "a webview", body.waitFor());
  return (await body.allInnerTexts()).join("");
}

async function textOf(locator: Locator): Promise<string> {
  return (await locator.textContent()) ?? "";
}

async function step<T>(page: Page, what: string, action: Promise<T>): Promise<T> {
  try {
    return await action;
  } catch (error) {
    const seen = page.locator(
      ".monaco-dialog-box, .notification-list-item, .quick-input-widget:visible, .tab.active, .part.statusbar",
    );
    const texts = await seen.allInnerTexts().catch(() => []);
    const screen = texts.map((text) => text.replace(/\s+/g, " ").trim()).join(" | ");
    throw new Error(`VS Code did not show ${what}; on screen: ${screen}`, { cause: error });
  }
}
