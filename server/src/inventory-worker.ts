import { createHash } from "node:crypto";
import { parentPort, workerData } from "node:worker_threads";
import { comparableKeyValues, keptKeyValues, schemaText } from "@tamp/core";
import { type FooterFacts, inspectFile } from "./footer.ts";
import {
  type FooterReply,
  type Footers,
  joinClasses,
  type SchemaClass,
  type WorkerMessage,
  type WorkerRequest,
} from "./inventory-messages.ts";
import { foreignAncestors, type ScanRequest, scan } from "./scan.ts";

/**
 * Lists directories and reads footers with blocking calls, which take a fraction of what the asynchronous ones
 * do and block nobody here. `pulse[0]` moves while work goes on, `pulse[1]` says which file of a batch is being
 * read, `pulse[2]` for which request: the parent knows which file it was if a crafted footer hangs or kills this
 * thread.
 */
const pulse = new Int32Array((workerData as { readonly pulse: SharedArrayBuffer }).pulse);

function answer({ id, request }: { readonly id: number; readonly request: WorkerRequest }): void {
  Atomics.store(pulse, 2, id);
  switch (request.kind) {
    case "scan":
      answerScan(id, request.scan);
      break;
    case "read":
      post({ id, kind: "footers", ...readFooters(request.paths) });
      break;
  }
}

function answerScan(id: number, request: ScanRequest): void {
  const whole = request.recursive && request.directories.includes("");
  const ancestors = whole ? foreignAncestors(request.root) : [];
  for (const part of scan(request, () => beat(0))) {
    const buffers = part.map(({ listing }) => listing.buffer);
    parentPort?.postMessage({ id, kind: "part", part } satisfies WorkerMessage, buffers);
  }
  post({ id, kind: "scanned", ancestors });
}

/** Each class of a batch travels once, whatever number of files has it. */
function readFooters(paths: readonly string[]): Footers {
  const classes = new Map<string, SchemaClass>();
  const replies = paths.map((path, index): FooterReply => {
    beat(index);
    const inspection = inspectFile(path);
    if (inspection.kind !== "read") return inspection;
    const { stamp, result } = inspection;
    if (result.kind !== "footer") return { kind: result.kind, stamp, detail: result.detail };
    const { columns, keyValues, ...facts } = result.facts;
    return { kind: "footer", stamp, facts: { ...facts, schemaClass: intern(classes, result.facts) } };
  });
  return { replies, classes: [...classes.values()] };
}

function intern(classes: Map<string, SchemaClass>, facts: FooterFacts): string {
  const { columns, aids } = facts;
  const keyValues = keptKeyValues(facts.keyValues, []);
  const text = `${textOf(columns)}\n${comparableText(facts.keyValues)}`;
  const known = classes.get(text);
  const id = known?.id ?? createHash("sha256").update(text).digest("hex").slice(0, 16);
  classes.set(text, joinClasses(known, { id, columns, keyValues, aids }));
  return id;
}

/** Loaders write the same metadata again and again: it is parsed once. */
const comparable = new Map<string, string>();
const MOST_COMPARABLE = 1_000;

function comparableText(keyValues: FooterFacts["keyValues"]): string {
  const raw = JSON.stringify(keyValues);
  const known = comparable.get(raw);
  if (known !== undefined) return known;
  const text = JSON.stringify(comparableKeyValues(keyValues, []));
  if (comparable.size >= MOST_COMPARABLE) comparable.clear();
  comparable.set(raw, text);
  return text;
}

/** Files of one schema mostly share the very array of columns. */
const texts = new WeakMap<FooterFacts["columns"], string>();

function textOf(columns: FooterFacts["columns"]): string {
  const text = texts.get(columns) ?? schemaText(columns);
  texts.set(columns, text);
  return text;
}

function beat(index: number): void {
  Atomics.store(pulse, 1, index);
  Atomics.add(pulse, 0, 1);
}

function post(message: WorkerMessage): void {
  parentPort?.postMessage(message);
}

parentPort?.on("message", answer);
beat(0);
