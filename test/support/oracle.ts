import { existsSync } from "node:fs";
import { basename } from "node:path";
import { type FolderImage, imageOf, missingRows, type Rows, rowsOf, sameRows } from "./dataset-image.ts";

/** A dataset of a test as it was before anything happened to it. */
export interface KnownDataset {
  readonly root: string;
  /** Folder of its runs. */
  readonly workspace: string;
  readonly original: FolderImage;
  /** Live names of the sources of each group of the plan. */
  readonly groups: readonly (readonly string[])[];
  /** Files of somebody else that came meanwhile. */
  readonly arrived: FolderImage;
  readonly purges: boolean;
}

export type GroupState = "before" | "after" | "between";

const OUTPUT = /(^|\/)compacted-\w+-\d+\.parquet$/;

/** I1: every row stands in at least one listed file. Holds at every moment. */
export async function lostRows(known: KnownDataset): Promise<readonly string[]> {
  const lost = missingRows(await wantedRows(known), await rowsOf(known.root, imageOf(known.root)));
  return lost.length === 0 ? [] : [`${lost.length} rows are in no listed file, first ${lost[0]}`];
}

function wantedRows(known: KnownDataset): Promise<Rows> {
  return rowsOf(known.root, expectedFiles(known));
}

function expectedFiles({ original, arrived }: KnownDataset): FolderImage {
  return new Map([...original, ...arrived]);
}

/** What must hold whenever nothing is interrupted any more, in words where it does not. */
export async function restProblems(known: KnownDataset): Promise<readonly string[]> {
  const image = imageOf(known.root);
  const rows = await rowsOf(known.root, image);
  const problems: string[] = [];
  if (!sameRows(await wantedRows(known), rows)) problems.push("the rows are not those of the original");
  const states = await groupStates(known);
  states.forEach((state, index) => {
    if (state === "between") problems.push(`group ${index + 1} is neither as before nor as after`);
  });
  return [...problems, ...foreignProblems(known, image), ...workspaceProblems(known, states, image)];
}

/** Whether each group's sources are all there and nothing else holds their rows, or the other way round. */
export async function groupStates(known: KnownDataset): Promise<readonly GroupState[]> {
  const { root, original, groups } = known;
  const image = imageOf(root);
  const outputs = [...image.keys()].filter((path) => OUTPUT.test(path));
  const rowsByOutput = await Promise.all(outputs.map((path) => rowsOf(root, image, [path])));
  return Promise.all(
    groups.map(async (paths) => {
      const own = await rowsOf(root, original, paths);
      const holding = outputs.filter((_, index) =>
        [...(rowsByOutput[index]?.keys() ?? [])].some((row) => own.has(row)),
      );
      const live = paths.filter((path) => image.get(path)?.inode === original.get(path)?.inode);
      if (live.length === paths.length && holding.length === 0) return "before";
      if (live.length > 0 || paths.some((path) => image.has(path))) return "between";
      return sameRows(own, await rowsOf(root, image, holding)) ? "after" : "between";
    }),
  );
}

/** Files of others keep inode, time and bytes; nothing of ours lies among them but outputs. */
function foreignProblems(known: KnownDataset, image: FolderImage): readonly string[] {
  const problems: string[] = [];
  const expected = expectedFiles(known);
  const sources = new Set(known.groups.flat());
  for (const [path, file] of expected) {
    const found = image.get(path);
    if (found === undefined && sources.has(path)) continue;
    const same =
      found?.sha256 === file.sha256 && found.inode === file.inode && found.mtimeNs === file.mtimeNs;
    if (!same) problems.push(`${path} was ${found === undefined ? "taken away" : "changed"}`);
  }
  for (const path of image.keys()) {
    if (!expected.has(path) && !OUTPUT.test(path)) problems.push(`${path} lies in the dataset`);
  }
  return problems;
}

/** Originals are live or retained, and nothing else of a run is left over. */
function workspaceProblems(
  known: KnownDataset,
  states: readonly GroupState[],
  live: FolderImage,
): readonly string[] {
  const { workspace, groups, original } = known;
  const kept = existsSync(workspace) ? imageOf(workspace) : new Map();
  const retained = new Set<string>();
  const problems: string[] = [];
  for (const [path, { inode }] of kept) {
    if (/^runs\/\w+\/\d+\/trash\/[^/]+$/.test(path)) retained.add(inode);
    else if (!isAllowed(path)) problems.push(`${path} is left over in the workspace`);
  }
  groups.forEach((paths, index) => {
    for (const path of paths) {
      const inode = original.get(path)?.inode ?? "";
      const isLive = live.get(path)?.inode === inode;
      if (!isLive && !retained.has(inode) && !known.purges) problems.push(`the original of ${path} is gone`);
      if (states[index] === "before" && retained.has(inode)) problems.push(`${path} is still in the trash`);
    }
  });
  return problems;
}

/** Empty folders cost nothing; a record that was cut short is replaced by the next one, a lock by its owner. */
function isAllowed(path: string): boolean {
  const name = basename(path);
  return (
    path.endsWith("/") || /^(journal\.json(\.new)?$|lock\.)/.test(name) || path.startsWith("workspaces/")
  );
}
