/**
 * JSON in printable ASCII, written byte by byte into one growing buffer: what a line of events is made with.
 *
 * Pure. A string that is put together from forty pieces is copied twice on its way to the disk and looked through for
 * every field; here a byte is written once, and looked at while it is. Whoever writes says with `reserve` how much
 * comes next; after each text there is room for `SLACK` bytes of keys and numbers.
 */

/** What may be written between two texts, in bytes. */
const SLACK = 2_048;

const INITIAL = 64 * 1024;

/** A buffer that one huge event made larger than this is not kept. */
const KEPT = 4 * 1024 * 1024;

/**
 * A piece of every line, made once: printable ASCII, at most half of `SLACK`.
 *
 * Eight bytes at a time, as doubles: a call that copies twenty bytes costs more than the bytes. No printable byte
 * makes a double that is not a number, whose bits an engine may change.
 */
export interface Piece {
  readonly words: Float64Array;
  readonly length: number;
}

export function piece(text: string): Piece {
  const { length } = text;
  const words = new Float64Array(Math.ceil(length / WORD));
  Buffer.from(words.buffer).write(text, 'latin1');
  return { words, length };
}

const WORD = 8;

export class AsciiWriter {
  #bytes = Buffer.allocUnsafe(INITIAL);
  #words = viewOf(this.#bytes);
  /** Next byte to be written. */
  at = 0;

  /** Begins anew: what `view` and `text` gave before may be written over. */
  reset(): void {
    this.at = 0;
    if (this.#bytes.length > KEPT) this.#take(Buffer.allocUnsafe(INITIAL));
    this.reserve(0);
  }

  /** Room for `count` bytes, and `SLACK` more. */
  reserve(count: number): void {
    const needed = this.at + count + SLACK;
    if (needed <= this.#bytes.length) return;
    const larger = Buffer.allocUnsafe(Math.max(needed, 2 * this.#bytes.length));
    this.#bytes.copy(larger, 0, 0, this.at);
    this.#take(larger);
  }

  view(from = 0): Uint8Array {
    return this.#bytes.subarray(from, this.at);
  }

  text(from = 0): string {
    return this.#bytes.toString('latin1', from, this.at);
  }

  /** Up to seven bytes behind it are written too: what comes next stands over them. */
  put({ words, length }: Piece): void {
    const { at } = this;
    for (let i = 0; i < words.length; i++)
      this.#words.setFloat64(at + i * WORD, words[i] as number, HOST_ORDER);
    this.at = at + length;
  }

  byte(code: number): void {
    this.#bytes[this.at++] = code;
  }

  /** Text of ours: printable ASCII, and short. */
  word(text: string): void {
    const bytes = this.#bytes;
    let { at } = this;
    for (let i = 0; i < text.length; i++) bytes[at++] = text.charCodeAt(i);
    this.at = at;
  }

  /** A JSON string of printable ASCII; false, and nothing is written: it has other characters in it. */
  plain(text: string): boolean {
    const { length } = text;
    this.reserve(length + 2);
    const bytes = this.#bytes;
    let { at } = this;
    let special = 0;
    bytes[at++] = QUOTE;
    for (let i = 0; i < length; i++) {
      const code = text.charCodeAt(i);
      special |= SPECIAL[code] as number;
      bytes[at++] = code;
    }
    if (special !== 0) return false;
    bytes[at++] = QUOTE;
    this.at = at;
    return true;
  }

  /** Text that is escaped already, of any length. */
  escaped(text: string): void {
    this.reserve(text.length);
    this.at += this.#bytes.write(text, this.at, 'latin1');
  }

  /** As JSON.stringify: what is not finite is null. */
  number(value: number): void {
    if (value >= 0 && value < LARGE && Number.isInteger(value)) this.#count(value, 0);
    else if (value >= 0 && value < LARGE * LARGE && Number.isInteger(value)) {
      const high = Math.floor(value / LARGE);
      this.#count(high, 0);
      this.#count(value - high * LARGE, LARGE_DIGITS);
    } else if (!this.#thousandths(value)) this.word(Number.isFinite(value) ? `${value}` : 'null');
  }

  /** Milliseconds with their microseconds, as `first_byte_ms` is; false, and nothing is written: it is none such. */
  #thousandths(value: number): boolean {
    const thousandths = Math.round(value * 1_000);
    if (!(thousandths > 0 && thousandths < LARGE && thousandths / 1_000 === value)) return false;
    const whole = Math.floor(thousandths / 1_000);
    this.#count(whole, 0);
    this.byte(POINT);
    let [rest, digits] = [thousandths - whole * 1_000, 3];
    for (; rest % 10 === 0; digits--) rest /= 10;
    this.#count(rest, digits);
    return true;
  }

  numberOrNull(value: number | null): void {
    if (value === null) this.word('null');
    else this.number(value);
  }

  #take(bytes: Buffer<ArrayBuffer>): void {
    this.#bytes = bytes;
    this.#words = viewOf(bytes);
  }

  /** Digits of an integer below `LARGE`, at least `digits` of them. */
  #count(value: number, digits: number): void {
    let length = digits;
    if (length === 0) for (let rest = value | 0; length === 0 || rest > 0; length++) rest = (rest / 10) | 0;
    const bytes = this.#bytes;
    const end = this.at + length;
    this.at = end;
    let rest = value | 0;
    for (let at = end - 1; at >= end - length; at--) {
      const tenth = (rest / 10) | 0;
      bytes[at] = ZERO + rest - tenth * 10;
      rest = tenth;
    }
  }
}

function viewOf({ buffer, byteOffset, byteLength }: Uint8Array): DataView {
  return new DataView(buffer, byteOffset, byteLength);
}

/** Whether a Float64Array of this machine holds the first byte of eight as the lowest. */
const HOST_ORDER = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const ZERO = 0x30;

/** 1 for a code unit that a JSON string in printable ASCII does not have as it is. */
const SPECIAL = new Uint8Array(0x1_0000).fill(1);
SPECIAL.fill(0, 0x20, 0x7f);
SPECIAL[QUOTE] = 1;
SPECIAL[BACKSLASH] = 1;

const POINT = 0x2e;

/** Integers below it are counted in 32 bits. */
const LARGE = 100_000_000;
const LARGE_DIGITS = 8;
