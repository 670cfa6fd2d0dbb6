/**
 * The reader of header blocks (RFC 7541): the strings of a field list, as they were sent.
 *
 * Pure but for the dynamic table, which is the connection's. A list that is too long is read to its end without being
 * kept, because the table must follow; a block that is not one leaves the table unusable, and ends the connection.
 */
import type { HeaderField, HeaderList } from '../../core/headers.js';
import { err, ok, type Result } from '../../core/result.js';
import { STATIC_LENGTH, STATIC_TABLE } from './hpack-static.js';
import { decodeHuffman } from './huffman.js';

export interface ListLimits {
  /** As RFC 7541 §4.1 counts: names, values and 32 for each field. */
  readonly bytes: number;
  readonly fields: number;
}

export interface DecodedList {
  /** Latin-1 text; empty where `tooLong`. */
  readonly fields: HeaderList;
  readonly tooLong: boolean;
}

/** What we let a client keep with us: the default of SETTINGS_HEADER_TABLE_SIZE, which we do not change. */
export const TABLE_BYTES = 4096;

const FIELD_OVERHEAD = 32;
/** A block up to this size is kept until the next one comes. */
const KEPT_BYTES = 1_024;
/** Integers in a block are indexes, lengths and table sizes: none needs more than four more bytes. */
const MAX_SHIFT = 21;

export class HpackDecoder {
  readonly #limits: ListLimits;
  readonly #table = new DynamicTable();
  #block: Buffer = NOTHING;
  #at = 0;
  /** The last block, if it left the table as it was: the same bytes are the same list. */
  #kept: Buffer = NOTHING;
  #keptBytes = 0;
  #list: Result<DecodedList, 'bad-block'> | null = null;

  constructor(limits: ListLimits) {
    this.#limits = limits;
  }

  /** Reads one whole block. After a fault the decoder must not be used again. */
  decode(block: Buffer): Result<DecodedList, 'bad-block'> {
    if (this.#list !== null && this.#isKept(block)) return this.#list;
    const { changes } = this.#table;
    const list = this.#read(block);
    this.#block = NOTHING;
    const mayKeep = list.ok && !list.value.tooLong && block.length <= KEPT_BYTES;
    if (mayKeep && this.#table.changes === changes) this.#keep(block, list);
    else this.#list = null;
    return list;
  }

  #isKept(block: Buffer): boolean {
    const bytes = this.#keptBytes;
    return block.length === bytes && block.compare(this.#kept, 0, bytes) === 0;
  }

  /** A copy: the block is a part of a larger buffer, which it would keep. */
  #keep(block: Buffer, list: Result<DecodedList, 'bad-block'>): void {
    if (this.#kept.length < block.length) this.#kept = Buffer.alloc(Math.min(KEPT_BYTES, block.length * 2));
    this.#keptBytes = block.copy(this.#kept);
    this.#list = list;
  }

  #read(block: Buffer): Result<DecodedList, 'bad-block'> {
    this.#block = block;
    this.#at = 0;
    const fields: HeaderField[] = [];
    let bytes = 0;
    let count = 0;
    if (!this.#readTableSizes()) return err('bad-block');
    while (this.#at < block.length) {
      const field = this.#readField();
      if (field === null) return err('bad-block');
      bytes += field[0].length + field[1].length + FIELD_OVERHEAD;
      count++;
      if (bytes <= this.#limits.bytes && count <= this.#limits.fields) fields.push(field);
    }
    const tooLong = fields.length < count;
    return ok({ fields: tooLong ? [] : fields, tooLong });
  }

  /** Changes of the table's size stand first, or nowhere (RFC 7541 §4.2). */
  #readTableSizes(): boolean {
    while (((this.#block[this.#at] ?? 0) & 0xe0) === 0x20) {
      const size = this.#readInteger(5);
      if (size < 0 || size > TABLE_BYTES) return false;
      this.#table.resize(size);
    }
    return true;
  }

  #readField(): HeaderField | null {
    const first = this.#block[this.#at] ?? 0;
    if ((first & 0x80) !== 0) return this.#entry(this.#readInteger(7));
    if ((first & 0x40) !== 0) {
      const field = this.#readLiteral(6);
      if (field !== null) this.#table.add(field);
      return field;
    }
    if ((first & 0x20) !== 0) return null;
    return this.#readLiteral(4); // without indexing, or never indexed: the same to a reader
  }

  #readLiteral(prefixBits: number): HeaderField | null {
    const index = this.#readInteger(prefixBits);
    const name = index === 0 ? this.#readString() : (this.#entry(index)?.[0] ?? null);
    if (name === null) return null;
    const value = this.#readString();
    return value === null ? null : [name, value];
  }

  #entry(index: number): HeaderField | null {
    if (index <= 0) return null;
    if (index <= STATIC_LENGTH) return STATIC_TABLE[index] ?? null;
    return this.#table.entry(index - STATIC_LENGTH);
  }

  /** RFC 7541 §5.1; -1 for one that is cut short or too large. */
  #readInteger(prefixBits: number): number {
    const mask = (1 << prefixBits) - 1;
    let value = (this.#block[this.#at++] ?? 0) & mask;
    if (value < mask) return value;
    for (let shift = 0; shift <= MAX_SHIFT; shift += 7) {
      const byte = this.#block[this.#at++];
      if (byte === undefined) return -1;
      value += (byte & 0x7f) << shift;
      if ((byte & 0x80) === 0) return value;
    }
    return -1;
  }

  #readString(): string | null {
    const first = this.#block[this.#at];
    if (first === undefined) return null;
    const length = this.#readInteger(7);
    const start = this.#at;
    if (length < 0 || length > this.#block.length - start) return null;
    this.#at = start + length;
    if ((first & 0x80) !== 0) return decodeHuffman(this.#block, start, this.#at);
    return this.#block.toString('latin1', start, this.#at);
  }
}

const NOTHING: Buffer = Buffer.alloc(0);

/** Entries in order of age; the newest has index 1 (RFC 7541 §2.3.2). */
class DynamicTable {
  #entries: HeaderField[] = [];
  /** Entries before this one are evicted; they are dropped for good when they are the greater part. */
  #oldest = 0;
  #bytes = 0;
  #limit = TABLE_BYTES;
  /** How often it was made another. */
  changes = 0;

  entry(index: number): HeaderField | null {
    const at = this.#entries.length - index;
    return at < this.#oldest ? null : (this.#entries[at] ?? null);
  }

  add(field: HeaderField): void {
    this.changes++;
    this.#bytes += sizeOf(field);
    this.#entries.push(field);
    this.#evict();
  }

  resize(limit: number): void {
    this.changes++;
    this.#limit = limit;
    this.#evict();
  }

  #evict(): void {
    while (this.#bytes > this.#limit) {
      const field = this.#entries[this.#oldest++];
      if (field === undefined) break;
      this.#bytes -= sizeOf(field);
    }
    if (this.#oldest <= 64 || this.#oldest * 2 <= this.#entries.length) return;
    this.#entries = this.#entries.slice(this.#oldest);
    this.#oldest = 0;
  }
}

function sizeOf([name, value]: HeaderField): number {
  return name.length + value.length + FIELD_OVERHEAD;
}
