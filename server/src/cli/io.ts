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
  /** SIGINT, SIGTERM or SIGHUP. */
  readonly signal: AbortSignal;
  /** Milliseconds since the epoch. */
  now(): number;
  readFile(path: string): Promise<string>;
  /** Refuses, with the code `EEXIST`, where anything has that name. */
  createFile(path: string, text: string): Promise<void>;
  /** Absolute; nothing is looked up on disk. */
  resolvePath(path: string): string;
  /** The absolute path without links; of a file that is not there yet, its folder's. */
  realPath(path: string): Promise<string>;
  sleep(ms: number, signal: AbortSignal): Promise<void>;
}

const WIDEST = 100;
const NARROWEST = 60;

/** Characters that a line may have. */
export function widthOf({ columns }: Pick<CliIo, "columns">): number {
  return Math.max(NARROWEST, Math.min(WIDEST, columns));
}

/** Off a terminal a command in a line must stay in one piece, to be copied. */
export function hintWidthOf(io: Pick<CliIo, "columns">, isTty: boolean): number {
  return isTty ? widthOf(io) : Number.POSITIVE_INFINITY;
}

/** A person sees what is printed and can answer. */
export function isInteractive(io: Pick<CliIo, "outIsTty" | "errIsTty">): boolean {
  return io.outIsTty && io.errIsTty;
}
