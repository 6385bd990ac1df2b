import { spawn } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Mutant } from "./mutant.ts";

/** A test by its file and its full name. */
export interface TestName {
  readonly file: string;
  readonly name: string;
}

export type Outcome =
  | { readonly kind: "passed"; readonly tests: number }
  /** By what a test expects: neither too slow nor unable to run. */
  | { readonly kind: "failed"; readonly by: TestName; readonly message: string }
  | { readonly kind: "broken"; readonly reason: string };

export interface MutantRun {
  readonly repository: string;
  /** Null: the sources as they are. */
  readonly mutant: Mutant | null;
  readonly file: string;
  /** Full names of the tests to run; all of the file without. */
  readonly names?: readonly string[];
}

/** Runs the tests of one file in a Vitest of its own, up to the first that fails. */
export async function runTests(run: MutantRun): Promise<Outcome> {
  const folder = await mkdtemp(join(tmpdir(), "tamp-mutant-"));
  const report = join(folder, "report.json");
  try {
    const said = await runVitest(run, report);
    const text = await readFile(report, "utf8").catch(() => null);
    if (text === null) return { kind: "broken", reason: `there is no report: ${said}` };
    return outcomeOf(JSON.parse(text) as Report, run.file);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** The first of the mutant's test files that kills it says which test did. */
export async function hunt(repository: string, mutant: Mutant): Promise<Outcome> {
  let last: Outcome = { kind: "broken", reason: "it names no test file" };
  for (const file of mutant.tests) {
    last = await runTests({ repository, mutant, file });
    if (last.kind !== "passed") return last;
  }
  return last;
}

/** What stands in Vitest's JSON report. */
interface Report {
  readonly testResults: readonly {
    readonly message: string;
    readonly assertionResults: readonly {
      readonly ancestorTitles: readonly string[];
      readonly title: string;
      readonly status: string;
      readonly failureMessages: readonly string[] | null;
    }[];
  }[];
}

/** A mutant that cannot run, or runs for ever, proves nothing about what the tests look at. */
const NO_KILL =
  /^(SyntaxError|ReferenceError|TypeError)|(Test|Hook) timed out|Failed to (load|resolve)|Transform failed/m;

function outcomeOf({ testResults }: Report, file: string): Outcome {
  const tests = testResults.flatMap((result) => result.assertionResults);
  const failed = tests.filter(({ status }) => status === "failed");
  const reasons: string[] = testResults.map(({ message }) => message).filter((message) => message !== "");
  for (const { ancestorTitles, title, failureMessages } of failed) {
    const message = failureMessages?.[0] ?? "";
    const name = [...ancestorTitles, title].join(" ");
    if (!NO_KILL.test(message)) return { kind: "failed", by: { file, name }, message };
    reasons.push(`${name}: ${message}`);
  }
  const passed = tests.filter(({ status }) => status === "passed").length;
  if (reasons.length > 0 || passed === 0)
    return { kind: "broken", reason: reasons.join("; ") || "no test ran" };
  return { kind: "passed", tests: passed };
}

const MOST_MS = 240_000;

/** Resolves with what it said, once it has ended. */
function runVitest({ repository, mutant, file, names }: MutantRun, report: string): Promise<string> {
  const args = ["run", "--config", "vitest.mutants.config.ts", "--bail=1"];
  args.push("--reporter=json", `--outputFile=${report}`, file);
  if (names !== undefined) args.push("-t", `^ ?(?:${names.map(escaped).join("|")})$`);
  const { TAMP_FULL: _, ...env } = process.env;
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [join(repository, "node_modules/vitest/vitest.mjs"), ...args], {
      cwd: repository,
      env: { ...env, TAMP_MUTANT: mutant?.name ?? "", TMPDIR: fastFolder() },
      stdio: ["ignore", "pipe", "pipe"],
      timeout: MOST_MS,
      killSignal: "SIGKILL",
    });
    let said = "";
    const listen = (chunk: Buffer): void => {
      said = `${said}${chunk}`.slice(-4_000);
    };
    child.stdout.on("data", listen);
    child.stderr.on("data", listen);
    child.on("error", reject);
    child.on("close", () => resolve(said));
  });
}

function escaped(name: string): string {
  return name.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&");
}

/** Where there is a file system in memory, an fsync costs nothing. */
function fastFolder(): string {
  try {
    accessSync("/dev/shm", constants.W_OK);
    return "/dev/shm";
  } catch {
    return tmpdir();
  }
}
