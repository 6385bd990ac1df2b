import cliProgress from "cli-progress";
import type { WorkDoneProgress } from "../protocol.ts";
import type { CliIo } from "./io.ts";
import { printable } from "./text.ts";

export interface Progress {
  update(value: WorkDoneProgress): void;
  /** Takes the bar off the screen; more updates are not shown. */
  clear(): void;
  /** The work has ended, however it did. */
  stop(): void;
}

/** A bar on a terminal, one line at the end elsewhere, both on stderr; `quiet` shows no line. */
export function createProgress(io: CliIo, options: { readonly quiet: boolean }): Progress {
  if (io.errIsTty) return createBar(io);
  return options.quiet ? { update: () => {}, clear: () => {}, stop: () => {} } : createLine(io);
}

function createBar(io: CliIo): Progress {
  const bar = new cliProgress.SingleBar({
    format: "  {bar} {percentage} %  {message}",
    barsize: 30,
    barCompleteChar: "█",
    barIncompleteChar: "░",
    hideCursor: true,
    clearOnComplete: true,
    terminal: terminalOver(io),
  });
  let stopped = false;
  const stop = (): void => {
    if (!stopped) bar.stop();
    stopped = true;
  };
  bar.start(100, 0, { message: "starting" });
  return {
    update(value) {
      if (!stopped && value.kind === "report")
        bar.update(value.percentage, { message: printable(value.message) });
    },
    clear: stop,
    stop,
  };
}

/** A log keeps every line for ever: it gets the last state alone, and of work that was cleared none. */
function createLine(io: CliIo): Progress {
  let latest = "";
  let cleared = false;
  return {
    update(value) {
      if (value.kind === "report") latest = `${value.percentage} %  ${printable(value.message)}\n`;
    },
    clear() {
      cleared = true;
    },
    stop() {
      if (!cleared && latest !== "") io.err(latest);
      cleared = true;
    },
  };
}

/** What the bar does to a terminal, as ANSI sequences through `io`: the library would take the process's own. */
function terminalOver(io: CliIo): ConstructorParameters<typeof cliProgress.SingleBar>[0]["terminal"] {
  const control = (sequence: string): void => io.err(`\u001b[${sequence}`);
  return {
    cursorSave: () => {},
    cursorRestore: () => {},
    cursor: (visible) => control(visible ? "?25h" : "?25l"),
    cursorTo: () => io.err("\r"),
    clearRight: () => control("0K"),
    clearLine: () => control("2K"),
    newline: () => io.err("\n"),
    write: (text) => io.err(text),
    isTTY: () => true,
    getWidth: () => io.columns,
    lineWrapping: (enabled) => control(enabled ? "?7h" : "?7l"),
  };
}
