import { expect, test } from "vitest";
import {
  type DatasetSetting,
  explicitValue,
  isFromUser,
  policyOf,
  resolvePaths,
  type SettingOrigins,
  settingEntry,
} from "../../extension/src/settings-values.ts";

const origins: readonly (readonly [SettingOrigins | undefined, unknown, boolean])[] = [
  [undefined, undefined, true],
  [{ globalValue: 1 }, 1, true],
  [{ globalValue: 1, workspaceValue: 2 }, 2, false],
  [{ globalValue: 1, workspaceValue: 2, workspaceFolderValue: 3 }, 3, false],
];

test.each(origins)("of %o the nearest holds", (given, value, fromUser) => {
  expect(explicitValue(given)).toBe(value);
  expect(isFromUser(given)).toBe(fromUser);
});

const UNSET = {
  targetSize: undefined,
  minFiles: undefined,
  allow: undefined,
  retentionDays: undefined,
  maxRetained: undefined,
};

test.each([
  [{}, {}],
  [{ targetSize: " ", minFiles: "12", allow: "int96", retentionDays: "7", maxRetained: "" }, {}],
  [
    { targetSize: "64MiB", minFiles: 4, allow: ["int96"], retentionDays: 0.5, maxRetained: "5GB" },
    { targetSize: "64MiB", minFiles: 4, allow: ["int96"], retentionMs: 43_200_000, maxRetained: "5GB" },
  ],
  [{ retentionDays: 0 }, { retentionMs: 0 }],
  [{ retentionDays: -1 }, { retentionMs: -86_400_000 }],
])("policy of %o names only what someone set", (values, expected) => {
  expect(policyOf({ ...UNSET, ...values })).toEqual(expected);
});

const FOLDER = "/work space";
const paths: readonly (readonly [
  string,
  Partial<DatasetSetting>,
  boolean,
  readonly string[],
  readonly string[],
])[] = [
  [
    "relative to the folder",
    { value: ["data/events", "./b/"] },
    true,
    ["/work space/data/events", "/work space/b"],
    [],
  ],
  ["absolute", { value: ["/lake"] }, true, ["/lake"], []],
  ["the same twice", { value: ["a", "./a"] }, true, ["/work space/a"], []],
  ["the folder itself", { value: ["."] }, false, ["/work space"], []],
  ["no list", { value: "a" }, true, [], []],
  ["no path", { value: [1, " "] }, true, [], ["1", '" "']],
  ["relative without a folder", { value: ["a", "/b"], folder: null }, true, ["/b"], ["a"]],
  ["outside, untrusted", { value: ["../x", "/lake", "in"] }, false, ["/work space/in"], ["../x", "/lake"]],
  [
    "a sibling with the same beginning, untrusted",
    { value: ["../work space 2"] },
    false,
    [],
    ["../work space 2"],
  ],
  ["outside, untrusted, by the user", { value: ["/lake"], isFromUser: true }, false, ["/lake"], []],
];

test.each(paths)("%s", (_, changes, isTrusted, expected, rejected) => {
  const setting: DatasetSetting = { folder: FOLDER, value: [], isFromUser: false, ...changes };
  const resolved = resolvePaths(setting, isTrusted);
  expect(resolved.paths).toEqual(expected);
  expect(resolved.rejected.map((one) => one.entry)).toEqual(rejected);
});

test.each([
  ["/work space/data/events", "data/events"],
  ["/work space", "."],
  ["/lake", "/lake"],
])("%s is written as %s", (path, entry) => {
  expect(settingEntry(path, FOLDER)).toBe(entry);
  expect(settingEntry(path, null)).toBe(path);
});
