import { readdirSync, readFileSync } from "node:fs";
import { planContent } from "@tamp/core";
import { describe, expect, it } from "vitest";
import { HANDLERS } from "../server/src/connection.ts";
import { readPlanDocument } from "../server/src/plan-document.ts";
import {
  CLIENT_NOTIFICATIONS,
  ERROR_CODES,
  PROTOCOL_VERSION,
  REQUEST_METHODS,
  SERVER_NOTIFICATIONS,
} from "../server/src/protocol.ts";
import { FrameGuard } from "../server/src/wire.ts";

const read = (path: string): string => readFileSync(new URL(`../${path}`, import.meta.url), "utf8");
const DOCUMENT = read("protocol.md");
const PARTS = readdirSync(new URL("../server/src/protocol", import.meta.url)).sort();
const SOURCE = ["protocol.ts", ...PARTS.map((name) => `protocol/${name}`)]
  .map((name) => read(`server/src/${name}`))
  .join("\n");

/** Fenced blocks of one language, without their fences. */
function blocks(language: string, text = DOCUMENT): readonly string[] {
  return [...text.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\`$`, "gms"))].map(
    (match) => match[1] ?? "",
  );
}

/** The text of each section whose heading has three marks, by heading. */
function sections(): ReadonlyMap<string, string> {
  const parts = DOCUMENT.split(/^(?=#{1,3} )/m).filter((part) => part.startsWith("### "));
  return new Map(parts.map((part) => [part.slice(4, part.indexOf("\n")), part]));
}

const sorted = (names: Iterable<string>): readonly string[] => [...names].sort();

describe("the messages", () => {
  const messages = [...REQUEST_METHODS, ...SERVER_NOTIFICATIONS, ...CLIENT_NOTIFICATIONS];

  it("are the headings of the document, each once", () => {
    const headings = [...DOCUMENT.matchAll(/^### (.*)$/gm)].map((match) => match[1] ?? "");
    expect(sorted(headings)).toEqual(sorted(messages));
  });

  it("have a handler each where they are requests", () => {
    const handled = REQUEST_METHODS.filter((method) => method !== "initialize" && method !== "shutdown");
    expect(sorted(Object.keys(HANDLERS))).toEqual(sorted(handled));
  });

  it("of our own are under tamp/, all others are those of LSP", () => {
    const foreign = messages.filter((name) => !name.startsWith("tamp/"));
    const lsp = ["initialize", "initialized", "shutdown", "exit"];
    expect(sorted(foreign)).toEqual(sorted([...lsp, "$/cancelRequest", "$/progress", "$/setTrace"]));
  });

  it.each(REQUEST_METHODS)("%s has an example, and tells since when it exists and its errors", (method) => {
    const text = sections().get(method) ?? "";
    const examples = blocks("json", text).map((block) => JSON.parse(block));
    expect(examples[0]).toMatchObject({ jsonrpc: "2.0", method });
    for (const answer of examples.slice(1)) expect(answer.id).toBe(examples[0].id);
    expect(text).toContain("Client → server. Since 1.");
    expect(text).toMatch(/^Errors: /m);
  });

  it("name no error that does not exist", () => {
    const names = [...DOCUMENT.matchAll(/^Errors: (.*)$/gm)].flatMap((match) => [
      ...(match[1] ?? "").matchAll(/`([A-Z]\w+)`/g),
    ]);
    expect(names.length).toBeGreaterThan(20);
    for (const [, name] of names) expect(Object.keys(ERROR_CODES)).toContain(name);
  });
});

/** Exported interfaces and types by name, from `export` to the end of the declaration. */
function declarations(text: string): ReadonlyMap<string, string> {
  const heads = [...text.matchAll(/^export (interface|type) (\w+)/gm)];
  return new Map(
    heads.map(({ 1: kind, 2: name, index }) => {
      const rest = text.slice(index);
      return [name ?? "", normal(rest.slice(0, endOf(rest, kind === "type" ? ";" : "}")))];
    }),
  );
}

/** Where `last` first stands outside of all braces, its own included. */
function endOf(text: string, last: string): number {
  let depth = 0;
  for (let index = 0; index < text.length; index += 1) {
    if (text[index] === "{") depth += 1;
    if (text[index] === "}") depth -= 1;
    if (text[index] === last && depth === 0) return index + 1;
  }
  throw new Error("a declaration has no end");
}

const normal = (text: string): string => text.replace(/\s+/g, " ").trim();

describe("the types", () => {
  const declared = declarations(SOURCE);
  const documented = blocks("ts").map((block) => normal(block));

  it("are found", () => {
    expect(declared.size).toBeGreaterThan(40);
    expect(declared.get("WireErrorData")).toMatch(/^export interface WireErrorData \{ .* \}$/);
  });

  it("in the document are those of the source, word for word", () => {
    const known = new Set(declared.values());
    expect(documented.filter((block) => !known.has(block))).toEqual([]);
  });

  it("are all in the document, each once", () => {
    expect(sorted(documented)).toEqual(sorted(declared.values()));
  });

  it("have no field that JSON cannot carry", () => {
    const code = SOURCE.replace(/\/\*\*.*?\*\//gs, "");
    expect(code).not.toMatch(/\b(bigint|Date|Map|Set|Uint8Array|Buffer|undefined|symbol)\b/);
  });

  it("stand alone: the source imports types of its own parts and nothing else", () => {
    const lines = [...SOURCE.matchAll(/^(?:import|export) [^;]*? from "(.+)";$/gm)];
    expect(lines.length).toBeGreaterThan(PARTS.length);
    for (const [line, from = ""] of lines) {
      expect(line).toMatch(/^(import|export) type /);
      expect(PARTS).toContain(from.replace(/^\.\/(protocol\/)?/, ""));
    }
    expect(SOURCE).not.toMatch(/^import "|\bimport\(/m);
  });
});

describe("the errors", () => {
  const rows = [...DOCUMENT.matchAll(/^\| (-?\d+) \| (\w+) \|(.*)\|$/gm)];

  it("of the table are those of the source, with their numbers", () => {
    expect(rows.map(([, number, name]) => [name, Number(number)])).toEqual(Object.entries(ERROR_CODES));
  });

  it("each tell cause, retry and remedy", () => {
    for (const [, , name, rest] of rows) {
      const cells = (rest ?? "").split(" | ").map((cell) => cell.trim());
      expect(cells, name).toHaveLength(3);
      expect(["yes", "no"], name).toContain(cells[1]);
    }
  });

  it("have numbers of their own, outside the ranges of others", () => {
    const numbers = Object.values(ERROR_CODES);
    expect(new Set(numbers).size).toBe(numbers.length);
    const standard = new Set<string>(["InvalidParams", "InternalError"]);
    for (const [name, number] of Object.entries(ERROR_CODES)) {
      const lsp = number >= -32_899 && number <= -32_800;
      const jsonRpc = number >= -32_768 && number <= -32_000;
      expect(lsp || (jsonRpc && !standard.has(name)), name).toBe(false);
    }
    expect(ERROR_CODES).toMatchObject({ InvalidParams: -32_602, InternalError: -32_603 });
  });
});

describe("the examples", () => {
  it("are JSON", () => {
    const examples = blocks("json");
    expect(examples.length).toBeGreaterThan(REQUEST_METHODS.length);
    for (const example of examples) expect(() => JSON.parse(example), example).not.toThrow();
  });

  it("name no method that does not exist", () => {
    const known: readonly string[] = [...REQUEST_METHODS, ...SERVER_NOTIFICATIONS, ...CLIENT_NOTIFICATIONS];
    for (const example of blocks("json")) {
      const { method } = JSON.parse(example);
      if (method !== undefined) expect(known).toContain(method);
    }
  });

  it("of the framing is exact to the byte", () => {
    const text = blocks("text").find((block) => block.startsWith("Content-Length")) ?? "";
    const frame = Buffer.from(text.replace(/\n$/, "").replaceAll("\\r\\n\n", "\r\n"));
    const problems: unknown[] = [];
    const guard = new FrameGuard((problem) => problems.push(problem));
    guard.write(frame);
    expect(problems).toEqual([]);
    expect(guard.read()?.equals(frame)).toBe(true);
  });

  it("of a plan document has the id that its bytes hash to, and can be executed", () => {
    const example = blocks("json").find((block) => block.includes('"tampPlan"')) ?? "{}";
    const document = JSON.parse(example);
    const { plan, planId } = readPlanDocument(document);
    expect(planId).toBe(document.planId);
    expect(blocks("text")).toContain([...planContent(plan)].join(""));
    expect(plan.kind).toBe("planned");
  });
});

const PROMISE =
  "every row is in at least one listed file at every moment, including after a crash or a power cut at any point; " +
  "every run can be undone, latest first, until it is purged; purge is the only step that deletes files Tamp did not " +
  "write, and only originals whose replacement was published and validated.";

it.each(["protocol.md", "README.md"])("%s has the promise word for word", (path) => {
  expect(read(path).replace(/\n> /g, " ")).toContain(` ${PROMISE}\n`);
});

it("the document is of this version", () => {
  expect(DOCUMENT).toContain(`This is protocol version ${PROTOCOL_VERSION}.`);
  expect(DOCUMENT).toMatch(new RegExp(`^- \\*\\*${PROTOCOL_VERSION}\\*\\*: `, "m"));
});
