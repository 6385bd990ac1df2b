import type { Command } from "./call.ts";
import { check } from "./commands/check.ts";
import { compact } from "./commands/compact.ts";
import { config } from "./commands/config.ts";
import { execute } from "./commands/execute.ts";
import { history } from "./commands/history.ts";
import { plan } from "./commands/plan.ts";
import { purge } from "./commands/purge.ts";
import { recover } from "./commands/recover.ts";
import { runs } from "./commands/runs.ts";
import { stats } from "./commands/stats.ts";
import { trust } from "./commands/trust.ts";
import { undo } from "./commands/undo.ts";
import { watch } from "./commands/watch.ts";
import { type FlagName, POLICY_FLAGS } from "./flags.ts";

/** Every command has its own entry: nothing else knows which function carries out what. */
export interface CommandSpec {
  readonly name: string;
  readonly args: readonly (readonly [argument: string, help: string])[];
  readonly flags: readonly FlagName[];
  /** Where a flag means something else than elsewhere. */
  readonly flagHelp?: { readonly [N in FlagName]?: string };
  readonly help: string;
  /** What else must be known before it is run. */
  readonly note?: string;
  readonly example: string;
  /** What it did not do where no work could begin; default: what the daemon says. */
  readonly notDone?: string;
  readonly run: Command;
}

const DIR = ["<DIR>", "the dataset: a directory of Parquet files"] as const;
const RUN_FLAGS = ["memoryLimit", "overlap", "yes"] as const satisfies readonly FlagName[];

export const COMMANDS: readonly CommandSpec[] = [
  {
    name: "stats",
    args: [DIR],
    flags: ["partition", ...POLICY_FLAGS, "workspace", "json"],
    help: "show what a dataset holds and how healthy it is; reads footers only",
    example: "tamp stats data/events --partition year=2026/month=3",
    run: stats,
  },
  {
    name: "plan",
    args: [DIR],
    flags: ["partition", ...POLICY_FLAGS, "engine", "workspace", "out", "json"],
    help: "show what compact would do and why; changes nothing",
    example: "tamp plan data/events --target-size 256MiB --out plan.json",
    run: plan,
  },
  {
    name: "compact",
    args: [DIR],
    flags: ["partition", ...POLICY_FLAGS, "engine", ...RUN_FLAGS, "dryRun", "workspace", "json"],
    help: "plan, ask, and rewrite small files to fewer, larger ones; every row is compared before the swap",
    note: `What an interrupted run left is finished or taken back before the plan is
made, so also where the question is then answered with no; not with --dry-run.`,
    example: "tamp compact data/events --min-files 5 --yes",
    run: compact,
  },
  {
    name: "execute",
    args: [
      ["<PLAN>", "a plan that tamp plan --out wrote"],
      ["[DIR]", "the dataset (default: the one that the plan names)"],
    ],
    flags: ["engine", ...RUN_FLAGS, "workspace", "json"],
    help: "carry out a written plan, or what an earlier run of it left; refused where files have changed since",
    note: "What an interrupted run left is finished or taken back before the plan is run.",
    example: "tamp execute plan.json --yes",
    run: execute,
  },
  {
    name: "runs",
    args: [DIR],
    flags: ["workspace", "json"],
    help: "list the runs of a dataset, newest first, and what they keep for undo",
    example: "tamp runs data/events",
    run: runs,
  },
  {
    name: "undo",
    args: [DIR],
    flags: ["run", "yes", "workspace", "json"],
    help: "restore the originals of a run, the latest unless --run names another, and withdraw its outputs",
    note: "What an interrupted run left is finished or taken back before the undo.",
    example: "tamp undo data/events",
    notDone: "nothing was undone",
    run: undo,
  },
  {
    name: "purge",
    args: [DIR],
    flags: ["run", "all", "retention", "maxRetained", "dryRun", "yes", "workspace", "json"],
    help: "delete originals that are kept for undo: of runs past their retention, of one run, or of all",
    note: `What an interrupted run left is finished or taken back first,
also with --dry-run and where the question is then answered with no.`,
    example: "tamp purge data/events --retention 2d --dry-run",
    notDone: "nothing was deleted",
    run: purge,
  },
  {
    name: "recover",
    args: [DIR],
    flags: ["workspace", "json"],
    help: "finish or roll back what an interrupted run left",
    example: "tamp recover data/events",
    notDone: "nothing was recovered",
    run: recover,
  },
  {
    name: "watch",
    args: [DIR],
    flags: [...POLICY_FLAGS, "execute", "workspace", "json"],
    flagHelp: { json: "one JSON object a line on stdout, one line a change, and nothing else" },
    help: "tell every change and every crossed threshold until Ctrl-C; changes nothing without --execute",
    note: `A directory that is not there yet is waited for. Ctrl-C (or SIGTERM) is the
normal end and exits with 0; a run of --execute that is under way then is
cancelled first, and where it was not published in full the exit code is 130.`,
    example: "tamp watch data/events --min-files 50",
    run: watch,
  },
  {
    name: "check",
    args: [DIR],
    flags: ["partition", ...POLICY_FLAGS, "workspace", "format", "json"],
    help: "say whether a threshold is crossed, and exit with 1 where one is; changes nothing",
    note: `A partition is over a threshold where tamp plan would rewrite files in it.
Where none is, but a directory could not be listed or the policy is not valid,
the exit code is 2: nobody knows.
Files that cannot be read are told, and cross no threshold by themselves.
--format github, sarif and junit are for the tools of a job; json is --json.`,
    example: "tamp check data/events --min-files 50 --format junit > tamp.xml",
    run: check,
  },
  {
    name: "history",
    args: [DIR],
    flags: ["since", "workspace", "json"],
    help: "show how files, sizes and health became what they are, and what runs did",
    note: `Kept in the user's state folder: five minutes apart for a day, an hour for
a month, a day for two years.`,
    example: "tamp history data/events --since 7d",
    run: history,
  },
  {
    name: "config",
    args: [["[DIR]", "the dataset (default: the current folder)"]],
    flags: [...POLICY_FLAGS, "schema", "json"],
    help: "show what holds for a dataset and who says it: flag, environment, tamp.jsonc, user or default",
    note: `Of a flag, TAMP_MIN_FILES and the like, the nearest tamp.jsonc, the user's own
tamp.jsonc and the default, the first that says something holds. Exits with 2
where something is wrong.`,
    example: "tamp config data/events",
    run: config,
  },
  {
    name: "trust",
    args: [["[PATH]", "a tamp.jsonc, or a folder at or below it"]],
    flags: ["revoke", "list", "json"],
    help: "let a tamp.jsonc say, as it is now, what only a trusted file may",
    note: `That is onThreshold "execute" (rewrites that start by themselves), engine,
workspace, allow, retention and maxRetained, and whatever it says of a dataset
outside its folder. A file that is changed afterwards must be trusted again.`,
    example: "tamp trust data/tamp.jsonc",
    notDone: "what is trusted was not changed",
    run: trust,
  },
];

export const EXAMPLES = `Examples:
  tamp stats data/events                  what is there and how healthy it is
  tamp plan data/events                   what compact would do and why
  tamp compact data/events                show the plan, ask, and run it
  tamp compact data/events --yes          the same in a job, without a question
  tamp stats data/events --json | jq .health
  tamp undo data/events                   restore what the latest run replaced
  tamp purge data/events                  delete old originals; ends their undo`;

export const SIZES = `Sizes: a bare number is bytes; MB = 10^6 bytes, MiB = 2^20 bytes.
Units: B, kB, MB, GB, TB, KiB, MiB, GiB, TiB, in upper or lower case.`;

export const TIMES = "Times: a bare number is milliseconds; 90s, 30min, 12h and 7d are taken too.";

export const EXIT_CODES = `Exit codes:
  0    done, or nothing to do; a watch that was ended
  1    a threshold is crossed (check)
  2    error, refused, or not published or checked in full
  130  cancelled or interrupted; or the answer was no

Off a terminal compact, execute, undo and purge need --yes; --json asks nothing.
Data goes to stdout, everything else to stderr. NO_COLOR takes the colours away.`;
