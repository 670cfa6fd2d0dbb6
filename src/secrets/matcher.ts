/**
 * Many byte strings looked for in one pass (Wu and Manber, 1994): two bytes at the end of a window say how far it
 * may jump, so most bytes are never read and the cost hardly grows with the number of strings.
 *
 * Pure. Letters match in either case, and `-` as `+`, `_` as `/`, so that one needle stands for both alphabets of
 * base64 (RFC 4648 §4, §5). A needle has at least two bytes.
 */

import { Runs } from './runs.js';

/** How a byte is compared. */
export const FOLD = new Uint8Array(256);
for (let byte = 0; byte < 256; byte++) FOLD[byte] = byte >= 0x41 && byte <= 0x5a ? byte + 0x20 : byte;
FOLD[0x2d] = 0x2b;
FOLD[0x5f] = 0x2f;

export function fold(bytes: Uint8Array): Uint8Array {
  return bytes.map(byte => FOLD[byte] ?? byte);
}

/** Receives the number of the needle, and where it begins and ends. */
export type Visit = (needle: number, start: number, end: number) => void;

export class Matcher {
  /** Length of the shortest and of the longest needle; 0 if there is none. */
  readonly shortest: number;
  readonly longest: number;
  /** Where a needle could stand, however it is spelled. */
  readonly runs: Runs;
  readonly #needles: readonly Uint8Array[];
  /** By the last block of a window: how far it may move. */
  readonly #shift: Uint8Array;
  /** Needles by their first four bytes, or two if the shortest is shorter. */
  readonly #heads = new Map<number, number[]>();
  /** 1 for the hash of each key of `#heads`: most windows that may not jump are dismissed here. */
  readonly #isHead = new Uint8Array(65_536);
  /** Folded, as Latin-1 text, sorted: for `liveFrom`. */
  readonly #sorted: readonly string[];
  /** 1 for the first two bytes of each needle. */
  readonly #begins = new Uint8Array(65_536);
  readonly #firsts = new Uint8Array(256);

  constructor(needles: readonly Uint8Array[]) {
    this.#needles = needles.map(fold);
    const lengths = needles.map(needle => needle.length);
    this.shortest = lengths.length === 0 ? 0 : lengths.reduce((a, b) => Math.min(a, b));
    this.longest = lengths.reduce((a, b) => Math.max(a, b), 0);
    this.#shift = new Uint8Array(65_536).fill(Math.min(255, Math.max(1, this.shortest - 1)));
    this.#needles.forEach((needle, number) => {
      this.#index(needle, number);
    });
    const held = new Set(this.#needles.flatMap(needle => [...needle]));
    this.runs = new Runs(byte => held.has(FOLD[byte] as number), this.shortest);
    this.#sorted = this.#needles.map(needle => Buffer.from(needle).toString('latin1')).sort();
  }

  #index(needle: Uint8Array, number: number): void {
    if (needle.length < 2) throw new RangeError('a needle has at least two bytes');
    for (let end = 1; end < this.shortest; end++) {
      const block = blockAt(needle, end);
      const jump = this.shortest - 1 - end;
      if ((this.#shift[block] ?? 0) > jump) this.#shift[block] = jump;
    }
    const head = this.#headAt(needle, 0);
    const bucket = this.#heads.get(head);
    if (bucket === undefined) this.#heads.set(head, [number]);
    else bucket.push(number);
    this.#isHead[hashOf(head)] = 1;
    this.#begins[blockAt(needle, 1)] = 1;
    this.#firsts[needle[0] ?? 0] = 1;
  }

  /** Calls `visit` for every needle that stands whole in `bytes`, in the order of where its window ends. */
  find(bytes: Uint8Array, visit: Visit): void {
    const window = this.shortest;
    if (window === 0) return;
    const shift = this.#shift;
    const { length } = bytes;
    let end = window - 1;
    while (end < length) {
      const block =
        ((FOLD[bytes[end - 1] as number] as number) << 8) | (FOLD[bytes[end] as number] as number);
      const jump = shift[block] as number;
      if (jump > 0) {
        end += jump;
        continue;
      }
      const start = end - window + 1;
      const head = this.#headAt(bytes, start);
      if (this.#isHead[hashOf(head)] === 1) this.#visitAt(bytes, start, head, visit);
      end++;
    }
  }

  /** False: no needle stands in `text`, whose characters are bytes. True: one may. Nothing is allocated. */
  mayStandIn(text: string): boolean {
    const window = this.shortest;
    const { length } = text;
    if (window === 0 || length < window) return false;
    const shift = this.#shift;
    let end = window - 1;
    while (end < length) {
      const jump = shift[charBlockAt(text, end)] as number;
      if (jump > 0) {
        end += jump;
        continue;
      }
      const start = end - window + 1;
      const block = charBlockAt(text, start + 1);
      const head = window < 4 ? block : (block << 16) | charBlockAt(text, start + 3);
      if (this.#isHead[hashOf(head)] === 1) return true;
      end++;
    }
    return false;
  }

  #visitAt(bytes: Uint8Array, start: number, head: number, visit: Visit): void {
    for (const number of this.#heads.get(head) ?? []) {
      const end = this.#endAt(bytes, start, number);
      if (end > 0) visit(number, start, end);
    }
  }

  #headAt(bytes: Uint8Array, start: number): number {
    const block = blockAt(bytes, start + 1);
    return this.shortest < 4 ? block : (block << 16) | blockAt(bytes, start + 3);
  }

  /** Where the needle ends that stands whole at `start`; 0 if it does not. */
  #endAt(bytes: Uint8Array, start: number, number: number): number {
    const needle = this.#needles[number];
    if (needle === undefined || start + needle.length > bytes.length) return 0;
    for (let i = 0; i < needle.length; i++) {
      if (FOLD[bytes[start + i] as number] !== needle[i]) return 0;
    }
    return start + needle.length;
  }

  /** Where the longest tail of `bytes` begins that is a beginning of a needle; `bytes.length` if none is. */
  liveFrom(bytes: Uint8Array): number {
    const { length } = bytes;
    for (let start = Math.max(0, length - this.longest + 1); start < length; start++) {
      if (this.#firsts[FOLD[bytes[start] as number] as number] === 0) continue;
      if (start + 1 < length && this.#begins[blockAt(bytes, start + 1)] === 0) continue;
      if (this.#isBeginning(Buffer.from(fold(bytes.subarray(start))).toString('latin1'))) return start;
    }
    return length;
  }

  /** Of a longer needle: the first that sorts behind `text` tells. */
  #isBeginning(text: string): boolean {
    let low = 0;
    let high = this.#sorted.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#sorted[middle] ?? '') <= text) low = middle + 1;
      else high = middle;
    }
    return (this.#sorted[low] ?? '').startsWith(text);
  }
}

/** 16 bits of a head (Knuth's multiplicative hash). */
function hashOf(head: number): number {
  return Math.imul(head, 0x9e37_79b1) >>> 16;
}

/** The folded characters at `end - 1` and `end`, each below 256. */
function charBlockAt(text: string, end: number): number {
  return (
    ((FOLD[text.charCodeAt(end - 1) & 0xff] as number) << 8) | (FOLD[text.charCodeAt(end) & 0xff] as number)
  );
}

/** The folded bytes at `end - 1` and `end`. */
function blockAt(bytes: Uint8Array, end: number): number {
  return ((FOLD[bytes[end - 1] ?? 0] ?? 0) << 8) | (FOLD[bytes[end] ?? 0] ?? 0);
}
