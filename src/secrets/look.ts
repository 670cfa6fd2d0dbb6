/**
 * One look at a piece of a message: which needles stand in it, however they are escaped, and which of its last bytes
 * may be the beginning of one.
 *
 * Pure. A needle is found in the bytes as they are and after one, two and three rounds of unescaping.
 */
import type { Matcher } from './matcher.js';
import { RawCursor, unescapeBytes } from './unescape.js';

const MAX_ROUNDS = 3;

/** So many characters of a needle may pass before the rest is known: held bytes would stall a dialogue. */
export const LEAST_HELD = 4;

/** A needle in `bytes.subarray(start, end)`, found after `rounds` rounds of unescaping. */
export interface Hit {
  readonly needle: number;
  readonly start: number;
  readonly end: number;
  readonly rounds: number;
}

export interface Look {
  /** By `end`, then by `start`: the same hits come first however the message was cut. */
  readonly hits: readonly Hit[];
  /** From here on the bytes must be looked at again together with what follows. */
  readonly keep: number;
  /** From here on they must not be passed on before that: at least `LEAST_HELD` characters may begin a needle. */
  readonly hold: number;
}

/** `wanted` says which needles count. `whole`: nothing follows, so nothing is kept. */
export function look(
  matcher: Matcher,
  bytes: Uint8Array,
  wanted: (needle: number) => boolean,
  whole: boolean,
): Look {
  const hits: Hit[] = [];
  let layers = new Layers([]);
  let layer = bytes;
  let keep = bytes.length;
  let hold = bytes.length;
  const mindTail = (tail: Uint8Array, made: Layers): boolean => {
    const live = matcher.liveFrom(tail);
    if (live === tail.length) return false;
    const raw = made.start(live);
    keep = Math.min(keep, raw);
    if (tail.length - live >= LEAST_HELD) hold = Math.min(hold, raw);
    return true;
  };
  for (let rounds = 0; rounds <= MAX_ROUNDS; rounds++) {
    matcher.find(layer, (needle, start, end) => {
      if (wanted(needle)) hits.push({ needle, start: layers.start(start), end: layers.end(end), rounds });
    });
    if (!whole) mindTail(layer, layers);
    const next = unescapeBytes(layer);
    const inner = next.changed ? new Layers([...layers.raws, layer]) : layers;
    // What an escape cut short may still become must not be split from what stands before it.
    if (!whole && next.rest < layer.length) {
      const raw = layers.start(next.rest);
      keep = Math.min(keep, raw);
      // An escape behind the beginning of a needle goes whole or not at all; a line break ends a line of a dialogue.
      if (mindTail(next.bytes, inner) && !isLineBreak(layer[next.rest])) hold = Math.min(hold, raw);
    }
    if (!next.changed) break;
    layers = inner;
    layer = next.bytes;
  }
  if (hits.length > 1) hits.sort(inOrder);
  return { hits, keep, hold };
}

function isLineBreak(byte: number | undefined): boolean {
  return byte === 0x0a || byte === 0x0d;
}

function inOrder(a: Hit, b: Hit): number {
  return a.end - b.end || a.start - b.start || a.rounds - b.rounds || a.needle - b.needle;
}

/** The bytes that each round of unescaping was made from, first to last: maps a position back through all of them. */
class Layers {
  readonly raws: readonly Uint8Array[];
  readonly #starts: readonly RawCursor[];
  readonly #ends: readonly RawCursor[];

  constructor(raws: readonly Uint8Array[]) {
    this.raws = raws;
    this.#starts = raws.map(raw => new RawCursor(raw));
    this.#ends = raws.map(raw => new RawCursor(raw));
  }

  start(index: number): number {
    return this.#starts.reduceRight((at, cursor) => cursor.span(at).start, index);
  }

  /** `end` is exclusive, here and in the answer. */
  end(end: number): number {
    return this.#ends.reduceRight((last, cursor) => cursor.span(last).end - 1, end - 1) + 1;
  }
}
