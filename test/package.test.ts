import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));

interface PackageJson {
  readonly version: string;
  readonly license: string;
  readonly engines?: Readonly<Record<string, string>>;
  readonly bin?: Readonly<Record<string, string>>;
  readonly exports?: Readonly<Record<string, string>>;
  readonly scripts?: Readonly<Record<string, string>>;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
}

const FOLDERS = [".", "core", "server", "extension"] as const;
const read = (folder: string): PackageJson =>
  JSON.parse(readFileSync(join(ROOT, folder, "package.json"), "utf8"));

it("pins every dependency exactly", () => {
  const loose = FOLDERS.flatMap((folder) => {
    const { dependencies, devDependencies } = read(folder);
    return Object.entries({ ...dependencies, ...devDependencies }).filter(
      ([, version]) => !/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(version),
    );
  });
  expect(loose).toEqual([]);
});

it("keeps the core without dependencies and the compiler watching that it stays so", () => {
  expect(read("core").dependencies).toBeUndefined();
  const { compilerOptions } = JSON.parse(readFileSync(join(ROOT, "core/tsconfig.json"), "utf8"));
  expect(compilerOptions.types).toEqual([]);
  expect(compilerOptions.lib).toEqual(["es2023"]);
});

it("exposes the protocol of the server and nothing else of it", () => {
  expect(Object.keys(read("server").exports ?? {})).toEqual(["./protocol", "./package.json"]);
  for (const path of Object.values(read("server").exports ?? {}))
    expect(existsSync(join(ROOT, "server", path))).toBe(true);
});

it("has one version, one licence and one least Node", () => {
  expect(new Set(FOLDERS.map((folder) => read(folder).version)).size).toBe(1);
  expect(new Set(FOLDERS.map((folder) => read(folder).license))).toEqual(new Set(["Apache-2.0"]));
  for (const folder of [".", "server", "extension"]) expect(read(folder).engines?.node).toBe(">=20.19.0");
});

it("links a checked-in stub as the command, so that npm finds it before the build", () => {
  const bin = read("server").bin?.tamp ?? "";
  const text = readFileSync(join(ROOT, "server", bin), "utf8");
  expect(bin).toBe("bin/tamp.mjs");
  expect(text.startsWith("#!/usr/bin/env node\n")).toBe(true);
});

it("names in the lock file no registry and every package with its checksum", () => {
  const lock: { packages: Record<string, { link?: boolean; integrity?: string; resolved?: string }> } =
    JSON.parse(readFileSync(join(ROOT, "package-lock.json"), "utf8"));
  const outside = Object.entries(lock.packages).filter(
    ([path, entry]) => path.includes("node_modules/") && entry.link !== true,
  );
  expect(outside.length).toBeGreaterThan(50);
  expect(outside.filter(([, entry]) => entry.integrity === undefined)).toEqual([]);
  expect(outside.filter(([, entry]) => entry.resolved !== undefined)).toEqual([]);
});

it("shows both commands of the README literally, each on one line", () => {
  const lines = readFileSync(join(ROOT, "README.md"), "utf8").split("\n");
  expect(lines).toContain("npm ci && npm run demo");
  expect(lines).toContain("npm ci && npm test");
});
