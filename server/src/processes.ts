import { readFile, readlink } from "node:fs/promises";
import { hostname } from "node:os";
import { errno } from "./fs.ts";

/** What tells one process from every other: of this machine, of this boot, and of those that had its id before. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Start time in clock ticks since boot; `""` where the system does not tell. */
  readonly processStart: string;
  readonly bootId: string;
  readonly pidNamespace: string;
  readonly host: string;
  readonly uid: number;
}

/** The system's table of processes: who we are, and who is gone for certain. */
export interface Processes {
  self(): Promise<ProcessIdentity>;
  /** Provably dead: same host, boot and PID namespace, and the process is gone, a zombie, or another one by now. */
  isDead(owner: ProcessIdentity): Promise<boolean>;
}

export const hostProcesses: Processes = {
  async self() {
    return {
      pid: process.pid,
      processStart: (await processState(process.pid))?.start ?? "",
      uid: process.getuid?.() ?? -1,
      ...(await describeHost()),
    };
  },
  async isDead(owner) {
    const here = await describeHost();
    if (owner.host !== here.host) return false;
    if (owner.bootId !== here.bootId) return owner.bootId !== "" && here.bootId !== "";
    if (owner.pidNamespace !== here.pidNamespace) return false;
    const found = await processState(owner.pid);
    if (found === null) return !isAlive(owner.pid);
    return found.state === "Z" || found.state === "X" || found.start !== owner.processStart;
  },
};

/** False only where the system says that there is no such process. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return errno(error) !== "ESRCH";
  }
}

async function describeHost(): Promise<Pick<ProcessIdentity, "host" | "bootId" | "pidNamespace">> {
  const orEmpty = (read: Promise<string>): Promise<string> =>
    read.then((text) => text.trim()).catch(() => "");
  return {
    host: hostname(),
    bootId: await orEmpty(readFile("/proc/sys/kernel/random/boot_id", "utf8")),
    pidNamespace: await orEmpty(readlink("/proc/self/ns/pid")),
  };
}

/** Fields 3 and 22 of `/proc/PID/stat` (proc(5)); the command name before them may hold any character. */
async function processState(pid: number): Promise<{ readonly state: string; readonly start: string } | null> {
  try {
    const text = await readFile(`/proc/${pid}/stat`, "utf8");
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
    return { state: fields[0] ?? "", start: fields[19] ?? "" };
  } catch {
    return null;
  }
}
