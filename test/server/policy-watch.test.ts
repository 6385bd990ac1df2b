import { renameSync, rmSync, symlinkSync, utimesSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { nodeFs } from "../../server/src/fs.ts";
import { createPolicyWatch } from "../../server/src/policy-watch.ts";
import { type PolicyScene, policyScene } from "../support/policy-files.ts";

const ROOT = "proj/data/events";
const SCENE = { [`${ROOT}/`]: null, "elsewhere/data/events/": null, "proj/tamp.jsonc": "{}" };

type Act = (scene: PolicyScene) => void | Promise<void>;

const SEEN: readonly (readonly [string, Act])[] = [
  ["the file changes", ({ write }) => write({ "proj/tamp.jsonc": "{ }" })],
  [
    "the file is replaced by one of the same size and time",
    (scene) => {
      scene.write({ "proj/next": "[]" });
      utimesSync(scene.path("proj/next"), 1_000, 1_000);
      renameSync(scene.path("proj/next"), scene.path("proj/tamp.jsonc"));
    },
  ],
  ["the file goes", ({ path }) => rmSync(path("proj/tamp.jsonc"))],
  ["a nearer one comes", ({ write }) => write({ "proj/data/tamp.jsonc": "{}" })],
  ["one comes in the root", ({ write }) => write({ [`${ROOT}/tamp.jsonc`]: "{}" })],
  ["one comes further up", ({ write }) => write({ "tamp.jsonc": "{}" })],
  ["the user's own comes, with its folder", ({ write }) => write({ ".config/tamp/tamp.jsonc": "{}" })],
  ["the file is trusted", ({ trust }) => trust("proj/tamp.jsonc")],
  [
    "a folder above is renamed and made anew",
    (scene) => {
      renameSync(scene.path("proj"), scene.path("old"));
      scene.write({ [`${ROOT}/`]: null });
    },
  ],
  [
    "the root becomes a link to another folder",
    (scene) => {
      rmSync(scene.path(ROOT), { recursive: true });
      symlinkSync(scene.path("elsewhere/data/events"), scene.path(ROOT));
    },
  ],
  ["the root goes, and with it the file", ({ path }) => rmSync(path("proj"), { recursive: true })],
];

describe("a watch", () => {
  it.each(SEEN)("tells once that %s", async (_name, act) => {
    const scene = policyScene({ ...SCENE });
    const watch = createPolicyWatch({ fs: nodeFs, configFolder: scene.user.configFolder, everyMs: null });
    let told = 0;
    await watch.watch(scene.path(ROOT), () => {
      told += 1;
    });
    await watch.check();
    expect(told).toBe(0);
    await act(scene);
    await watch.check();
    await watch.check();
    expect(told).toBe(1);
    watch.dispose();
  });

  it("tells of a change that was made while it looked", async () => {
    const scene = policyScene({ ...SCENE });
    const watch = createPolicyWatch({ fs: nodeFs, configFolder: scene.user.configFolder, everyMs: null });
    let told = 0;
    await watch.watch(scene.path(ROOT), () => {
      told += 1;
    });
    const looking = watch.check();
    scene.write({ "proj/tamp.jsonc": "{ }" });
    await watch.check();
    await looking;
    expect(told).toBe(1);
    watch.dispose();
  });

  it("tells the datasets that it is about, until they are let go", async () => {
    const scene = policyScene({ ...SCENE });
    const watch = createPolicyWatch({ fs: nodeFs, configFolder: scene.user.configFolder, everyMs: null });
    const told: string[] = [];
    const end = await watch.watch(scene.path(ROOT), () => told.push("first"));
    await watch.watch(scene.path("elsewhere/data/events"), () => told.push("second"));
    scene.write({ "proj/tamp.jsonc": "{ }" });
    await watch.check();
    scene.write({ "tamp.jsonc": "{ }" });
    await watch.check();
    end();
    scene.write({ "tamp.jsonc": "{  }" });
    await watch.check();
    expect(told).toEqual(["first", "first", "second", "second"]);
    watch.dispose();
  });

  it("looks by itself", async () => {
    const scene = policyScene({ ...SCENE });
    const watch = createPolicyWatch({ fs: nodeFs, configFolder: null, everyMs: 5 });
    const told = new Promise<void>((resolve) => {
      void watch.watch(scene.path(ROOT), resolve).then(() => scene.write({ "proj/tamp.jsonc": "{ }" }));
    });
    await told;
    watch.dispose();
  });
});
