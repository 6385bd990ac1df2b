import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach } from "vitest";
import type { PolicyInput } from "../../core/src/index.ts";
import { type DatasetPolicy, loadDatasetPolicy } from "../../server/src/dataset-policy.ts";
import { nodeFs } from "../../server/src/fs.ts";
import { findTrustable, setTrust } from "../../server/src/policy-trust.ts";
import { createUserSettings, type UserSettings } from "../../server/src/user-settings.ts";

/** A user's home and what lies in it; `~` of a path is that home. */
export interface PolicyScene {
  readonly home: string;
  readonly user: UserSettings;
  path(name: string): string;
  /** Writes files and their folders; `name -> target` makes a link, a name that ends with `/` a folder. */
  write(files: Readonly<Record<string, unknown>>): void;
  load(root: string, more?: LoadMore): Promise<DatasetPolicy>;
  trust(name: string): Promise<void>;
}

export interface LoadMore {
  readonly environment?: Readonly<Record<string, string>>;
  readonly client?: PolicyInput;
  readonly previous?: DatasetPolicy;
}

const scenes: string[] = [];
afterEach(() => {
  for (const home of scenes.splice(0)) rmSync(home, { recursive: true, force: true });
});

export function policyScene(files: Readonly<Record<string, unknown>> = {}): PolicyScene {
  const home = realpathSync(mkdtempSync(join(tmpdir(), "tamp-policy-")));
  scenes.push(home);
  const user = createUserSettings({}, home);
  const path = (name: string): string => (name.startsWith("/") ? name : join(home, name));
  const scene: PolicyScene = {
    home,
    user,
    path,
    write(given) {
      for (const [name, value] of Object.entries(given)) {
        const [file = "", target] = name.split(" -> ");
        mkdirSync(file.endsWith("/") ? path(file) : dirname(path(file)), { recursive: true });
        if (target !== undefined) symlinkSync(path(target), path(file));
        else if (!file.endsWith("/"))
          writeFileSync(path(file), typeof value === "string" ? value : JSON.stringify(value));
      }
    },
    load: (root, { environment = {}, ...more } = {}) =>
      loadDatasetPolicy({ fs: nodeFs, user: { ...user, environment }, root: path(root), ...more }),
    async trust(name) {
      const found = await findTrustable(nodeFs, path(name), false);
      await setTrust({ fs: nodeFs, user, found, trustedAt: "2026-01-01T00:00:00.000Z", id: "x" });
    },
  };
  scene.write(files);
  return scene;
}
