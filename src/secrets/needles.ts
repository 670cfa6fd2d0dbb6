/**
 * What is looked for: a text and what it becomes in the encodings that any shell can make. Escapes (percent, JSON,
 * character references) are not here: `look` undoes them before it compares.
 *
 * Pure.
 */
import { unescapeBytes } from './unescape.js';

export type Coding = 'plain' | 'base64' | 'base32' | 'hex' | 'double-base64' | 'reversed';

export interface Needle {
  readonly coding: Coding;
  readonly bytes: Uint8Array;
  /** Bytes of the text by which the coding's groups were shifted: 0-2 for base64, 0-4 for base32. */
  readonly shift: number;
}

/** Shorter texts are not looked for: they would be found everywhere by chance. */
export const SHORTEST_SOUGHT = 8;

const BASE64 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
const BASE32 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
const HEX = '0123456789abcdef';

/** Every needle of `text`, without repetitions; none if it is too short to be sought. */
export function needlesOf(text: string): Needle[] {
  const bytes = Buffer.from(text, 'utf8');
  if (bytes.length < SHORTEST_SOUGHT) return [];
  const needles: Needle[] = spellingsOf(text).map(spelling => ({
    coding: 'plain',
    bytes: spelling,
    shift: 0,
  }));
  needles.push({ coding: 'reversed', bytes: Uint8Array.from(bytes).reverse(), shift: 0 });
  needles.push({ coding: 'hex', bytes: innerCoding(bytes, HEX, 0), shift: 0 });
  for (let shift = 0; shift < 5; shift++) {
    needles.push({ coding: 'base32', bytes: innerCoding(bytes, BASE32, shift), shift });
  }
  for (let shift = 0; shift < 3; shift++) {
    const once = innerCoding(bytes, BASE64, shift);
    needles.push({ coding: 'base64', bytes: once, shift });
    for (let again = 0; again < 3; again++) {
      needles.push({ coding: 'double-base64', bytes: innerCoding(once, BASE64, again), shift: again });
    }
  }
  return needles;
}

/**
 * The text as it stands, and as a reader that undoes escapes sees it: a value that holds `%41` or `\\` is
 * recognised after one or two rounds of unescaping, too.
 */
function spellingsOf(text: string): Uint8Array[] {
  const spellings = new Map<string, Uint8Array>();
  const add = (bytes: Uint8Array): void => {
    if (bytes.length >= SHORTEST_SOUGHT) spellings.set(Buffer.from(bytes).toString('latin1'), bytes);
  };
  const whole = Buffer.from(text, 'utf8');
  add(whole);
  add(byCharacter(text));
  // application/x-www-form-urlencoded writes a blank as `+`.
  add(Buffer.from(text.replaceAll(' ', '+'), 'utf8'));
  let plainer: Uint8Array = whole;
  for (let round = 0; round < 2; round++) {
    const next = unescapeBytes(plainer, plainer.length);
    if (next === null) break;
    plainer = Buffer.concat([next.bytes, plainer.subarray(next.rest)]);
    add(plainer);
  }
  return [...spellings.values()];
}

/** Characters below U+0100 as one byte, others as UTF-8: what `\u00e9` and `&#233;` unescape to. */
function byCharacter(text: string): Uint8Array {
  return Buffer.concat(
    Array.from(text, character =>
      Buffer.from(character, (character.codePointAt(0) ?? 0) < 0x100 ? 'latin1' : 'utf8'),
    ),
  );
}

/**
 * The digits that `bytes` always has when it is encoded behind `shift` other bytes: a digit that shares its bits with
 * a neighbour is left out.
 */
export function innerCoding(bytes: Uint8Array, alphabet: string, shift: number): Uint8Array {
  const width = Math.log2(alphabet.length);
  const first = Math.ceil((shift * 8) / width);
  const end = Math.floor(((shift + bytes.length) * 8) / width);
  const digits = new Uint8Array(end - first);
  for (let digit = first; digit < end; digit++) {
    const bit = digit * width - shift * 8;
    const pair = ((bytes[bit >> 3] ?? 0) << 8) | (bytes[(bit >> 3) + 1] ?? 0);
    const value = (pair >> (16 - width - (bit & 7))) & ((1 << width) - 1);
    digits[digit - first] = alphabet.charCodeAt(value);
  }
  return digits;
}

export { BASE32, BASE64, HEX };
