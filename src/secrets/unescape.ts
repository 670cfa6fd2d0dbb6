/**
 * The reversible spellings of a byte that every receiver undoes without thinking: percent (RFC 3986 §2.1), JSON and
 * JavaScript (RFC 8259 §7), character references (HTML §13.5), and the line breaks inside base64 (RFC 2045 §6.8).
 *
 * Pure. All are undone in one pass, whatever the content's type claims, so that a spelling cannot hide behind a
 * header. `readEscape` is the grammar; positions can be mapped back, so that what was found can be cut out.
 */

/** One escape. `length` raw bytes stand for `code`; -1: for nothing. */
export interface Escape {
  readonly code: number;
  readonly length: number;
}

export interface Unescaped {
  /** The bytes, without an escape that the end of the input cuts short. */
  readonly bytes: Uint8Array;
  /** False: there was no escape, and `bytes` is the input up to `rest`. */
  readonly changed: boolean;
  /** Where an escape begins that the input's end cuts short; the input's length if none. */
  readonly rest: number;
}

const PERCENT = 0x25;
const BACKSLASH = 0x5c;
const AMPERSAND = 0x26;
const CR = 0x0d;
const LF = 0x0a;

const NOTHING = -1;
const CUT_SHORT: Escape = { code: NOTHING, length: 0 };

/** 1 where an escape may begin. */
const STARTS = new Uint8Array(256);
for (const byte of [PERCENT, BACKSLASH, AMPERSAND, CR, LF]) STARTS[byte] = 1;

export function unescapeBytes(raw: Uint8Array): Unescaped {
  let at = nextStart(raw, 0);
  let out: Uint8Array | null = null;
  let copied = 0;
  let length = 0;
  while (at < raw.length) {
    const spelled = readEscape(raw, at);
    if (spelled === CUT_SHORT) break;
    if (spelled !== null) {
      out ??= new Uint8Array(raw.length);
      out.set(raw.subarray(copied, at), length);
      length += at - copied;
      length = put(out, length, spelled.code);
      copied = at + spelled.length;
    }
    at = nextStart(raw, at + (spelled === null ? 1 : spelled.length));
  }
  if (out === null) return { bytes: raw.subarray(0, at), changed: false, rest: at };
  out.set(raw.subarray(copied, at), length);
  return { bytes: out.subarray(0, length + at - copied), changed: true, rest: at };
}

/**
 * Maps positions of unescaped bytes back to the raw bytes that spell them. Asking in rising order costs one walk
 * over `raw` for all.
 */
export class RawCursor {
  readonly #raw: Uint8Array;
  #at = 0;
  #length = 0;

  constructor(raw: Uint8Array) {
    this.#raw = raw;
  }

  /** Where the spelling of unescaped byte number `index` begins and ends. */
  span(index: number): { readonly start: number; readonly end: number } {
    if (index < this.#length) this.#at = this.#length = 0;
    const raw = this.#raw;
    while (this.#at < raw.length) {
      const at = this.#at;
      const spelled = STARTS[raw[at] ?? 0] === 1 ? readEscape(raw, at) : null;
      const width = spelled === null ? 1 : Math.max(spelled.length, 1);
      const length = this.#length + (spelled === null ? 1 : utf8Length(spelled.code));
      if (length > index) return { start: at, end: at + width };
      this.#at = at + width;
      this.#length = length;
    }
    return { start: raw.length, end: raw.length };
  }
}

/** The escape at `at`; null: none there; CUT_SHORT: the input ends inside what may be one. */
function readEscape(raw: Uint8Array, at: number): Escape | null {
  switch (raw[at]) {
    case PERCENT:
      return readHex(raw, at, 1, 2);
    case BACKSLASH:
      return readBackslash(raw, at);
    case AMPERSAND:
      return readReference(raw, at);
    case CR:
    case LF:
      return readLineBreak(raw, at);
    default:
      return null;
  }
}

/** `digits` hexadecimal digits that begin `skip` bytes after `at`. */
function readHex(raw: Uint8Array, at: number, skip: number, digits: number): Escape | null {
  let code = 0;
  for (let i = at + skip; i < at + skip + digits; i++) {
    const byte = raw[i];
    if (byte === undefined) return CUT_SHORT;
    const digit = hexDigit(byte);
    if (digit < 0) return null;
    code = code * 16 + digit;
  }
  return { code, length: skip + digits };
}

function readBackslash(raw: Uint8Array, at: number): Escape | null {
  const byte = raw[at + 1];
  if (byte === undefined) return CUT_SHORT;
  switch (String.fromCharCode(byte)) {
    case 'u':
      return readHex(raw, at, 2, 4);
    case 'x':
      return readHex(raw, at, 2, 2);
    case 'n':
    case 'r':
      return { code: NOTHING, length: 2 };
    case 't':
      return { code: 9, length: 2 };
    case '"':
    case "'":
    case '/':
    case '\\':
      return { code: byte, length: 2 };
    default:
      return null;
  }
}

const NAMED = new Map<string, number>([
  ['amp;', 0x26],
  ['lt;', 0x3c],
  ['gt;', 0x3e],
  ['quot;', 0x22],
  ['apos;', 0x27],
]);
/** `&#0000065;` is 10 bytes: longer spellings are nobody's encoder. */
const LONGEST_REFERENCE = 10;

function readReference(raw: Uint8Array, at: number): Escape | null {
  let text = '';
  for (let i = at + 1; i < at + LONGEST_REFERENCE; i++) {
    const byte = raw[i];
    if (byte === undefined) return CUT_SHORT;
    text += String.fromCharCode(byte);
    if (byte === 0x3b) return referenceOf(text);
    if (byte !== 0x23 && !isAlphanumeric(byte)) return null;
  }
  return null;
}

function referenceOf(text: string): Escape | null {
  const length = text.length + 1;
  const named = NAMED.get(text);
  if (named !== undefined) return { code: named, length };
  const numeric = /^#(?:(\d{1,7})|[xX]([0-9A-Fa-f]{1,6}));$/.exec(text);
  if (numeric === null) return null;
  const code = numeric[1] === undefined ? Number.parseInt(numeric[2] ?? '', 16) : Number(numeric[1]);
  return code <= 0x10ffff ? { code, length } : null;
}

/** One line break between two lines of base64. Two in a row end the text that they stand in. */
function readLineBreak(raw: Uint8Array, at: number): Escape | null {
  const length = raw[at] === CR && raw[at + 1] === LF ? 2 : 1;
  const next = raw[at + length];
  if (next === undefined) return CUT_SHORT;
  return isAlphanumeric(next) || next === 0x2b || next === 0x2f ? { code: NOTHING, length } : null;
}

function nextStart(raw: Uint8Array, from: number): number {
  let at = from;
  while (at < raw.length && STARTS[raw[at] ?? 0] === 0) at++;
  return at;
}

function put(out: Uint8Array, at: number, code: number): number {
  if (code === NOTHING) return at;
  // Percent and \x spell bytes, the others characters. Below 0x100 both are one byte here: a value that is not ASCII
  // is looked for in this form too (`needlesOf`).
  if (code < 0x100) {
    out[at] = code;
    return at + 1;
  }
  const bytes = Buffer.from(String.fromCodePoint(code), 'utf8');
  out.set(bytes, at);
  return at + bytes.length;
}

function utf8Length(code: number): number {
  if (code === NOTHING) return 0;
  if (code < 0x100) return 1;
  if (code < 0x800) return 2;
  return code < 0x10000 ? 3 : 4;
}

function hexDigit(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const lower = byte | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}

function isAlphanumeric(byte: number): boolean {
  const lower = byte | 0x20;
  return (byte >= 0x30 && byte <= 0x39) || (lower >= 0x61 && lower <= 0x7a);
}
