/** What identifies a file through links and renames. ctime is a drift hint and no part of it. */
export interface FileIdentity {
  readonly device: string;
  readonly inode: string;
  readonly sizeBytes: number;
  readonly mtimeNs: string;
}

export interface SourceRecord extends FileIdentity {
  /** Live name, relative to the dataset root. */
  readonly path: string;
  readonly rows: number;
  /** SHA-256 of the footer bytes, hex. */
  readonly footerHash: string;
  /** ctime after our last link of the inode: compared until it is retired, never by recovery. */
  readonly ctimeNs: string;
  /** Names inside the group's folder. */
  readonly pin: string;
  readonly trash: string;
}

export interface OutputRecord extends FileIdentity {
  /** Final live name, relative to the dataset root. */
  readonly path: string;
  readonly rows: number;
  readonly footerHash: string;
  /** Name inside the group's folder. */
  readonly stage: string;
}

/**
 * PREPARED: nothing live was touched. COMMIT: outputs are durable and validated, the swap may be under way.
 * RETIRED: the swap is complete. UNDOING and UNDONE: the originals come back, are back. ROLLED_BACK: the swap was
 * given up, the originals stayed or are back. PURGED: undo was given up, cleaning removes the retained originals.
 */
export type JournalState =
  | "PREPARED"
  | "COMMIT"
  | "RETIRED"
  | "UNDOING"
  | "UNDONE"
  | "ROLLED_BACK"
  | "PURGED";

const AT_REST: readonly JournalState[] = ["RETIRED", "UNDONE", "ROLLED_BACK", "PURGED"];

/** Nothing is left to do for a group in one of these states. */
export function isAtRest({ state }: Pick<JournalRecord, "state">): boolean {
  return AT_REST.includes(state);
}

export interface JournalRecord {
  readonly version: 1;
  readonly runId: string;
  /** Counts the groups of a run from 1. */
  readonly group: number;
  /** Groups that the run set out to publish: some of them may never have begun. */
  readonly groupsInRun: number;
  /** Content hash of the plan that the run carries out. */
  readonly planId: string;
  readonly operation: "compact";
  readonly state: JournalState;
  /** When this state was written: ISO 8601, UTC. */
  readonly stateSince: string;
  /** Real path of the dataset root when the run began, and what identified it. */
  readonly root: { readonly path: string; readonly device: string; readonly inode: string };
  /** Nonce of the lock that the run held. */
  readonly owner: string;
  readonly startedAt: string;
  readonly engine: string;
  readonly partition: string;
  readonly sources: readonly SourceRecord[];
  readonly outputs: readonly OutputRecord[];
  readonly rowGroupsBefore: number;
  /** How long rows stood in both old and new files in the latest swap of this group, there or back. */
  readonly duplicateWindowMs: number;
}

/**
 * Milliseconds that old and new files stand side by side before either leaves. A reader that lists meanwhile sees rows
 * twice; one whose listing takes longer may miss some. Longer than DuckDB or Arrow takes to list 10,000 files on a
 * local disk: `bench/results/exposure.md`.
 */
export const DEFAULT_OVERLAP_MS = 250;

/** One effect on the disk. Why a step comes next is decided here; how it is done, in the server. */
export type PublicationStep =
  /** The live source is still the recorded one, ctime included. */
  | { readonly kind: "check_source"; readonly source: number }
  /** Hard link stage → live name; an existing name is a failure, never overwritten. */
  | { readonly kind: "link_output"; readonly output: number }
  /** fsync of every live directory of the group and of the group's folders. */
  | { readonly kind: "sync" }
  | { readonly kind: "wait_overlap" }
  /** Rename live → trash after checking the identity, and check what was moved. */
  | { readonly kind: "retire_source"; readonly source: number }
  /** Hard link trash → live name, never overwriting. */
  | { readonly kind: "restore_source"; readonly source: number }
  /** Rename live output → the group's folder, by identity. */
  | { readonly kind: "withdraw_output"; readonly output: number }
  /** Gives a file of somebody else, moved to the trash by a rename that raced with it, its name back. */
  | { readonly kind: "return_stray"; readonly source: number }
  /** The same for one that a rename moved to where our output was to be withdrawn. */
  | { readonly kind: "return_stray_output"; readonly output: number }
  /** Replace the journal durably. */
  | { readonly kind: "write_state"; readonly state: JournalState }
  /** Remove our own links: pins, stages and, where the live name holds the same inode or after PURGED, trash. */
  | { readonly kind: "clean" };

const SYNC: PublicationStep = { kind: "sync" };
const CLEAN: PublicationStep = { kind: "clean" };

/** S8 to S11: from a durable COMMIT record to the swapped directory. Rows are never absent from it. */
export function publishSteps(record: JournalRecord): readonly PublicationStep[] {
  const sources = record.sources.map((_, source) => source);
  return [
    ...sources.map((source) => ({ kind: "check_source", source }) as const),
    ...record.outputs.map((_, output) => ({ kind: "link_output", output }) as const),
    SYNC,
    { kind: "wait_overlap" },
    ...sources.map((source) => ({ kind: "retire_source", source }) as const),
    SYNC,
    { kind: "write_state", state: "RETIRED" },
    CLEAN,
  ];
}
