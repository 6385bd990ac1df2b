/** One line of a log that contenders for a lock and their killer write. */
interface LogLine {
  readonly event: string;
  readonly pid: number;
  readonly nonce: string;
}

export interface LockVerdict {
  /** What must not happen: two holders, or a change by one that has lost the lock. */
  readonly violations: readonly string[];
  readonly holders: number;
  readonly processes: number;
  /** How often a lock went on from a holder that was killed. */
  readonly takeovers: number;
}

/**
 * Judges a log of `enter`, `mutate`, `exit` (by the contender, while it holds the lock) and `kill` (before the signal
 * is sent). A holder is followed by another one only after its exit or its kill, and changes nothing after that.
 */
export function judgeLock(log: string): LockVerdict {
  const violations: string[] = [];
  const killed = new Set<number>();
  const nonces = new Set<string>();
  const pids = new Set<number>();
  let holder: LogLine | null = null;
  let takeovers = 0;
  for (const [index, line] of parseLines(log).entries()) {
    const { event, pid, nonce } = line;
    const wrong = (what: string): void => {
      violations.push(`line ${index + 1}: ${event} of ${nonce} (process ${pid}): ${what}`);
    };
    if (event === "kill") killed.add(pid);
    else if (event === "enter") {
      if (holder !== null && !killed.has(holder.pid)) wrong(`${holder.nonce} (${holder.pid}) is the holder`);
      if (nonces.has(nonce)) wrong("a second time");
      if (holder !== null) takeovers += 1;
      nonces.add(nonce);
      pids.add(pid);
      holder = line;
    } else {
      if (holder?.nonce !== nonce) wrong(`the holder is ${holder?.nonce ?? "nobody"}`);
      if (event === "exit") holder = null;
    }
  }
  return { violations, holders: nonces.size, processes: pids.size, takeovers };
}

function parseLines(log: string): readonly LogLine[] {
  return log
    .trimEnd()
    .split("\n")
    .map((line) => {
      const [event = "", pid = "", nonce = ""] = line.split(" ");
      return { event, pid: Number(pid), nonce };
    });
}
