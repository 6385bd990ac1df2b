import { isAbsolute, resolve } from "node:path";
import { optionNamed, type PolicyInput, resolvePolicy } from "@tamp/core";
import { invalid } from "../check.ts";
import { loadDatasetPolicy, type PolicyValue } from "../dataset-policy.ts";
import { TampError } from "../errors.ts";
import { findTrustable, grantsOf, listTrusted, setTrust } from "../policy-trust.ts";
import type { TrustResult, WireDatasetPolicy, WirePolicyValue, WireTrustedFile } from "../protocol.ts";
import { type HandlerContext, requireTrust } from "./context.ts";
import { policyParam, rootOf } from "./datasets.ts";

export async function datasetPolicy({ daemon, params }: HandlerContext): Promise<WireDatasetPolicy> {
  const { fs, user } = daemon.deps.ports;
  const dataset = rootOf(params);
  // An open dataset knows what held before its file was damaged.
  const open = daemon.list().find(({ root }) => root === resolve(dataset));
  const client = { ...open?.clientPolicy, ...policyParam(params) };
  const previous = open?.datasetPolicy ?? null;
  const found = await loadDatasetPolicy({ fs, user, root: dataset, client, previous });
  refuseInvalid(found.input);
  return {
    dataset,
    file: found.source,
    userFile: found.userSource,
    trusted: found.trusted,
    valid: found.valid,
    onThreshold: found.onThreshold,
    values: found.values.map(presentValue),
    problems: found.problems,
  };
}

export async function trustPolicy(context: HandlerContext): Promise<TrustResult> {
  requireTrust(context, "what is trusted was not changed");
  const { daemon, params } = context;
  const { fs, user, now, randomHex } = daemon.deps.ports;
  const revoke = params.optionalBoolean("revoke") ?? false;
  const path = params.string("path");
  if (!isAbsolute(path) || path.includes("\0")) throw invalid("path must be an absolute path");
  const found = await findTrustable(fs, path, revoke);
  const trustedAt = revoke ? null : new Date(now()).toISOString();
  const changed = await setTrust({ fs, user, found, trustedAt, id: randomHex(6) });
  return {
    file: found.place,
    trusted: !revoke,
    changed,
    sha256: found.sha256,
    grants: grantsOf(found),
  };
}

export async function trustedPolicies({
  daemon,
}: HandlerContext): Promise<{ readonly files: readonly WireTrustedFile[] }> {
  const { fs, user } = daemon.deps.ports;
  return { files: await listTrusted(fs, user) };
}

/** Without what the client sent the input is sound. */
function refuseInvalid(input: PolicyInput): void {
  const result = resolvePolicy(input);
  if (result.kind === "ok") return;
  throw new TampError("InvalidPolicy", result.problems.map(({ message }) => message).join("; "), {
    hint: "correct the threshold and try again",
    notDone: "nothing was read or changed",
  });
}

function presentValue({ name, value, origin }: PolicyValue): WirePolicyValue {
  const option = optionNamed(name);
  const unit = option?.kind === "size" ? "bytes" : option?.kind === "duration" ? "ms" : "none";
  return { name, value, unit, meaning: option?.meaning ?? "", origin };
}
