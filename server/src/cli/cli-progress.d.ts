/** The part of cli-progress that Tamp uses; the library ships no types of its own. */
declare module "cli-progress" {
  interface BarTerminal {
    cursorSave(): void;
    cursorRestore(): void;
    cursor(visible: boolean): void;
    cursorTo(x: number | null, y: number | null): void;
    clearRight(): void;
    clearLine(): void;
    newline(): void;
    write(text: string): void;
    isTTY(): boolean;
    getWidth(): number;
    lineWrapping(enabled: boolean): void;
  }
  interface BarOptions {
    readonly format: string;
    readonly barsize: number;
    readonly barCompleteChar: string;
    readonly barIncompleteChar: string;
    readonly hideCursor: boolean;
    readonly clearOnComplete: boolean;
    readonly terminal: BarTerminal;
  }
  class SingleBar {
    constructor(options: BarOptions);
    start(total: number, value: number, payload: Readonly<Record<string, string>>): void;
    update(value: number, payload: Readonly<Record<string, string>>): void;
    stop(): void;
  }
  const cliProgress: { readonly SingleBar: typeof SingleBar };
  export = cliProgress;
}
