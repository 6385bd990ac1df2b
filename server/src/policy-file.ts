import { type JsonPath, type PolicyDocument, type PolicyScope, readPolicyDocument } from "@tamp/core";
import {
  findNodeAtLocation,
  getNodeValue,
  type Node,
  type ParseError,
  parseTree,
  printParseErrorCode,
} from "jsonc-parser";

/** Where in a text; `line` and `column` count from 1, all others from 0 in UTF-16 units. */
export interface TextRange {
  readonly offset: number;
  readonly length: number;
  readonly line: number;
  readonly column: number;
}

/** What is wrong in a policy file, and where. */
export interface FileProblem extends TextRange {
  readonly path: JsonPath;
  readonly message: string;
  /** The one entry that it is about; null: it may be about any dataset. */
  readonly entry: number | null;
}

export interface ParsedPolicyFile {
  /** Null where the text is no JSON with comments: nothing of it can be relied upon. */
  readonly document: PolicyDocument | null;
  readonly problems: readonly FileProblem[];
  /** Where the value at a path stands, or the next thing above it that is there. */
  rangeOf(path: JsonPath): TextRange;
}

/** Reads JSON with comments and trailing commas, and tells everything that is wrong with it at its place. */
export function parsePolicyFile(given: string, scope: PolicyScope): ParsedPolicyFile {
  // The mark takes one unit: as white space the others keep their places.
  const text = given.replace(/^\uFEFF/, " ");
  const errors: ParseError[] = [];
  const tree = parseOrNull(text, errors);
  const starts = lineStarts(text);
  const range = (offset: number, length: number): TextRange => ({
    offset,
    length,
    ...placeOf(starts, offset),
  });
  const rangeOf = (path: JsonPath): TextRange => {
    const node = nearest(tree, path);
    return range(node?.offset ?? 0, node?.length ?? 0);
  };
  const first = errors.filter(
    ({ error, offset }, index) =>
      errors.findIndex((other) => other.error === error && other.offset === offset) === index,
  );
  const broken = first.map(({ error, offset, length }) => ({
    path: [],
    message: SYNTAX.get(printParseErrorCode(error)) ?? "this is no JSON with comments",
    entry: null,
    ...range(offset, length),
  }));
  if (tree === null && broken.length === 0)
    broken.push({ path: [], message: "the file is nested too deeply", entry: null, ...range(0, 0) });
  if (tree === null || broken.length > 0) return { document: null, problems: broken, rangeOf };
  const document = readPolicyDocument(getNodeValue(tree), scope);
  const twins = doubleNames(tree, []).map(({ node, ...twin }) => ({
    ...twin,
    ...range(node.offset, node.length),
  }));
  const wrong = document.problems.map(({ path, at, message, entry }) => {
    const node = at === "key" ? keyNode(tree, path) : nearest(tree, path);
    return { path, message, entry, ...range(node?.offset ?? 0, node?.length ?? 0) };
  });
  return { document, problems: [...twins, ...wrong].sort((a, b) => a.offset - b.offset), rangeOf };
}

const SYNTAX: ReadonlyMap<string, string> = new Map([
  ["InvalidSymbol", "this is no value: texts need double quotes"],
  ["InvalidNumberFormat", "this is no number"],
  ["PropertyNameExpected", "a name in double quotes is expected here"],
  ["ValueExpected", "a value is expected here"],
  ["ColonExpected", "a colon is expected here"],
  ["CommaExpected", "a comma is expected here"],
  ["CloseBraceExpected", "a } is missing"],
  ["CloseBracketExpected", "a ] is missing"],
  ["EndOfFileExpected", "nothing may stand after the end of the object"],
  ["UnexpectedEndOfComment", "this comment does not end"],
  ["UnexpectedEndOfString", "this text does not end on its line"],
]);

/** A tree so deep that it cannot be walked is null. */
function parseOrNull(text: string, errors: ParseError[]): Node | null {
  try {
    const tree = parseTree(text, errors, { allowTrailingComma: true }) ?? null;
    if (tree !== null) getNodeValue(tree);
    return tree;
  } catch (error) {
    if (error instanceof RangeError) return null;
    throw error;
  }
}

function nearest(tree: Node | null, path: JsonPath): Node | undefined {
  if (tree === null) return undefined;
  for (let length = path.length; length > 0; length -= 1) {
    const node = findNodeAtLocation(tree, path.slice(0, length));
    if (node !== undefined) return node;
  }
  return tree;
}

function keyNode(tree: Node, path: JsonPath): Node | undefined {
  return findNodeAtLocation(tree, [...path])?.parent?.children?.[0];
}

/** Of two values under one name the first would be lost without a word. */
function doubleNames(
  node: Node,
  path: JsonPath,
): readonly {
  readonly node: Node;
  readonly path: JsonPath;
  readonly message: string;
  readonly entry: number | null;
}[] {
  const children = node.children ?? [];
  if (node.type === "array") return children.flatMap((child, index) => doubleNames(child, [...path, index]));
  if (node.type !== "object") return [];
  const seen = new Set<string>();
  const entry = path[0] === "datasets" && typeof path[1] === "number" ? path[1] : null;
  return children.flatMap((property) => {
    const [key, value] = property.children ?? [];
    if (key === undefined) return [];
    const name = String(key.value);
    const at = [...path, name];
    const twin = seen.has(name)
      ? [{ node: key, path: at, message: `${name} is given twice in one object`, entry }]
      : [];
    seen.add(name);
    return value === undefined ? twin : [...twin, ...doubleNames(value, at)];
  });
}

function lineStarts(text: string): readonly number[] {
  return [0, ...[...text.matchAll(/\r\n|\r|\n/g)].map(({ 0: end, index }) => index + end.length)];
}

function placeOf(starts: readonly number[], offset: number): Pick<TextRange, "line" | "column"> {
  const line = Math.max(1, starts.filter((start) => start <= offset).length);
  return { line, column: offset - (starts[line - 1] ?? 0) + 1 };
}
