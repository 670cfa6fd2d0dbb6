/**
 * The 512-byte header of a tar member (POSIX.1-2017 pax, "ustar Interchange Format"; GNU tar's base-256 numbers).
 *
 * Pure. What the checksum, the magic or a number says otherwise than the format has it is refused, not guessed.
 */
import { err, ok, type Result } from '../../../core/result.js';
import { BLOCK, byteText, type TarFault } from './entry.js';

export interface RawHeader {
  readonly name: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly mtime: number;
  /** The character of the type field. */
  readonly flag: string;
  readonly link: string;
  readonly major: number;
  readonly minor: number;
}

const CHECKSUM_AT = 148;
const CHECKSUM_LENGTH = 8;

/** Reads the header that `block`, of 512 bytes, holds. */
export function parseHeader(block: Uint8Array): Result<RawHeader, TarFault> {
  if (parseOctal(block.subarray(CHECKSUM_AT, CHECKSUM_AT + CHECKSUM_LENGTH)) !== checksumOf(block)) {
    return err('bad-checksum');
  }
  const isPosix = byteText(block.subarray(257, 265)) === 'ustar\x0000';
  const isGnu = byteText(block.subarray(257, 265)) === 'ustar  \0';
  if (!isPosix && !isGnu) return err('bad-magic');

  const numbers = NUMBERS.map(([from, to]) => parseNumber(block.subarray(from, to)));
  if (numbers.some(number => number === null)) return err('bad-number');
  const [mode = 0, uid = 0, gid = 0, size = 0, mtime = 0, major = 0, minor = 0] = numbers as number[];
  if ([mode, uid, gid, size, major, minor].some(number => number < 0)) return err('bad-number');

  // GNU's form keeps times where POSIX has the prefix.
  const prefix = isPosix ? textUntilNul(block.subarray(345, 500)) : '';
  const name = textUntilNul(block.subarray(0, 100));
  return ok({
    name: prefix === '' ? name : `${prefix}/${name}`,
    mode: mode & 0o7777,
    ...{ uid, gid, size, mtime, major, minor },
    flag: String.fromCharCode(block[156] ?? 0),
    link: textUntilNul(block.subarray(157, 257)),
  });
}

/** mode, uid, gid, size, mtime, devmajor, devminor. */
const NUMBERS = [
  [100, 108],
  [108, 116],
  [116, 124],
  [124, 136],
  [136, 148],
  [329, 337],
  [337, 345],
] as const;

/** Octal digits, or GNU's base-256 where the first bit is set; null for anything else. */
function parseNumber(field: Uint8Array): number | null {
  const first = field[0] ?? 0;
  return (first & 0x80) === 0 ? parseOctal(field) : parseBase256(field);
}

/** Spaces, octal digits, then spaces or NULs to the end. An empty field is 0, as every writer of devices has it. */
function parseOctal(field: Uint8Array): number | null {
  const match = /^ *([0-7]*)[ \0]*$/.exec(byteText(field));
  if (match === null) return null;
  const [, digits = ''] = match;
  return digits === '' ? 0 : Number.parseInt(digits, 8);
}

/** Two's complement, big-endian, the first bit being the mark; null for what a number cannot hold exactly. */
function parseBase256(field: Uint8Array): number | null {
  const negative = ((field[0] ?? 0) & 0x40) !== 0;
  let value = BigInt((field[0] ?? 0) & 0x7f);
  for (const byte of field.subarray(1)) value = (value << 8n) | BigInt(byte);
  if (negative) value -= 1n << BigInt(field.length * 8 - 1);
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : null;
}

function textUntilNul(field: Uint8Array): string {
  const end = field.indexOf(0);
  return byteText(end < 0 ? field : field.subarray(0, end));
}

/** The sum of all bytes, those of the checksum taken as spaces. */
export function checksumOf(block: Uint8Array): number {
  let sum = 32 * CHECKSUM_LENGTH;
  for (let at = 0; at < BLOCK; at += 1) {
    if (at < CHECKSUM_AT || at >= CHECKSUM_AT + CHECKSUM_LENGTH) sum += block[at] ?? 0;
  }
  return sum;
}

export function isZeroBlock(block: Uint8Array): boolean {
  return block.every(byte => byte === 0);
}
