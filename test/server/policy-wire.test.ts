import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { DaemonClient } from "../../server/src/cli/client.ts";
import { createTestBench, type TestBench } from "../support/daemon.ts";
import { type PolicyScene, policyScene } from "../support/policy-files.ts";

let bench: TestBench;
beforeAll(async () => {
  bench = await createTestBench();
});
afterAll(() => bench.dispose());

const FILE = "proj/tamp.jsonc";
const BOLD = { datasets: [{ path: "data", onThreshold: "execute", minFiles: 33 }] };

function clientOf({ user }: PolicyScene): Promise<DaemonClient> {
  return bench.start({ ports: { user }, now: () => 0 });
}

describe("the requests about policies", () => {
  it("tell, trust, list and forget", async () => {
    const scene = policyScene({ "proj/data/": null, [FILE]: BOLD });
    const client = await clientOf(scene);
    const dataset = scene.path("proj/data");
    const file = scene.path(FILE);
    const before = await client.request("tamp/policy", { dataset, policy: { minAgeMs: 5 } });
    expect(before).toMatchObject({
      dataset,
      file,
      userFile: null,
      trusted: false,
      valid: true,
      onThreshold: "notify",
    });
    expect(before.values).toEqual(
      expect.arrayContaining([
        { name: "minAge", value: 5, unit: "ms", meaning: expect.any(String), origin: { kind: "client" } },
        expect.objectContaining({
          name: "minFiles",
          value: 33,
          origin: { kind: "file", file, line: 1, column: 64 },
        }),
      ]),
    );
    expect(before.problems).toMatchObject([
      { severity: "held", concerns: true, path: ["datasets", 0, "onThreshold"] },
    ]);
    const trusted = await client.request("tamp/policy/trust", { path: dataset });
    expect(trusted).toMatchObject({
      file,
      trusted: true,
      changed: true,
      grants: [{ name: "onThreshold", line: 1 }],
    });
    expect(await client.request("tamp/policy", { dataset })).toMatchObject({
      trusted: true,
      onThreshold: "execute",
    });
    expect(await client.request("tamp/policy/trusted", null)).toEqual({
      files: [{ file, sha256: trusted.sha256, trustedAt: "1970-01-01T00:00:00.000Z", state: "trusted" }],
    });
    const revoked = await client.request("tamp/policy/trust", { path: file, revoke: true });
    expect(revoked).toMatchObject({ file, trusted: false, changed: true });
    expect(await client.request("tamp/policy/trusted", null)).toEqual({ files: [] });
  });

  it.each([
    ["tamp/policy", { dataset: "relative" }, "InvalidParams"],
    ["tamp/policy", { dataset: "/d", policy: { minFiles: 1 } }, "InvalidPolicy"],
    ["tamp/policy/trust", { path: "relative" }, "InvalidParams"],
    ["tamp/policy/trust", { path: "/not/there" }, "InvalidPolicy"],
  ] as const)("%s with %j is refused", async (method, params, code) => {
    const client = await clientOf(policyScene());
    await expect(client.request(method, params as never)).rejects.toMatchObject({ code });
  });
});
