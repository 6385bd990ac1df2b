/**
 * A read-only view of one flatbuffer table without its schema: the caller knows what each slot holds (FlatBuffers
 * internals, "Tables"). Reading beyond the bytes throws `RangeError`.
 */
export class FlatTable {
  private readonly view: DataView;
  private readonly position: number;

  constructor(view: DataView, position: number) {
    this.view = view;
    this.position = position;
  }

  /** Where the slot's value lies in the buffer; null where the table leaves it out. */
  slotPosition(slot: number): number | null {
    const vtable = this.position - this.view.getInt32(this.position, true);
    const size = this.view.getUint16(vtable, true);
    const offset = 4 + 2 * slot < size ? this.view.getUint16(vtable + 4 + 2 * slot, true) : 0;
    return offset === 0 ? null : this.position + offset;
  }

  /** A scalar of 1, 2 or 4 bytes; 0 where it is left out. */
  int(slot: number, bytes: 1 | 2 | 4): number {
    const at = this.slotPosition(slot);
    if (at === null) return 0;
    if (bytes === 1) return this.view.getUint8(at);
    return bytes === 2 ? this.view.getInt16(at, true) : this.view.getInt32(at, true);
  }

  string(slot: number): string | null {
    const at = this.slotPosition(slot);
    if (at === null) return null;
    const start = at + this.view.getUint32(at, true);
    const length = this.view.getUint32(start, true);
    let text = "";
    for (let index = 0; index < length; index += 1) {
      const byte = this.view.getUint8(start + 4 + index);
      text += `%${byte.toString(16).padStart(2, "0")}`;
    }
    return decodeURIComponent(text);
  }

  table(slot: number): FlatTable | null {
    const at = this.slotPosition(slot);
    return at === null ? null : new FlatTable(this.view, at + this.view.getUint32(at, true));
  }

  tables(slot: number): readonly FlatTable[] {
    return this.elements(slot).map((at) => new FlatTable(this.view, at + this.view.getUint32(at, true)));
  }

  /** A list of 32-bit integers. */
  ints(slot: number): readonly number[] {
    return this.elements(slot).map((at) => this.view.getInt32(at, true));
  }

  /** Positions of the four-byte elements of a vector. */
  private elements(slot: number): readonly number[] {
    const at = this.slotPosition(slot);
    if (at === null) return [];
    const start = at + this.view.getUint32(at, true);
    const length = this.view.getUint32(start, true);
    if (length > this.view.byteLength / 4) throw new RangeError("a vector is longer than its buffer");
    return Array.from({ length }, (_, index) => start + 4 + 4 * index);
  }
}

/** The root table of a flatbuffer. */
export function rootTable(bytes: Uint8Array): FlatTable {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return new FlatTable(view, view.getUint32(0, true));
}
