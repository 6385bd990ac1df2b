import type { DatasetParams, WirePolicy } from "./datasets.ts";

export interface PolicyParams extends DatasetParams {
  /** Thresholds that go before everything else. */
  readonly policy?: WirePolicy;
}

/** What holds for a dataset, whoever said it. */
export interface WireDatasetPolicy {
  readonly dataset: string;
  /** The nearest policy file, the file of the user; null where there is none. */
  readonly file: string | null;
  readonly userFile: string | null;
  /** Whether `file` is trusted; true where there is none. */
  readonly trusted: boolean;
  /** False: something is wrong, the last good policy holds, and nothing is executed by itself. */
  readonly valid: boolean;
  /** What happens when a threshold is crossed, all things considered. */
  readonly onThreshold: "off" | "notify" | "execute";
  readonly values: readonly WirePolicyValue[];
  readonly problems: readonly WirePolicyProblem[];
}

export interface WirePolicyValue {
  /** As a policy file writes it. */
  readonly name: string;
  /** Bytes and milliseconds as numbers; null: not set. */
  readonly value: string | number | readonly string[] | null;
  readonly unit: "bytes" | "ms" | "none";
  readonly meaning: string;
  readonly origin: WirePolicyOrigin;
}

export interface WirePolicyOrigin {
  readonly kind: "default" | "user" | "file" | "environment" | "client";
  readonly file?: string;
  /** From 1. */
  readonly line?: number;
  readonly column?: number;
  /** Of the environment. */
  readonly variable?: string;
}

export interface WirePolicyProblem {
  /** `held`: has no effect until the file is trusted. */
  readonly severity: "error" | "held";
  /** False: it is about another dataset of the same file. */
  readonly concerns: boolean;
  readonly message: string;
  /** Null where it is about no file. */
  readonly file: string | null;
  /** Where in the file's JSON. */
  readonly path: readonly (string | number)[];
  /** In UTF-16 units from the start of the text. */
  readonly offset: number;
  readonly length: number;
  /** From 1. */
  readonly line: number;
  readonly column: number;
}

export interface TrustParams {
  /** A policy file, or a folder: the nearest policy file at or above it. */
  readonly path: string;
  /** Trust it no longer; default false. */
  readonly revoke?: boolean;
}

export interface TrustResult {
  readonly file: string;
  readonly trusted: boolean;
  /** False: it was so before. */
  readonly changed: boolean;
  readonly sha256: string | null;
  /** What the file says that only a trusted one may. */
  readonly grants: readonly { readonly name: string; readonly value: string; readonly line: number }[];
}

export interface WireTrustedFile {
  readonly file: string;
  readonly sha256: string;
  readonly trustedAt: string;
  /** `changed`: not trusted until that is said of its new content. */
  readonly state: "trusted" | "changed" | "missing";
}
