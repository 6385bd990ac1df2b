/** Everything that the command line knows of the process around it. Data goes to `out`, all else to `err`. */
export interface CliIo {
  out(text: string): void;
  err(text: string): void;
  readonly outIsTty: boolean;
  readonly errIsTty: boolean;
  readonly columns: number;
  /** False off a terminal and under NO_COLOR. */
  readonly color: boolean;
  /** Asks on the terminal; asked only where both streams are one. Anything but a yes is a no. */
  confirm(question: string): Promise<boolean>;
  /** SIGINT or SIGTERM. */
  readonly signal: AbortSignal;
  /** Milliseconds since the epoch. */
  now(): number;
  readFile(path: string): Promise<string>;
  writeFile(path: string, text: string): Promise<void>;
  resolvePath(path: string): string;
  sleep(ms: number, signal: AbortSignal): Promise<void>;
}

/** A person sees what is printed and can answer. */
export function isInteractive(io: Pick<CliIo, "outIsTty" | "errIsTty">): boolean {
  return io.outIsTty && io.errIsTty;
}
