import { decodeBase64, encodeBase64 } from "./base64.ts";
import { type FlatTable, rootTable } from "./flat-table.ts";

/**
 * What Arrow writers leave in the key-value metadata `ARROW:schema`: base64 of an encapsulated IPC message that
 * holds a Schema flatbuffer (Arrow columnar format, "Encapsulated message format"; `format/Schema.fbs`). pandas
 * repeats its own metadata in it, with each file's row count.
 */
export interface ArrowSchemaText {
  /** Everything but the pandas metadata, the same text for the same meaning however the bytes are laid out. */
  readonly meaning: string;
  /** The pandas metadata, null where there is none. */
  readonly pandas: string | null;
}

interface Message {
  readonly bytes: Uint8Array;
  /** Bytes in front of the flatbuffer: the length, and from format 0.15 on the continuation marker before it. */
  readonly prefix: 4 | 8;
  readonly schema: FlatTable;
}

/** Reads `ARROW:schema`; null where it is not understood, so that it is compared as it stands. */
export function readArrowSchema(value: string): ArrowSchemaText | null {
  try {
    const message = readMessage(value);
    if (message === null) return null;
    const entries = keyValues(message.schema, 2);
    const others = entries.filter(([key]) => key !== PANDAS);
    const pandas = entries.find(([key]) => key === PANDAS)?.[1] ?? null;
    const fields = message.schema.tables(1).map(describeField);
    return { meaning: JSON.stringify([message.schema.int(0, 2), fields, others]), pandas };
  } catch {
    return null;
  }
}

const PANDAS = "pandas";

/**
 * The same schema with other pandas metadata. The new text is put behind the flatbuffer and its reference turned
 * to it: all else keeps its bytes. Unchanged where there is no pandas metadata or the text is not understood.
 */
export function withArrowPandas(value: string, pandas: string): string {
  const message = readMessage(value);
  const entry = message?.schema.tables(2).find((item) => item.string(0) === PANDAS);
  const slot = entry?.slotPosition(1) ?? null;
  if (message === null || slot === null) return value;
  const text = utf8(pandas);
  const start = alignUp(message.bytes.length, 8);
  const end = alignUp(start + 4 + text.length + 1, 8);
  const bytes = new Uint8Array(end);
  bytes.set(message.bytes);
  bytes.set(text, start + 4);
  const view = new DataView(bytes.buffer);
  view.setUint32(start, text.length, true);
  view.setUint32(message.prefix + slot, start - message.prefix - slot, true);
  view.setInt32(message.prefix - 4, end - message.prefix, true);
  return encodeBase64(bytes);
}

function readMessage(value: string): Message | null {
  const bytes = decodeBase64(value);
  if (bytes === null || bytes.length < 16) return null;
  const view = new DataView(bytes.buffer);
  const prefix = view.getUint32(0, true) === 0xffffffff ? 8 : 4;
  const size = view.getInt32(prefix - 4, true);
  if (size <= 0 || prefix + size > bytes.length) return null;
  const whole = bytes.slice(0, prefix + size);
  const root = rootTable(whole.subarray(prefix));
  const schema = root.int(1, 1) === SCHEMA_HEADER ? root.table(2) : null;
  return schema === null ? null : { bytes: whole, prefix, schema };
}

const SCHEMA_HEADER = 1;

/** Fields of the type tables of `Schema.fbs` by union number: sizes of scalars, `s` for text, `v` for int32 lists. */
const TYPE_FIELDS: readonly (readonly (1 | 2 | 4 | "s" | "v")[])[] = [
  [], // NONE
  [], // Null
  [4, 1], // Int: bitWidth, is_signed
  [2], // FloatingPoint: precision
  [], // Binary
  [], // Utf8
  [], // Bool
  [4, 4, 4], // Decimal: precision, scale, bitWidth
  [2], // Date: unit
  [2, 4], // Time: unit, bitWidth
  [2, "s"], // Timestamp: unit, timezone
  [2], // Interval: unit
  [], // List
  [], // Struct_
  [2, "v"], // Union: mode, typeIds
  [4], // FixedSizeBinary: byteWidth
  [4], // FixedSizeList: listSize
  [1], // Map: keysSorted
  [2], // Duration: unit
  [], // LargeBinary
  [], // LargeUtf8
  [], // LargeList
  [], // RunEndEncoded
  [], // BinaryView
  [], // Utf8View
  [], // ListView
  [], // LargeListView
];

/** Field: name, nullable, type, dictionary, children, metadata. */
function describeField(field: FlatTable): unknown {
  const number = field.int(2, 1);
  const fields = TYPE_FIELDS[number];
  if (fields === undefined) throw new Error(`unknown Arrow type ${number}`);
  const dictionary = field.table(4);
  return [
    field.string(0),
    field.int(1, 1),
    number,
    describeType(field.table(3), fields),
    dictionary === null ? null : describeDictionary(dictionary),
    field.tables(5).map(describeField),
    keyValues(field, 6),
  ];
}

function describeType(type: FlatTable | null, fields: readonly (1 | 2 | 4 | "s" | "v")[]): unknown {
  return fields.map((kind, slot) => {
    if (kind === "s") return type?.string(slot) ?? null;
    if (kind === "v") return type?.ints(slot) ?? [];
    return type?.int(slot, kind) ?? 0;
  });
}

/** DictionaryEncoding: the id only numbers it; index type, order and kind are its meaning. */
function describeDictionary(dictionary: FlatTable): unknown {
  return [describeType(dictionary.table(1), [4, 1]), dictionary.int(2, 1), dictionary.int(3, 2)];
}

function keyValues(table: FlatTable, slot: number): readonly (readonly [string, string])[] {
  return table.tables(slot).map((entry) => [entry.string(0) ?? "", entry.string(1) ?? ""] as const);
}

function alignUp(value: number, to: number): number {
  return Math.ceil(value / to) * to;
}

/** UTF-8 without a text encoder: the core knows no platform. */
function utf8(text: string): Uint8Array {
  const letters = encodeURIComponent(text).match(/%..|./g) ?? [];
  return Uint8Array.from(letters, (letter) =>
    letter.length === 3 ? Number.parseInt(letter.slice(1), 16) : letter.charCodeAt(0),
  );
}
