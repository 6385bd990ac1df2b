import { readFile, readlink } from "node:fs/promises";
import { hostname } from "node:os";
import { errno } from "./fs.ts";

/** Where a process runs; `""` is what the system does not tell. */
export interface Place {
  readonly host: string;
  /** Content of `/etc/machine-id`. */
  readonly machineId: string;
  readonly bootId: string;
  readonly pidNamespace: string;
}

/** What tells one process from every other: of this machine, of this boot, and of those that had its id before. */
export interface ProcessIdentity extends Place {
  readonly pid: number;
  /** Start time in clock ticks since boot; `""` where the system does not tell. */
  readonly processStart: string;
  readonly uid: number;
}

/** The system's table of processes: who we are, and who is gone for certain. */
export interface Processes {
  self(): Promise<ProcessIdentity>;
  /** Provably dead; false where nothing can be told from here (`doubtOf`). */
  isDead(owner: ProcessIdentity): Promise<boolean>;
}

/** What a table of processes is read from. */
export interface Machine {
  place(): Promise<Place>;
  /** `/proc/PID/stat`; null where there is none. */
  stat(pid: number): Promise<string | null>;
  /** False only where the system says that there is no such process. */
  isAlive(pid: number): boolean;
}

/** Has the same number on every boot of every machine. In it no container hides another machine behind its name. */
const INITIAL_PID_NAMESPACE = "pid:[4026531836]";

/** Why it cannot be told from `here` whether a process at `there` still runs, in words; null where it can. */
export function doubtOf(there: Place, here: Place): string | null {
  if (there.host !== here.host) return "it belongs to another host";
  if (there.bootId !== here.bootId) {
    return isEarlierBoot(there, here)
      ? null
      : "it belongs to another boot of this machine, or to another machine of this name";
  }
  if (there.pidNamespace !== here.pidNamespace)
    return "it belongs to another PID namespace, such as another container";
  return null;
}

/** Containers on several machines may share a host name and the machine id of their image: they prove nothing. */
function isEarlierBoot(there: Place, here: Place): boolean {
  const isKnown = there.bootId !== "" && here.bootId !== "" && here.machineId !== "";
  const isOutside = [there, here].every((place) => place.pidNamespace === INITIAL_PID_NAMESPACE);
  return isKnown && isOutside && there.machineId === here.machineId;
}

/**
 * Where a system tells no boot id (macOS), the host's name alone says that two processes run on the same machine.
 * A stopped process is alive.
 */
export function processesOf(machine: Machine): Processes {
  return {
    async self() {
      const stat = await machine.stat(process.pid);
      return {
        pid: process.pid,
        processStart: stat === null ? "" : parseStat(stat).start,
        uid: process.getuid?.() ?? -1,
        ...(await machine.place()),
      };
    },
    async isDead(owner) {
      const here = await machine.place();
      if (doubtOf(owner, here) !== null) return false;
      if (owner.bootId !== here.bootId) return true;
      const stat = await machine.stat(owner.pid);
      if (stat === null) return !machine.isAlive(owner.pid);
      const found = parseStat(stat);
      if (owner.processStart !== "" && found.start !== owner.processStart) return true;
      // A killed process is a zombie as soon as its first thread has ended; another one may still be in the middle of
      // a rename.
      return (found.state === "Z" || found.state === "X") && found.threads <= 1;
    },
  };
}

interface Stat {
  readonly state: string;
  readonly threads: number;
  readonly start: string;
}

/** Fields 3, 20 and 22 of `/proc/PID/stat` (proc(5)); the command name before them may hold any character. */
function parseStat(text: string): Stat {
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  return { state: fields[0] ?? "", threads: Number(fields[17] ?? 0), start: fields[19] ?? "" };
}

/** False only where the system says that there is no such process. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return errno(error) !== "ESRCH";
  }
}

export const hostProcesses: Processes = processesOf({
  async place() {
    return {
      host: hostname(),
      machineId: await readOrEmpty(readFile("/etc/machine-id", "utf8")),
      bootId: await readOrEmpty(readFile("/proc/sys/kernel/random/boot_id", "utf8")),
      pidNamespace: await readOrEmpty(readlink("/proc/self/ns/pid")),
    };
  },
  stat: (pid) => readFile(`/proc/${pid}/stat`, "utf8").catch(() => null),
  isAlive,
});

function readOrEmpty(text: Promise<string>): Promise<string> {
  return text.then((found) => found.trim()).catch(() => "");
}
