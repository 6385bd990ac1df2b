import cliProgress from "cli-progress";
import type { WorkDoneProgress } from "../protocol.ts";
import type { CliIo } from "./io.ts";
import { printable } from "./text.ts";

export interface Progress {
  update(value: WorkDoneProgress): void;
  /** Takes the bar off the screen; more updates are ignored. */
  stop(): void;
}

const LINE_EVERY_PERCENT = 10;

/** A bar on a terminal, a line every ten percent elsewhere, both on stderr; `quiet` shows lines to nobody. */
export function createProgress(io: CliIo, options: { readonly quiet: boolean }): Progress {
  if (io.errIsTty) return createBar(io);
  return options.quiet ? { update: () => {}, stop: () => {} } : createLines(io);
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
  bar.start(100, 0, { message: "starting" });
  return {
    update(value) {
      if (!stopped && value.kind === "report")
        bar.update(value.percentage, { message: printable(value.message) });
    },
    stop() {
      if (!stopped) bar.stop();
      stopped = true;
    },
  };
}

function createLines(io: CliIo): Progress {
  let next = LINE_EVERY_PERCENT;
  let stopped = false;
  return {
    update(value) {
      if (stopped || value.kind !== "report" || value.percentage < next) return;
      next = (Math.floor(value.percentage / LINE_EVERY_PERCENT) + 1) * LINE_EVERY_PERCENT;
      io.err(`${String(value.percentage).padStart(4)} %  ${printable(value.message)}\n`);
    },
    stop() {
      stopped = true;
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
