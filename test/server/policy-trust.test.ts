import { readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { describe, expect, it } from "vitest";
import { nodeFs } from "../../server/src/fs.ts";
import { findTrustable, grantsOf, listTrusted, setTrust } from "../../server/src/policy-trust.ts";
import { hashOf } from "../../server/src/trust.ts";
import { createUserSettings } from "../../server/src/user-settings.ts";
import { policyScene } from "../support/policy-files.ts";

const FILE = "proj/tamp.jsonc";
const LIST = ".config/tamp/trusted.json";
const ROOT = "proj/data";
const BOLD = {
  defaults: { minFiles: 3, engine: "duckdb" },
  datasets: [{ path: "data", onThreshold: "execute", workspace: "../ws" }],
};

describe("what needs trust", () => {
  it("is held back and told, and all else holds", async () => {
    const scene = policyScene({ "proj/data/": null, [FILE]: BOLD });
    const policy = await scene.load(ROOT);
    expect(policy).toMatchObject({
      trusted: false,
      valid: true,
      onThreshold: "notify",
      engine: "auto",
      workspace: null,
    });
    expect(policy.input).toEqual({ minFiles: 3 });
    expect(policy.problems.map(({ severity, path }) => [severity, path.join(".")])).toEqual([
      ["held", "defaults.engine"],
      ["held", "datasets.0.onThreshold"],
      ["held", "datasets.0.workspace"],
    ]);
    expect(policy.warnings[1]).toMatch(
      /onThreshold "execute" has no effect: the file is not trusted; .*tamp trust/,
    );
  });

  it("is told as the file has it", async () => {
    const scene = policyScene({
      "proj/data/": null,
      [FILE]: { defaults: { retention: "1h", allow: ["enum"] } },
    });
    const { warnings } = await scene.load(ROOT);
    expect(warnings).toEqual([
      expect.stringContaining('retention "1h" has no effect'),
      expect.stringContaining('allow ["enum"] has no effect'),
    ]);
    const grants = grantsOf(await findTrustable(nodeFs, scene.path(FILE), false));
    expect(grants).toMatchObject([
      { name: "retention", value: "1h" },
      { name: "allow", value: '["enum"]' },
    ]);
  });

  it("holds once the file is trusted, until it changes", async () => {
    const scene = policyScene({ "proj/data/": null, [FILE]: BOLD });
    await scene.trust(FILE);
    const workspace = scene.path("ws");
    expect(await scene.load(ROOT)).toMatchObject({
      trusted: true,
      onThreshold: "execute",
      engine: "duckdb",
      workspace,
      problems: [],
    });
    scene.write({ [FILE]: `${JSON.stringify(BOLD)}\n` });
    const changed = await scene.load(ROOT);
    expect(changed).toMatchObject({ trusted: false, onThreshold: "notify", workspace: null });
    expect(changed.warnings).toEqual(
      ["engine", "onThreshold", "workspace"].map((name) =>
        expect.stringMatching(
          new RegExp(`${name} .* has no effect: the file has changed since it was trusted`),
        ),
      ),
    );
  });

  it("held back gives way to what the user says elsewhere; execute is notify", async () => {
    const scene = policyScene({
      [FILE]: BOLD,
      ".config/tamp/tamp.jsonc": { defaults: { engine: "duckdb", workspace: "/mine", onThreshold: "off" } },
    });
    expect(await scene.load(ROOT)).toMatchObject({
      engine: "duckdb",
      workspace: "/mine",
      onThreshold: "notify",
    });
  });

  it.each([
    ["a link out of the folder", { "proj/data -> precious": null }],
    ["a link further up", { "proj/data -> precious/deep": null, "precious/deep/": null }],
  ])("is everything where the dataset lies elsewhere: %s", async (_name, links) => {
    const scene = policyScene({
      "precious/": null,
      ...links,
      [FILE]: { defaults: { minFiles: 3 }, datasets: [{ path: "data", settle: 4 }] },
    });
    const policy = await scene.load(ROOT);
    expect(policy).toMatchObject({ input: {}, trusted: false });
    expect(policy.warnings).toEqual([
      expect.stringContaining("what it says of a dataset outside its folder has no effect"),
    ]);
    await scene.trust(FILE);
    expect(await scene.load(ROOT)).toMatchObject({ input: { minFiles: 3, settleMs: 4 }, warnings: [] });
  });

  it("is told of other entries that lead out of the folder too", async () => {
    const scene = policyScene({
      [FILE]: {
        datasets: [{ path: "data" }, { path: "../x" }, { path: "/etc" }, { path: "~/y" }, { path: "..z" }],
      },
    });
    const policy = await scene.load(ROOT);
    expect(policy.warnings).toEqual([]);
    expect(policy.problems.map(({ concerns, path }) => [concerns, path[1]])).toEqual([
      [false, 1],
      [false, 2],
      [false, 3],
    ]);
  });

  it("is of a place: the same content elsewhere, or a link to it, is not trusted", async () => {
    const scene = policyScene({
      [FILE]: BOLD,
      "copy/tamp.jsonc": BOLD,
      "link/tamp.jsonc -> proj/tamp.jsonc": null,
    });
    await scene.trust(FILE);
    for (const root of ["copy/data", "link/data"])
      expect(await scene.load(root)).toMatchObject({ trusted: false, onThreshold: "notify" });
  });

  it("is found by the real path of the folder", async () => {
    const scene = policyScene({ [FILE]: BOLD, "alias -> proj": null });
    await scene.trust("alias/tamp.jsonc");
    expect(await scene.load(ROOT)).toMatchObject({ trusted: true, onThreshold: "execute" });
  });
});

describe("the list of trusted files", () => {
  it("is the user's alone, replaced whole, and leaves nothing beside it", async () => {
    const scene = policyScene({ [FILE]: BOLD, "b/tamp.jsonc": {} });
    await scene.trust(FILE);
    await scene.trust("b");
    const path = scene.path(LIST);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(readdirSync(dirname(path))).toEqual(["trusted.json"]);
    const { tampTrust, files } = JSON.parse(readFileSync(path, "utf8"));
    expect(tampTrust).toBe(1);
    expect(files).toEqual(
      ["b/tamp.jsonc", FILE].map((name) => ({
        path: scene.path(name),
        sha256: hashOf(readFileSync(scene.path(name), "utf8")),
        trustedAt: "2026-01-01T00:00:00.000Z",
      })),
    );
  });

  it("tells what became of the files", async () => {
    const scene = policyScene({ "a/tamp.jsonc": {}, "b/tamp.jsonc": {}, "c/tamp.jsonc": {} });
    for (const name of ["a", "b", "c"]) await scene.trust(name);
    scene.write({ "b/tamp.jsonc": " {}" });
    rmSync(scene.path("c"), { recursive: true });
    const states = (await listTrusted(nodeFs, scene.user)).map(({ state }) => state);
    expect(states).toEqual(["trusted", "changed", "missing"]);
  });

  it("forgets a file, though it be gone", async () => {
    const scene = policyScene({ [FILE]: BOLD, "c/tamp.jsonc": {} });
    await scene.trust(FILE);
    await scene.trust("c");
    rmSync(scene.path("c/tamp.jsonc"));
    const forget = async (name: string): Promise<boolean> => {
      const found = await findTrustable(nodeFs, scene.path(name), true);
      return setTrust({ fs: nodeFs, user: scene.user, found, trustedAt: null, id: "x" });
    };
    expect([await forget(FILE), await forget("c"), await forget("c/tamp.jsonc")]).toEqual([
      true,
      true,
      false,
    ]);
    expect(await listTrusted(nodeFs, scene.user)).toEqual([]);
    expect(await scene.load(ROOT)).toMatchObject({ trusted: false });
  });

  it.each(["{", "[]", '{"tampTrust":2,"files":[]}', '{"tampTrust":1,"files":[{"path":5}]}'])(
    "that is damaged (%s) trusts nothing, says so, and is not written over",
    async (text) => {
      const scene = policyScene({ [FILE]: BOLD, [LIST]: text });
      const policy = await scene.load(ROOT);
      expect(policy).toMatchObject({ trusted: false, onThreshold: "notify", valid: true });
      expect(policy.warnings.at(-1)).toContain("trusted.json");
      await expect(scene.trust(FILE)).rejects.toMatchObject({ code: "IoError" });
      expect(readFileSync(scene.path(LIST), "utf8")).toBe(text);
    },
  );

  it("needs a home", async () => {
    const scene = policyScene({ [FILE]: BOLD });
    const found = await findTrustable(nodeFs, scene.path(FILE), false);
    const user = createUserSettings({}, null);
    const trusting = setTrust({ fs: nodeFs, user, found, trustedAt: "x", id: "x" });
    await expect(trusting).rejects.toMatchObject({ code: "IoError" });
  });
});

describe("a file to trust", () => {
  it("is named itself, or by a folder at or below it", async () => {
    const scene = policyScene({ "proj/data/": null, [FILE]: BOLD });
    for (const name of [FILE, "proj", "proj/data"])
      expect(await findTrustable(nodeFs, scene.path(name), false)).toMatchObject({ place: scene.path(FILE) });
  });

  it("says what it asks for", async () => {
    const bold = { ...BOLD, datasets: [...BOLD.datasets, { path: "inside/*" }, { path: "../out" }] };
    const scene = policyScene({ [FILE]: bold });
    expect(grantsOf(await findTrustable(nodeFs, scene.path(FILE), false))).toEqual([
      { name: "engine", value: "duckdb", line: 1 },
      { name: "onThreshold", value: "execute", line: 1 },
      { name: "workspace", value: "../ws", line: 1 },
      { name: "path", value: "../out", line: 1 },
    ]);
  });

  it.each([
    ["is not there", {}, "there is no tamp.jsonc at"],
    ["is broken", { [FILE]: "{" }, "a } is missing"],
  ])("that %s is refused", async (_name, files, message) => {
    const scene = policyScene({ "proj/": null, ...files });
    const finding = findTrustable(nodeFs, scene.path(FILE), false);
    await expect(finding).rejects.toMatchObject({
      code: "InvalidPolicy",
      message: expect.stringContaining(message),
    });
  });
});

it.each([
  [{ XDG_CONFIG_HOME: "/x" }, "/home/me", "/x/tamp"],
  [{ XDG_CONFIG_HOME: "relative" }, "/home/me", "/home/me/.config/tamp"],
  [{}, null, null],
])("the user's folder with %j and the home %s is %s", (environment, home, folder) => {
  expect(createUserSettings(environment, home).configFolder).toBe(folder);
});
