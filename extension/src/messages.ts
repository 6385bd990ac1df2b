import { commands, type LogOutputChannel, window, workspace } from "vscode";
import { readFailure } from "./failure.ts";
import type { Outcome } from "./run-text.ts";

/** Tells an outcome with the severity it has; resolves to the button that was chosen. */
export async function tell(
  outcome: Pick<Outcome, "severity" | "message">,
  ...buttons: string[]
): Promise<string | undefined> {
  if (outcome.severity === "error") return window.showErrorMessage(outcome.message, ...buttons);
  if (outcome.severity === "warning") return window.showWarningMessage(outcome.message, ...buttons);
  return window.showInformationMessage(outcome.message, ...buttons);
}

export async function confirm(
  question: { readonly message: string; readonly detail: string },
  button: string,
): Promise<boolean> {
  const { message, detail } = question;
  return (await window.showWarningMessage(message, { modal: true, detail }, button)) === button;
}

/** False, with an explanation, where the workspace is not trusted. The daemon refuses as well. */
export async function requireTrust(what: string): Promise<boolean> {
  if (workspace.isTrusted) return true;
  const button = "Manage Workspace Trust";
  const message = `${what} changes files, which needs a trusted workspace. Statistics and previews work without.`;
  if ((await window.showWarningMessage(message, button)) === button) {
    await commands.executeCommand("workbench.trust.manage");
  }
  return workspace.isTrusted;
}

/** Reports a failed request; what was cancelled needs no message. */
export async function tellFailure(error: unknown, log: LogOutputChannel): Promise<void> {
  const failure = readFailure(error);
  if (failure.kind === "cancelled") return;
  log.error(failure.message);
  const button = "Show Log";
  if ((await window.showErrorMessage(failure.message, button)) === button) log.show();
}
