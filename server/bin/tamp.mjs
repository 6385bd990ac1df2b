#!/usr/bin/env node
// Checked in, because npm links bins before the build runs and silently skips files that do not exist yet.
import { existsSync } from "node:fs";

const [major, minor] = process.versions.node.split(".").map(Number);
const entry = new URL("../dist/main.mjs", import.meta.url);
if (major < 20 || (major === 20 && minor < 19)) {
  process.stderr.write(`tamp needs Node 20.19 or newer; this is Node ${process.versions.node}\n`);
  process.exitCode = 2;
} else if (!existsSync(entry)) {
  process.stderr.write("tamp is not built yet: run `npm run build` in its repository\n");
  process.exitCode = 2;
} else {
  await import(entry.href);
}
