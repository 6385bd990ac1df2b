import { assertNever } from "@tamp/core";
import type { TrustResult, WireTrustedFile } from "../../protocol.ts";
import { type CommandCall, printJson, viewOf } from "../call.ts";
import { EXIT_FINE } from "../problem.ts";
import { renderTable, toText, type View } from "../render.ts";
import { formatMoment, printable } from "../text.ts";
import { UsageError } from "../usage-error.ts";

export async function trust(call: CommandCall): Promise<number> {
  const { io, flags, args } = call;
  const [path] = args;
  const list = flags.list === true;
  if (list && (path !== undefined || flags.revoke === true))
    throw new UsageError("--list shows every file and takes nothing beside it", "leave the rest out");
  if (!list && path === undefined)
    throw new UsageError(
      "no policy file was named",
      "give a tamp.jsonc, or its folder; --list shows those trusted",
    );
  const client = await call.connect();
  try {
    const options = { signal: io.signal };
    if (path === undefined) {
      const found = await client.request("tamp/policy/trusted", null, options);
      if (flags.json === true) printJson(io, found);
      else io.out(renderList(found.files, viewOf(call)));
      return EXIT_FINE;
    }
    const params = { path: io.resolvePath(path), revoke: flags.revoke === true };
    const result = await client.request("tamp/policy/trust", params, options);
    if (flags.json === true) printJson(io, result);
    else io.out(renderTrust(result));
    return EXIT_FINE;
  } finally {
    await client.close().catch(() => {});
  }
}

function renderList(files: readonly WireTrustedFile[], view: View): string {
  if (files.length === 0) return "No policy file is trusted.\n";
  const rows = files.map((found) => [printable(found.file), formatMoment(found.trustedAt), stateOf(found)]);
  return toText(renderTable({ head: ["file", "trusted (UTC)", "now"], rows }, view));
}

function stateOf({ state }: WireTrustedFile): string {
  switch (state) {
    case "trusted":
      return "as it was";
    case "changed":
      return "changed: trust it again";
    case "missing":
      return "gone";
    default:
      return assertNever(state);
  }
}

function renderTrust({ file, trusted, changed, grants }: TrustResult): string {
  const name = printable(file);
  if (!trusted) return changed ? `${name} is trusted no longer.\n` : `${name} was not trusted.\n`;
  const lines = grants.map(({ name: option, value, line }) =>
    printable(`  line ${line}: ${option} ${value}`),
  );
  const effect = lines.length === 0 ? ["It says nothing that needs trust."] : ["It may now say:", ...lines];
  return toText([changed ? `${name} is trusted as it is now.` : `${name} was trusted before.`, ...effect]);
}
