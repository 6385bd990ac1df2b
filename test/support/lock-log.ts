/** One line of the log that contenders for a lock and their killer write. */
interface LogLine {
  readonly event: string;
  readonly pid: number;
  readonly nonce: string;
}

export interface LockVerdict {
  /** Two holders at once, a change by one that is no longer the holder, or a lock that its living holder lost. */
  readonly violations: readonly string[];
  readonly holders: number;
  /** Processes that held the lock at least once. */
  readonly processes: number;
  /** How often the lock went over from a holder that was killed. */
  readonly takeovers: number;
}

/**
 * Judges `enter`, `mutate` and `exit`, which a contender writes while it holds the lock, `lost`, and `kill`, which is
 * written before the signal is sent: a holder is followed by another one only after its exit or its kill, and writes
 * nothing after that.
 */
export function judgeLock(log: string): LockVerdict {
  const violations: string[] = [];
  const killed = new Set<number>();
  const nonces = new Set<string>();
  const processes = new Set<number>();
  let holder: LogLine | null = null;
  let takeovers = 0;
  for (const [index, line] of parseLines(log).entries()) {
    const { event, pid, nonce } = line;
    const wrong = (what: string): void => {
      violations.push(`line ${index + 1}, ${event} ${nonce} of process ${pid}: ${what}`);
    };
    if (event === "kill") {
      killed.add(pid);
    } else if (event === "lost") {
      wrong("the lock was taken from a living process");
    } else if (event === "enter") {
      if (holder !== null && !killed.has(holder.pid))
        wrong(`${holder.nonce} of ${holder.pid} holds the lock`);
      if (holder !== null) takeovers += 1;
      nonces.add(nonce);
      processes.add(pid);
      holder = line;
    } else {
      if (holder?.nonce !== nonce) wrong(`${holder?.nonce ?? "nobody"} holds the lock`);
      if (event === "exit") holder = null;
    }
  }
  return { violations, holders: nonces.size, processes: processes.size, takeovers };
}

function parseLines(log: string): readonly LogLine[] {
  const lines = log.split("\n").filter((line) => line !== "");
  return lines.map((line) => {
    const [event = "", pid = "", nonce = ""] = line.split(" ");
    return { event, pid: Number(pid), nonce };
  });
}
