import { appendFileSync, copyFileSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { ARMED_FILE, type Armed, type Fault, LOG_FILE } from "./failpoints.ts";

/** Runs inside the daemon of the tests. Everything is synchronous, so that a call is counted before the next begins. */
const folder = process.env.TAMP_FAILPOINTS ?? "";
const counts = new Map<string, number>();
let armedId = "";
let broken: Fault | null = null;

/** What the test has armed, or null while calls shall pass unseen. */
export function readArmed(): Armed | null {
  if (folder === "") return null;
  let text: string;
  try {
    text = readFileSync(join(folder, ARMED_FILE), "utf8");
  } catch {
    return null;
  }
  const armed: Armed = JSON.parse(text);
  if (armed.id !== armedId) {
    armedId = armed.id;
    broken = null;
    counts.clear();
  }
  return armed;
}

/** Counts and logs a call; answers the fault that strikes it. */
export function strike(armed: Armed, name: string): Fault | null {
  const count = (counts.get(name) ?? 0) + 1;
  counts.set(name, count);
  const { fault, arrival } = armed;
  if (arrival?.at === name && count === 1) copyFileSync(arrival.from, arrival.to);
  const first = fault !== null && fault.at === name && fault.occurrence === count;
  if (first && fault.lasting) broken = fault;
  const struck = first ? fault : broken !== null && isBroken(broken, name) ? broken : null;
  appendFileSync(join(folder, LOG_FILE), `${armed.id} ${struck === null ? "" : "!"}${name}\n`);
  return struck;
}

/** A full disk refuses what needs room; a broken one everything. */
function isBroken({ kind }: Fault, name: string): boolean {
  return kind !== "ENOSPC" || /\.(write|torn|create|link|restore)$/.test(name);
}

/** Ends the process, or rejects as the system would. */
export async function suffer({ kind, at }: Fault): Promise<never> {
  if (kind === "kill") {
    process.kill(-process.pid, "SIGKILL");
    return new Promise(() => {});
  }
  const error = new Error(kind === "throw" ? `planted at ${at}` : `${kind}: planted at ${at}`);
  throw kind === "throw" ? error : Object.assign(error, { code: kind });
}

/** A failpoint before `work`. */
export async function guarded<T>(name: string, work: () => Promise<T>): Promise<T> {
  const armed = readArmed();
  const fault = armed === null ? null : strike(armed, name);
  return fault === null ? work() : suffer(fault);
}
