/**
 * The reversible spellings of a byte that every receiver undoes without thinking: percent (RFC 3986 §2.1), JSON and
 * JavaScript (RFC 8259 §7), character references (HTML §13.5), and the line breaks inside base64 (RFC 2045 §6.8).
 *
 * Pure. All are read, whatever the content's type claims, so that a spelling cannot hide behind a header.
 */

const PERCENT = 0x25;
const BACKSLASH = 0x5c;
const AMPERSAND = 0x26;
const SEMICOLON = 0x3b;
const HASH = 0x23;
const OPENING_BRACE = 0x7b;
const CLOSING_BRACE = 0x7d;
const CR = 0x0d;
const LF = 0x0a;

/** Bytes that an escape begins with; a line break is found by its LF. */
export const ESCAPE_STARTS: readonly number[] = [PERCENT, BACKSLASH, AMPERSAND, LF];

/**
 * Every byte that stands in an escape: what begins one, digits and letters (of numbers and of names), and the base64
 * around a line break. A quote or another byte behind a backslash stands for itself.
 */
export const ESCAPE_BYTES: Uint8Array = Buffer.from(
  '%\\&#;{}\r\n+/-_0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ',
  'latin1',
);

/** An escape that stands for nothing. */
export const NOTHING = 0x1f_ffff;
/** There is no escape. */
export const NO_ESCAPE = 0;
/** The input ends inside what may be an escape. */
export const CUT_SHORT = -1;

/** An escape in one number, so that reading one allocates nothing: what it stands for, and its length in bytes. */
function escapeOf(code: number, length: number): number {
  return code * 16 + length;
}

/** What a positive escape stands for: a byte, a character, or NOTHING. */
export function codeOf(spelled: number): number {
  return spelled >>> 4;
}

/** How many raw bytes a positive escape is spelled with. */
export function lengthOf(spelled: number): number {
  return spelled & 15;
}

/** The escape at `at`, which holds one of ESCAPE_STARTS: a positive number, NO_ESCAPE or CUT_SHORT. */
export function readEscape(raw: Uint8Array, at: number): number {
  switch (raw[at]) {
    case PERCENT:
      // `%u0041` is what JavaScript's escape() writes and old servers read.
      return isLetterU(raw[at + 1]) ? readHex(raw, at, 2, 4) : readHex(raw, at, 1, 2);
    case BACKSLASH:
      return readBackslash(raw, at);
    case AMPERSAND:
      return readReference(raw, at);
    case LF:
      return readLineBreak(raw, at);
    default:
      return NO_ESCAPE;
  }
}

/** `digits` hexadecimal digits that begin `skip` bytes after `at`. */
function readHex(raw: Uint8Array, at: number, skip: number, digits: number): number {
  let code = 0;
  for (let i = at + skip; i < at + skip + digits; i++) {
    const byte = raw[i];
    if (byte === undefined) return CUT_SHORT;
    const digit = hexDigit(byte);
    if (digit < 0) return NO_ESCAPE;
    code = code * 16 + digit;
  }
  return escapeOf(code, skip + digits);
}

function readBackslash(raw: Uint8Array, at: number): number {
  const byte = raw[at + 1];
  switch (byte) {
    case undefined:
      return CUT_SHORT;
    case 0x75: // u
      return raw[at + 2] === OPENING_BRACE ? readBraced(raw, at) : readHex(raw, at, 2, 4);
    case 0x78: // x
      return readHex(raw, at, 2, 2);
    case 0x6e: // n, r: a line break inside a string
    case 0x72:
      return escapeOf(NOTHING, 2);
    case 0x74: // t
      return escapeOf(9, 2);
    case 0x22: // " ' / \
    case 0x27:
    case 0x2f:
    case BACKSLASH:
      return escapeOf(byte, 2);
    default:
      return NO_ESCAPE;
  }
}

/** `\u{000041}` is 10 bytes: longer spellings are nobody's encoder. */
const LONGEST_BRACED = 10;

/** `\u{…}`: one to six hexadecimal digits (ECMAScript §12.9.4). */
function readBraced(raw: Uint8Array, at: number): number {
  let code = 0;
  for (let i = at + 3; i < at + LONGEST_BRACED; i++) {
    const byte = raw[i];
    if (byte === undefined) return CUT_SHORT;
    if (byte === CLOSING_BRACE)
      return i > at + 3 && code <= 0x10ffff ? escapeOf(code, i + 1 - at) : NO_ESCAPE;
    const digit = hexDigit(byte);
    if (digit < 0) return NO_ESCAPE;
    code = code * 16 + digit;
  }
  return NO_ESCAPE;
}

function isLetterU(byte: number | undefined): boolean {
  return byte === 0x75 || byte === 0x55;
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

function readReference(raw: Uint8Array, at: number): number {
  let end = at + 1;
  for (; end < at + LONGEST_REFERENCE; end++) {
    const byte = raw[end];
    if (byte === undefined) return CUT_SHORT;
    if (byte === SEMICOLON) break;
    if (byte !== HASH && !isAlphanumeric(byte)) return NO_ESCAPE;
  }
  if (raw[end] !== SEMICOLON) return NO_ESCAPE;
  return referenceOf(String.fromCharCode(...raw.subarray(at + 1, end + 1)));
}

function referenceOf(text: string): number {
  const length = text.length + 1;
  const named = NAMED.get(text);
  if (named !== undefined) return escapeOf(named, length);
  const numeric = /^#(?:(\d{1,7})|[xX]([0-9A-Fa-f]{1,6}));$/.exec(text);
  if (numeric === null) return NO_ESCAPE;
  const code = numeric[1] === undefined ? Number.parseInt(numeric[2] ?? '', 16) : Number(numeric[1]);
  return code <= 0x10ffff ? escapeOf(code, length) : NO_ESCAPE;
}

/** Digits of base64 that stand before a line break for it to be one of base64: its lines are 64 or 76 long. */
const LEAST_LINE = 16;

/** How many bytes before an escape decide whether it is one. */
export const LOOK_BEHIND = LEAST_LINE + 1;

/** The LF of a line break between two lines of base64. Its CR goes by `lineBreakStart`. */
function readLineBreak(raw: Uint8Array, at: number): number {
  if (!isBehindLine(raw, raw[at - 1] === CR ? at - 1 : at)) return NO_ESCAPE;
  const next = raw[at + 1];
  if (next === undefined) return CUT_SHORT;
  return isBase64(next) ? escapeOf(NOTHING, 1) : NO_ESCAPE;
}

function isBehindLine(raw: Uint8Array, end: number): boolean {
  if (end < LEAST_LINE) return false;
  for (let i = end - 1; i >= end - LEAST_LINE; i--) if (!isBase64(raw[i] ?? 0)) return false;
  return true;
}

/** True where the input ends in the CR of what may be a line break: its LF is still to come. */
export function endsInLineBreak(raw: Uint8Array): boolean {
  return raw[raw.length - 1] === CR && isBehindLine(raw, raw.length - 1);
}

/** Where the escape at `at` really begins: a CR before its LF belongs to it. */
export function escapeStart(raw: Uint8Array, at: number): number {
  return raw[at] === LF && raw[at - 1] === CR ? at - 1 : at;
}

function isBase64(byte: number): boolean {
  return isAlphanumeric(byte) || byte === 0x2b || byte === 0x2f || byte === 0x2d || byte === 0x5f;
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
