/**
 * Plans a dataset of a million data files and hashes the plan: under 2 s and 1 GB of resident memory in all. One
 * JSON line per figure; the ratio compares with JSON.stringify of the same stats, so that it holds on any machine.
 */
import { createHash } from "node:crypto";
import { performance } from "node:perf_hooks";
import { type DataFile, planCompaction, planContent, resolvePolicy } from "@tamp/core";

const PARTITIONS = 10_000;
const FILES_PER_PARTITION = 100;
const NOW_MS = 1_700_000_000_000;

/** Sizes of 0 to 4 MiB from a generator with a fixed seed; every tenth file is at target. */
function syntheticFiles(): readonly DataFile[] {
  const files: DataFile[] = [];
  let seed = 1;
  for (let partition = 0; partition < PARTITIONS; partition += 1) {
    const directory = `year=2024/day=${String(partition).padStart(5, "0")}`;
    for (let index = 0; index < FILES_PER_PARTITION; index += 1) {
      seed = (seed * 48_271) % 2_147_483_647;
      files.push(syntheticFile(`${directory}/part-${String(index).padStart(5, "0")}.parquet`, seed, index));
    }
  }
  return files;
}

function syntheticFile(path: string, seed: number, index: number): DataFile {
  const sizeBytes = index % 10 === 0 ? 120 * 2 ** 20 : 1 + (seed % (4 * 2 ** 20));
  return {
    kind: "readable",
    stats: {
      path,
      sizeBytes,
      mtimeNs: `${1_690_000_000_000_000_000n + BigInt(seed)}`,
      inode: String(seed),
      otherDevice: false,
      changedMs: NOW_MS - 86_400_000,
      rows: 1 + (seed % 50_000),
      rowGroupCount: 1,
      compressedBytes: sizeBytes,
      uncompressedBytes: 3 * sizeBytes,
      codecs: CODECS,
      createdBy: "bench",
      schemaClass: "0f1e2d3c",
    },
  };
}

const CODECS = ["snappy"] as const;

function seconds<T>(work: () => T): { readonly value: T; readonly elapsed: number } {
  const begin = performance.now();
  const value = work();
  return { value, elapsed: (performance.now() - begin) / 1000 };
}

function print(figure: string, value: number, bound?: number): void {
  const rounded = Number(value.toPrecision(4));
  console.log(
    JSON.stringify({ bench: "plan", figure, value: rounded, ...(bound === undefined ? {} : { bound }) }),
  );
  if (bound !== undefined && value > bound) process.exitCode = 1;
}

const policy = resolvePolicy({});
if (policy.kind !== "ok") throw new Error("the default policy is invalid");
const files = syntheticFiles();
const input = {
  files,
  policy: policy.policy,
  nowMs: NOW_MS,
  unsupportedClasses: new Map<string, string>(),
  filters: [],
  learnedRatio: null,
};

function planAndHash(): { readonly groups: number; readonly group: number; readonly hash: number } {
  const plan = seconds(() => planCompaction(input));
  const hash = seconds(() => {
    const sum = createHash("sha256");
    for (const piece of planContent(plan.value)) sum.update(piece);
    return sum.digest("hex");
  });
  return { groups: plan.value.groups.length, group: plan.elapsed, hash: hash.elapsed };
}

// The best of three: what else the machine does then is noise, and it only ever adds.
const rounds = [planAndHash(), planAndHash(), planAndHash()];
const best = rounds.reduce((a, b) => (a.group + a.hash <= b.group + b.hash ? a : b));
const both = best.group + best.hash;
const maxRssBytes = process.resourceUsage().maxRSS * 1024;
const reference = seconds(() => files.reduce((length, file) => length + JSON.stringify(file).length, 0));

print("files", files.length);
print("groups", best.groups);
print("group_seconds", best.group);
print("hash_seconds", best.hash);
print("group_and_hash_seconds", both, 2);
print("max_rss_megabytes", maxRssBytes / 1e6, 1000);
print("ratio_to_json_of_stats", both / reference.elapsed);
