import { describe, expect, it } from "vitest";
import { classifyWatchError, remoteFileSystem } from "../../server/src/watchers/trouble.ts";

describe("classifyWatchError", () => {
  const withCode = (code: string, path?: string): Error =>
    Object.assign(new Error(`${code}: watch '/data'`), { code }, path === undefined ? {} : { path });
  const rows: readonly (readonly [unknown, string, string])[] = [
    [withCode("ENOSPC"), "limit", "fs.inotify.max_user_watches"],
    [withCode("EMFILE"), "limit", "fs.inotify.max_user_instances"],
    [withCode("ENFILE"), "limit", "ulimit -n"],
    [withCode("EACCES"), "lost", "EACCES: watch '/data'"],
    [withCode("EACCES", "/data"), "denied", "/data"],
    [withCode("EPERM", "/data"), "denied", "/data"],
    [withCode("EIO", "/data"), "lost", "EIO: watch '/data'"],
    [new Error("no code"), "lost", "no code"],
    ["text", "lost", "text"],
    [null, "lost", "null"],
  ];

  it.each(rows)("%s is %s", (error, kind, words) => {
    const trouble = classifyWatchError(error);
    expect(trouble.kind).toBe(kind);
    expect(Object.values(trouble).join(" ")).toContain(words);
  });
});

describe("remoteFileSystem", () => {
  const rows: readonly (readonly [string, number, string | null])[] = [
    ["ext4", 0xef53, null],
    ["overlay", 0x794c7630, null],
    ["tmpfs", 0x01021994, null],
    ["not known", 0, null],
    ["nfs", 0x6969, "NFS"],
    ["smb", 0x517b, "SMB"],
    ["smb2", 0xfe534d42, "SMB2"],
    ["cifs", 0xff534d42, "SMB (CIFS)"],
    ["cifs, signed", 0xff534d42 | 0, "SMB (CIFS)"],
    ["fuse", 0x65735546, "FUSE"],
    ["9p", 0x01021997, "9p"],
    ["lustre", 0x0bd00bd0, "Lustre"],
    ["vmware, signed", 0xbacbacbc | 0, "VMware"],
  ];

  it.each(rows)("%s", (_name, type, expected) => expect(remoteFileSystem(type)).toBe(expected));
});
