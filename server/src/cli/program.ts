import { parseDuration } from "@tamp/core";
import { Command, CommanderError, InvalidArgumentError, Option } from "commander";
import type { CommandCall } from "./call.ts";
import type { DaemonClient } from "./client.ts";
import { COMMANDS, type CommandSpec, EXAMPLES, EXIT_CODES, SIZES, TIMES } from "./commands.ts";
import { type CliFlags, FLAGS, type Flag } from "./flags.ts";
import type { CliIo } from "./io.ts";
import { EXIT_FINE, tellFailure } from "./problem.ts";
import { UsageError } from "./usage-error.ts";

export interface CliDeps {
  readonly io: CliIo;
  readonly connect: () => Promise<DaemonClient>;
  readonly serve: (options: {
    readonly stdio: boolean;
    readonly clientProcessId?: number;
  }) => Promise<number>;
  readonly version: string;
}

/** Runs one command line, `argv` without the program's own name; gives the exit code and never throws. */
export async function runCli(argv: readonly string[], deps: CliDeps): Promise<number> {
  const { io } = deps;
  const json = argv.includes("--json") || /(^| )--format[= ]json( |$)/.test(argv.join(" "));
  let exitCode = EXIT_FINE;
  const program = createProgram(deps, (code) => {
    exitCode = code;
  });
  try {
    await program.parseAsync([...argv], { from: "user" });
    return exitCode;
  } catch (error) {
    if (!(error instanceof CommanderError)) return tellFailure(error, io, json, specOf(argv)?.notDone);
    if (error.exitCode === 0) return EXIT_FINE;
    return tellFailure(usageError(error, argv), io, json);
  }
}

function specOf(argv: readonly string[]): CommandSpec | undefined {
  return COMMANDS.find(({ name }) => name === argv[0]);
}

function usageError({ code, message }: CommanderError, argv: readonly string[]): UsageError {
  if (code === "commander.help")
    return new UsageError("no command was given", "`tamp --help` lists the commands");
  const command = specOf(argv);
  const help = command === undefined ? "tamp --help" : `tamp ${command.name} --help`;
  return new UsageError(
    message.replace(/^error: /, "").replace(/\n/g, " "),
    `\`${help}\` shows how it is used`,
  );
}

function createProgram(deps: CliDeps, done: (code: number) => void): Command {
  const { io, version } = deps;
  const helpWidth = Math.max(80, Math.min(100, io.columns));
  const program = new Command("tamp")
    .description("Keeps directories of Parquet files healthy: plans, compacts, validates, undoes.")
    .version(`tamp ${version}`, "--version", "show the version")
    .helpOption("-h, --help", "show this help")
    .helpCommand("help [command]", "show the help of a command")
    .exitOverride()
    .configureOutput({
      writeOut: (text) => io.out(text),
      writeErr: (text) => io.err(text),
      // Told once, with the next step, where the error is caught.
      outputError: () => {},
      getOutHelpWidth: () => helpWidth,
      getErrHelpWidth: () => helpWidth,
      getOutHasColors: () => false,
      getErrHasColors: () => false,
    })
    .addHelpText("after", `\n${EXAMPLES}\n\n${EXIT_CODES}\n\n${SIZES}\n${TIMES}`);
  for (const spec of COMMANDS) addCommand(program, spec, deps, done);
  addVersion(program, deps);
  addServe(program, deps, done);
  return program;
}

function addCommand(program: Command, spec: CommandSpec, deps: CliDeps, done: (code: number) => void): void {
  const command = program
    .command(spec.name)
    .description(spec.help)
    .helpOption("-h, --help", "show this help")
    .addHelpText("after", [...notesOf(spec), ...unitsOf(spec), "\nExample:", `  ${spec.example}`].join("\n"));
  for (const [argument, help] of spec.args) command.argument(argument, help);
  for (const name of spec.flags)
    command.addOption(optionOf({ ...FLAGS[name], help: spec.flagHelp?.[name] ?? FLAGS[name].help }));
  command.action(async () => {
    refuseEmpty(spec, command.args);
    const call: CommandCall = {
      io: deps.io,
      connect: deps.connect,
      args: command.args,
      flags: command.opts<CliFlags>(),
    };
    done(await spec.run(call));
  });
}

function notesOf({ note }: CommandSpec): readonly string[] {
  return note === undefined ? [] : ["", note];
}

/** How the values of its flags are written, after an empty line. */
function unitsOf({ flags }: CommandSpec): readonly string[] {
  const takes = (value: string): boolean => flags.some((name) => FLAGS[name].value === value);
  const lines = [...(takes("SIZE") ? [SIZES] : []), ...(takes("TIME") ? [TIMES] : [])];
  return lines.length === 0 ? [] : ["", ...lines];
}

/** An unset variable in a script gives `""`, which must never mean the current directory. */
function refuseEmpty({ name, args }: CommandSpec, given: readonly string[]): void {
  for (const [index, [argument]] of args.entries()) {
    if (given[index]?.trim() !== "") continue;
    const what = argument === "<PLAN>" ? "a plan file" : "a directory";
    throw new UsageError(
      `${what} is missing: the argument is empty`,
      `\`tamp ${name} --help\` shows how it is used`,
    );
  }
}

function optionOf({ long, value, takes, help }: Flag): Option {
  const option = new Option(value === undefined ? long : `${long} <${value}>`, help);
  if (takes === "text") option.argParser(nonEmpty);
  if (takes === "whole number") option.argParser(wholeNumber);
  if (takes === "duration") option.argParser(duration);
  if (takes === "list")
    option.argParser((text, before: readonly string[] | undefined) => [...(before ?? []), text]);
  return option;
}

function nonEmpty(text: string): string {
  if (text.trim() !== "") return text;
  throw new InvalidArgumentError("It must not be empty.");
}

function wholeNumber(text: string): number {
  const number = /^-?\d+$/.test(text) ? Number(text) : Number.NaN;
  if (Number.isSafeInteger(number)) return number;
  throw new InvalidArgumentError("It must be a whole number.");
}

/** A negative number is left to the daemon, which names the threshold and its bound. */
function duration(text: string): number {
  const ms = /^-\d+$/.test(text) ? Number(text) : parseDuration(text);
  if (ms !== null && Number.isSafeInteger(ms)) return ms;
  throw new InvalidArgumentError("It must be a time such as 7d, 12h, 30min, 90s, or milliseconds.");
}

function addVersion(program: Command, { io, version }: CliDeps): void {
  const command = program
    .command("version")
    .description("show the version")
    .helpOption("-h, --help", "show this help")
    .addOption(optionOf(FLAGS.json));
  command.action(() => {
    const { json } = command.opts<CliFlags>();
    io.out(json === true ? `${JSON.stringify({ version })}\n` : `tamp ${version}\n`);
  });
}

/** What vscode-languageclient appends for transports that Tamp does not speak. */
const OTHER_TRANSPORTS = ["--node-ipc", "--socket <port>", "--pipe <name>"] as const;

interface ServeFlags {
  readonly stdio?: boolean;
  readonly clientProcessId?: number;
  readonly nodeIpc?: boolean;
  readonly socket?: string;
  readonly pipe?: string;
}

function addServe(program: Command, { serve }: CliDeps, done: (code: number) => void): void {
  const command = program
    .command("serve")
    .description("run the daemon for an editor or another tool: JSON-RPC over stdin and stdout")
    .helpOption("-h, --help", "show this help")
    .option("--stdio", "speak over stdin and stdout, the only transport there is")
    .addOption(
      new Option("--clientProcessId <pid>", "end when this process ends")
        .argParser(wholeNumber)
        .hideHelp(false),
    );
  for (const flags of OTHER_TRANSPORTS) command.addOption(new Option(flags).hideHelp());
  command.action(async () => {
    const { stdio, clientProcessId, nodeIpc, socket, pipe } = command.opts<ServeFlags>();
    const other = nodeIpc === true || socket !== undefined || pipe !== undefined;
    if (stdio !== true || other) {
      const why = other ? "tamp serve speaks over stdin and stdout only" : "tamp serve needs --stdio";
      throw new UsageError(why, "start it as `tamp serve --stdio`");
    }
    done(await serve({ stdio, ...(clientProcessId === undefined ? {} : { clientProcessId }) }));
  });
}
