import { describe, expect, it } from "vitest";
import { policySchema } from "../../core/src/index.ts";
import { TampError } from "../../server/src/errors.ts";
import type { TrustResult, WireDatasetPolicy, WireTrustedFile } from "../../server/src/protocol.ts";
import { rows, run } from "../support/cli.ts";

const FILE = "/data/tamp.jsonc";

const POLICY: WireDatasetPolicy = {
  dataset: "/data/events",
  file: FILE,
  userFile: "/home/me/.config/tamp/tamp.jsonc",
  trusted: false,
  valid: true,
  onThreshold: "notify",
  values: [
    {
      name: "targetSize",
      value: 2 ** 26,
      unit: "bytes",
      meaning: "m",
      origin: { kind: "file", file: FILE, line: 3, column: 9 },
    },
    { name: "minAge", value: 3_600_000, unit: "ms", meaning: "m", origin: { kind: "default" } },
    {
      name: "minFiles",
      value: 20,
      unit: "none",
      meaning: "m",
      origin: { kind: "environment", variable: "TAMP_MIN_FILES" },
    },
    {
      name: "exclude",
      value: ["tmp/**", "\u001b[31m"],
      unit: "none",
      meaning: "m",
      origin: { kind: "client" },
    },
    { name: "allow", value: [], unit: "none", meaning: "m", origin: { kind: "default" } },
    { name: "workspace", value: null, unit: "none", meaning: "m", origin: { kind: "default" } },
  ],
  problems: [
    {
      severity: "held",
      concerns: true,
      message: "workspace has no effect",
      file: FILE,
      path: [],
      offset: 1,
      length: 1,
      line: 6,
      column: 5,
    },
    {
      severity: "error",
      concerns: false,
      message: "minFiles must be a whole number",
      file: FILE,
      path: [],
      offset: 1,
      length: 1,
      line: 7,
      column: 1,
    },
  ],
};

const BROKEN: WireDatasetPolicy = { ...POLICY, valid: false };
const NONE: WireDatasetPolicy = { ...POLICY, file: null, userFile: null, trusted: true, problems: [] };

const TRUSTED: TrustResult = {
  file: FILE,
  trusted: true,
  changed: true,
  sha256: "00",
  grants: [{ name: "onThreshold", value: "execute", line: 4 }],
};
const LISTED: readonly WireTrustedFile[] = [
  { file: FILE, sha256: "00", trustedAt: "2026-03-01T12:00:07.000Z", state: "changed" },
  { file: "/b/tamp.jsonc", sha256: "00", trustedAt: "2026-03-01T12:00:07.000Z", state: "missing" },
];

const answering = (method: string, answer: unknown) => ({ answers: { [method]: answer } });
const config = (answer: unknown) => answering("tamp/policy", answer);
const trust = (answer: unknown) => answering("tamp/policy/trust", answer);

describe("tamp config", () => {
  rows([
    {
      line: "config events",
      setting: config(POLICY),
      code: 0,
      sent: ["policy"],
      out: [
        `policy  ${FILE} (not trusted)`,
        "user    /home/me/.config/tamp/tamp.jsonc",
        "over a threshold: notify",
        `64.0 MiB            ${FILE}:3`,
        "1 h ",
        "TAMP_MIN_FILES",
        "tmp/**, \\u{1b}[31m  flag",
        "not set",
        `${FILE}:6:5: held back: workspace has no effect`,
        `${FILE}:7:1: minFiles must be a whole number (another dataset)`,
      ],
    },
    {
      line: "config",
      setting: config(BROKEN),
      code: 2,
      out: ["Nothing is executed by itself until this is mended."],
    },
    { line: "config --json", setting: config(BROKEN), code: 2, out: ['"valid":false'] },
    { line: "config", setting: config(NONE), code: 0, out: ["policy  none"] },
    {
      line: "config",
      setting: config(
        new TampError("InvalidPolicy", "minAgeMs must be at least 0 ms", { hint: "correct the threshold" }),
      ),
      code: 2,
      err: ["--min-age must be at least 0 ms"],
      quiet: true,
    },
    { line: "config --schema", code: 0, sent: [], out: ['  "title": "Tamp policy"'] },
  ]);

  it("sends the folder and the flags", async () => {
    const { calls } = await run("config sub --min-files 5 --min-age 2h", config(POLICY));
    expect(calls.map(({ params }) => params)).toEqual([
      { dataset: "/data/sub", policy: { minFiles: 5, minAgeMs: 7_200_000 } },
    ]);
  });

  it("prints the schema as JSON, in one line with --json", async () => {
    const { out } = await run("config --schema --json");
    expect(JSON.parse(out)).toEqual(policySchema());
    expect(out.trimEnd()).not.toContain("\n");
  });
});

describe("tamp trust", () => {
  rows([
    {
      line: "trust tamp.jsonc",
      setting: trust(TRUSTED),
      code: 0,
      sent: ["policy/trust"],
      out: [`${FILE} is trusted as it is now.`, "line 4: onThreshold execute"],
    },
    {
      line: "trust .",
      setting: trust({ ...TRUSTED, changed: false, grants: [] }),
      code: 0,
      out: ["was trusted before", "says nothing that needs trust"],
    },
    { line: "trust . --json", setting: trust(TRUSTED), code: 0, out: ['"trusted":true'] },
    {
      line: "trust . --revoke",
      setting: trust({ ...TRUSTED, trusted: false }),
      code: 0,
      out: ["is trusted no longer"],
    },
    {
      line: "trust . --revoke",
      setting: trust({ ...TRUSTED, trusted: false, changed: false }),
      code: 0,
      out: ["was not trusted"],
    },
    {
      line: "trust --list",
      setting: answering("tamp/policy/trusted", { files: LISTED }),
      code: 0,
      sent: ["policy/trusted"],
      out: ["changed: trust it again", "gone"],
    },
    {
      line: "trust --list",
      setting: answering("tamp/policy/trusted", { files: [] }),
      code: 0,
      out: ["No policy file is trusted."],
    },
    { line: "trust", code: 2, sent: [], err: ["no policy file was named"], quiet: true },
    { line: "trust --list x", code: 2, sent: [], err: ["--list shows every file"], quiet: true },
    { line: "trust --list --revoke", code: 2, sent: [], err: ["--list shows every file"], quiet: true },
    {
      line: "trust x",
      setting: trust(new TampError("Untrusted", "the workspace is not trusted", { hint: "trust it" })),
      code: 2,
      err: ["the workspace is not trusted"],
      quiet: true,
    },
  ]);

  it("sends an absolute path", async () => {
    const { calls } = await run("trust sub --revoke", trust(TRUSTED));
    expect(calls.map(({ params }) => params)).toEqual([{ path: "/data/sub", revoke: true }]);
  });
});
