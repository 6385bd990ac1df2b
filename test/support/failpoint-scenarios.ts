import { cpSync, mkdirSync, mkdtempSync, realpathSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import type { WirePolicy } from "../../server/src/protocol.ts";
import { writeDataset } from "./dataset.ts";
import { type FolderImage, imageOf, rowsOf } from "./dataset-image.ts";

export type Operation = "compact" | "undo" | "recover" | "purge";

/** Where a run is killed before the operation under test begins. */
interface Interruption {
  readonly operation: Exclude<Operation, "recover">;
  readonly at: string;
  readonly occurrence: number;
}

export interface Scenario {
  readonly name: string;
  readonly operation: Operation;
  readonly layout: "one_group" | "five_groups" | "partitioned";
  /** `publish`: an unhurt run before it. */
  readonly prepare: "nothing" | "publish" | Interruption;
  /** A file of somebody else arrives at the first call of this name. */
  readonly arriveAt: string;
}

export const SCENARIOS: readonly Scenario[] = [
  { name: "one group", operation: "compact", layout: "one_group", prepare: "nothing", arriveAt: "pin.link" },
  {
    name: "five groups",
    operation: "compact",
    layout: "five_groups",
    prepare: "nothing",
    arriveAt: "pin.link",
  },
  {
    name: "partitioned",
    operation: "compact",
    layout: "partitioned",
    prepare: "nothing",
    arriveAt: "output.link",
  },
  {
    name: "during undo",
    operation: "undo",
    layout: "one_group",
    prepare: "publish",
    arriveAt: "source.restore",
  },
  {
    name: "during undo, partitioned",
    operation: "undo",
    layout: "partitioned",
    prepare: "publish",
    arriveAt: "trash.stat",
  },
  {
    name: "during recovery, nothing published",
    operation: "recover",
    layout: "one_group",
    prepare: { operation: "compact", at: "checker.compare", occurrence: 1 },
    arriveAt: "lock.link",
  },
  {
    name: "during recovery, outputs linked",
    operation: "recover",
    layout: "one_group",
    prepare: { operation: "compact", at: "source.retire", occurrence: 1 },
    arriveAt: "lock.link",
  },
  {
    name: "during recovery, some originals retired",
    operation: "recover",
    layout: "one_group",
    prepare: { operation: "compact", at: "source.retire", occurrence: 10 },
    arriveAt: "lock.link",
  },
  {
    name: "during recovery, undo interrupted",
    operation: "recover",
    layout: "one_group",
    prepare: { operation: "undo", at: "output.withdraw", occurrence: 1 },
    arriveAt: "lock.link",
  },
  {
    name: "during recovery, purge interrupted",
    operation: "recover",
    layout: "one_group",
    prepare: { operation: "purge", at: "trash.unlink", occurrence: 10 },
    arriveAt: "lock.link",
  },
  {
    name: "during purge",
    operation: "purge",
    layout: "one_group",
    prepare: "publish",
    arriveAt: "lock.link",
  },
];

const ROWS = 20;

interface Layout {
  readonly policy: WirePolicy;
  readonly folders: readonly string[];
  readonly filesEach: number;
  /** That the plan must have. */
  readonly groups: number;
}

const LAYOUTS: Readonly<Record<Scenario["layout"], Layout>> = {
  one_group: { policy: {}, folders: [""], filesEach: 12, groups: 1 },
  five_groups: { policy: { targetRows: 5 * ROWS }, folders: [""], filesEach: 25, groups: 5 },
  partitioned: { policy: {}, folders: ["p=1", "p=2", "p=3/q=a"], filesEach: 5, groups: 3 },
};

export function groupCountOf({ layout }: Scenario): number {
  return LAYOUTS[layout].groups;
}

/** Whether originals may go for good. */
export function isPurging({ operation, prepare }: Scenario): boolean {
  return operation === "purge" || (typeof prepare === "object" && prepare.operation === "purge");
}

export function policyOf({ layout }: Scenario): WirePolicy {
  return { settleMs: 0, minFiles: 2, allow: ["nullability", "time-unit"], ...LAYOUTS[layout].policy };
}

/** The same policy on a command line. */
export function flagsOf(scenario: Scenario): readonly string[] {
  const { settleMs, minFiles, allow, targetRows } = policyOf(scenario);
  return [
    ...["--settle", String(settleMs), "--min-files", String(minFiles)],
    ...(allow ?? []).flatMap((name) => ["--allow", name]),
    ...(targetRows === undefined ? [] : ["--target-rows", String(targetRows)]),
  ];
}

/** Files of a scenario, written once; each cell gets a copy with inodes of its own. */
export interface Template {
  readonly folder: string;
  /** What arrives in the middle. */
  readonly arrival: string;
}

export function makeTemplate({ layout }: Scenario): Template {
  const folder = mkdtempSync(join(realpathSync(tmpdir()), "tamp-template-"));
  const { folders, filesEach } = LAYOUTS[layout];
  const files = folders.flatMap((below, at) =>
    Array.from({ length: filesEach }, (_, n) => {
      const from = (at * filesEach + n) * ROWS;
      return [
        join("data", below, `part-${String(n).padStart(2, "0")}.parquet`),
        { rows: ROWS, from },
      ] as const;
    }),
  );
  writeDataset(folder, {
    ...Object.fromEntries(files),
    "data/other-schema.parquet": { rows: 7, from: 1_000_000, extra: ["more"] },
    "arrival.parquet": { rows: 9, from: 2_000_000 },
  });
  mkdirSync(join(folder, "data", "notes"));
  writeFileSync(join(folder, "data", "notes", "read-me.txt"), "not ours");
  writeFileSync(join(folder, "data", "list.txt"), "not ours either");
  return { folder, arrival: join(folder, "arrival.parquet") };
}

export interface CellFolder {
  readonly folder: string;
  readonly root: string;
  /** Asked for, or null for the folder beside the root. */
  readonly asked: string | null;
  readonly workspace: string;
  readonly arrival: string;
  readonly original: FolderImage;
}

const ARRIVAL = "zz-arrival.parquet";

export async function makeCell({ layout }: Scenario, template: Template): Promise<CellFolder> {
  const folder = mkdtempSync(join(realpathSync(tmpdir()), "tamp-cell-"));
  const root = join(folder, "data");
  cpSync(join(template.folder, "data"), root, { recursive: true, preserveTimestamps: true });
  const original = imageOf(root);
  await rowsOf(root, original);
  const asked = layout === "partitioned" ? join(folder, "elsewhere") : null;
  const home = join(dirname(root), `.${basename(root)}.tamp`);
  const workspace = asked === null ? home : join(asked, `root-${statSync(root).ino}`);
  return { folder, root, asked, workspace, arrival: join(root, ARRIVAL), original };
}
