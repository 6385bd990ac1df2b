import { type Mutant, TESTS } from "./mutant.ts";

const STATES = "core/src/publication.ts";
const RECOVERY = "core/src/recovery.ts";
const PUBLISH = "server/src/publish.ts";
const GROUP = "server/src/run-group.ts";
const WORKSPACE = "server/src/workspace.ts";
const { states, publish, crash, durability } = TESTS;

type Fsync = Omit<Mutant, "of" | "replace"> & { readonly replace?: string };

/** Without what stands in `find`, unless another text takes its place. */
function missing({ replace = "", ...mutant }: Fsync): Mutant {
  return { ...mutant, of: "fsync", replace };
}

/** Each fsync of the publication, and each step that asks for some, left out by itself. */
export const FSYNC_MUTANTS: readonly Mutant[] = [
  missing({
    name: "links-not-durable",
    what: "sources are retired before the outputs' names are durable",
    file: STATES,
    find: '    SYNC,\n    { kind: "wait_overlap" },',
    replace: '    { kind: "wait_overlap" },',
    tests: [states, crash],
  }),
  missing({
    name: "retired-not-durable",
    what: "RETIRED is written before the renames are durable",
    file: STATES,
    find: '    SYNC,\n    { kind: "write_state", state: "RETIRED" },',
    replace: '    { kind: "write_state", state: "RETIRED" },',
    tests: [states, crash],
  }),
  missing({
    name: "forward-links-not-durable",
    what: "recovery retires before the outputs' names are durable",
    file: RECOVERY,
    find: '  steps.push({ kind: "sync" });\n',
    tests: [states, crash],
  }),
  missing({
    name: "forward-not-durable",
    what: "recovery writes RETIRED before the renames are durable",
    file: RECOVERY,
    find: 'return [...steps, { kind: "sync" }, { kind: "write_state", state: "RETIRED" }, { kind: "clean" }];',
    replace: 'return [...steps, { kind: "write_state", state: "RETIRED" }, { kind: "clean" }];',
    tests: [states, crash],
  }),
  missing({
    name: "restored-not-durable",
    what: "outputs are withdrawn before the originals' names are durable",
    file: RECOVERY,
    find: '    ...restore,\n    { kind: "sync" },\n',
    replace: "    ...restore,\n",
    tests: [states, crash],
  }),
  missing({
    name: "withdrawn-not-durable",
    what: "the end of a roll-back or an undo is written before the renames are durable",
    file: RECOVERY,
    find: '    ...withdraw,\n    { kind: "sync" },\n',
    replace: "    ...withdraw,\n",
    tests: [states, crash],
  }),
  missing({
    name: "out-not-durable",
    what: "the folder of staged and withdrawn outputs is not synced in a swap",
    file: PUBLISH,
    find: 'const own = ["out", "trash"].map(',
    replace: 'const own = ["trash"].map(',
    tests: [crash, publish],
  }),
  missing({
    name: "trash-not-durable",
    what: "the trash is not synced in a swap",
    file: PUBLISH,
    find: 'const own = ["out", "trash"].map(',
    replace: 'const own = ["out"].map(',
    tests: [crash, publish],
  }),
  missing({
    name: "own-folders-not-durable",
    what: "neither of the group's folders is synced in a swap",
    file: PUBLISH,
    find: "[...own, ...liveFolders(context, record)]",
    replace: "liveFolders(context, record)",
    tests: [crash, publish],
  }),
  missing({
    name: "live-not-durable",
    what: "the live directory is not synced in a swap",
    file: PUBLISH,
    find: "[...own, ...liveFolders(context, record)]",
    replace: "own",
    tests: [crash, publish],
  }),
  missing({
    name: "live-durable-first",
    what: "an old name may go for good before the new one lasts",
    file: PUBLISH,
    find: "[...own, ...liveFolders(context, record)]",
    replace: "[...liveFolders(context, record), ...own]",
    tests: [crash, publish],
  }),
  missing({
    name: "swap-not-durable",
    what: "no folder is synced in a swap",
    file: PUBLISH,
    find: "await context.fs.sync(folder).catch(",
    replace: "await Promise.resolve().catch(",
    tests: [crash, publish],
  }),
  missing({
    name: "cleaning-not-durable",
    what: "links that cleaning removed may come back once a later run has retired their file",
    file: PUBLISH,
    find: "  await fs.sync(folder.path);\n",
    tests: [publish, crash, durability, TESTS.interrupted],
  }),
  missing({
    name: "put-back-not-durable",
    what: "a stray's second name goes before its live name is durable",
    file: PUBLISH,
    find: "  await fs.sync(dirname(to));\n",
    tests: [durability],
  }),
  missing({
    name: "group-name-not-durable",
    what: "the name of a group's folder is not durable",
    file: GROUP,
    find: "  await fs.sync(dirname(folder.path));\n",
    tests: [crash, durability],
  }),
  missing({
    name: "run-name-not-durable",
    what: "the name of a run's folder is not durable",
    file: "server/src/run.ts",
    find: "  await held.fs.sync(dirname(runFolder(held.workspace, run.runId)));\n",
    tests: [crash, durability],
  }),
  missing({
    name: "outputs-not-durable",
    what: "the bytes of the outputs are not durable",
    file: GROUP,
    find: "    for (const output of outputs) await fs.sync(output);\n",
    tests: [crash, durability],
  }),
  missing({
    name: "pins-not-durable",
    what: "the names of the pins are not durable at COMMIT",
    file: GROUP,
    find: '    await fs.sync(join(folder.path, "src"));\n',
    tests: [crash, durability],
  }),
  missing({
    name: "journal-name-not-durable",
    what: "the rename that makes a record the journal is not durable",
    file: "server/src/journal.ts",
    find: "  await fs.sync(dirname(folder.journal));\n",
    tests: [crash, durability],
  }),
  missing({
    name: "found-journal-not-durable",
    what: "recovery acts on a record that may yet be lost",
    file: "server/src/recover.ts",
    find: "    await context.fs.sync(found.folder.path);\n",
    tests: [crash, durability],
  }),
  missing({
    name: "workspace-not-durable",
    what: "the folders of a workspace are not durable",
    file: WORKSPACE,
    find: "    await fs.sync(path);\n",
    tests: [crash, durability],
  }),
  missing({
    name: "home-name-not-durable",
    what: "the name of the home of a root is not durable",
    file: WORKSPACE,
    find: "new Set([dirname(home), home, dirname(base), base, folder])",
    replace: "new Set([home, base, folder])",
    tests: [crash, durability],
  }),
  missing({
    name: "workspace-name-not-durable",
    what: "the name of a workspace that was asked for is not durable",
    file: WORKSPACE,
    find: "new Set([dirname(home), home, dirname(base), base, folder])",
    replace: "new Set([dirname(home), home])",
    tests: [durability],
  }),
  missing({
    name: "runs-name-not-durable",
    what: "the names in a workspace are not durable",
    file: WORKSPACE,
    find: "new Set([dirname(home), home, dirname(base), base, folder])",
    replace: "new Set([dirname(home), dirname(base)])",
    tests: [crash, durability],
  }),
  missing({
    name: "recorded-workspace-not-durable",
    what: "the record of a workspace that was asked for is not durable",
    file: WORKSPACE,
    find: "  await fs.sync(list);\n",
    tests: [durability],
  }),
  missing({
    name: "workspace-list-not-durable",
    what: "the list of workspaces is not durable",
    file: WORKSPACE,
    find: "  await fs.sync(home);\n",
    tests: [durability],
  }),
  missing({
    name: "lock-not-durable",
    what: "the name of the lock is not durable",
    file: "server/src/lock.ts",
    find: "    await request.fs.sync(dirname(request.path));\n",
    tests: [crash, TESTS.lock],
  }),
  missing({
    name: "written-file-not-durable",
    what: "what the port writes is not synced",
    file: "server/src/fs.ts",
    find: "      await handle.sync();\n",
    tests: [durability],
  }),
  missing({
    name: "sync-does-nothing",
    what: "the port's fsync does nothing",
    file: "server/src/fs.ts",
    find: "(handle) => handle.sync()",
    replace: "async () => {}",
    tests: [durability],
  }),
];
