/**
 * One look at a piece of a message: which needles stand in it, however they are escaped, and which of its last bytes
 * may be the beginning of one.
 *
 * Pure. A needle is found in the bytes as they are and after one, two and three rounds of unescaping.
 */
import { LOOK_BEHIND } from './escapes.js';
import type { Matcher } from './matcher.js';
import { RawCursor, type Unescaped, unescapeBytes } from './unescape.js';

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

/** Raw bytes before those that are looked at again: an escape among these then reads as it did. */
const CONTEXT = 4 * LOOK_BEHIND;

/** `wanted` says which needles count. `whole`: nothing follows, so nothing is kept. */
export function look(
  matcher: Matcher,
  bytes: Uint8Array,
  wanted: (needle: number) => boolean,
  whole: boolean,
): Look {
  const { length } = bytes;
  let found: Look = { hits: NO_HITS, keep: length, hold: length };
  for (const { from, to } of matcher.runs.find(bytes, whole)) {
    // Only the last reaches the end; behind the others stands what belongs to no needle.
    const seen = lookAt(matcher, bytes.subarray(from, to), wanted, whole || to < length);
    if (seen.hits.length > 0) found = { ...found, hits: [...found.hits, ...moved(seen.hits, from)] };
    if (to === length && !whole) found = { ...found, keep: from + seen.keep, hold: from + seen.hold };
  }
  return found;
}

const NO_HITS: readonly Hit[] = Object.freeze([]);

function moved(hits: readonly Hit[], by: number): readonly Hit[] {
  if (by === 0) return hits;
  return hits.map(hit => ({ ...hit, start: hit.start + by, end: hit.end + by }));
}

/** The same, everywhere in `bytes`. */
export function lookAt(
  matcher: Matcher,
  bytes: Uint8Array,
  wanted: (needle: number) => boolean,
  whole: boolean,
): Look {
  const hits: Hit[] = [];
  const tail = new Tail(matcher, bytes.length);
  let layers = new Layers([]);
  let layer = bytes;
  let isTail = !whole;
  for (let rounds = 0; rounds <= MAX_ROUNDS; rounds++) {
    const here = layers;
    matcher.find(layer, (needle, start, end) => {
      if (wanted(needle)) hits.push({ needle, start: here.start(start), end: here.end(end), rounds });
    });
    if (isTail) tail.mind(layer, layers);
    const next = rounds < MAX_ROUNDS ? unescapeBytes(layer, matcher.longest) : null;
    if (next === null) break;
    const inner = new Layers([...layers.made, { raw: layer, ...next }]);
    if (isTail && next.rest < layer.length) tail.mindRest(layer, next, layers, inner);
    isTail &&= next.reachesRest;
    layers = inner;
    layer = next.bytes;
  }
  if (hits.length > 1) hits.sort(inOrder);
  return { hits, keep: Math.max(0, tail.keep - CONTEXT), hold: tail.hold };
}

function inOrder(a: Hit, b: Hit): number {
  return a.end - b.end || a.start - b.start || a.rounds - b.rounds || a.needle - b.needle;
}

/** Where the last bytes may begin a needle, over all layers. */
class Tail {
  keep: number;
  hold: number;
  readonly #matcher: Matcher;

  constructor(matcher: Matcher, length: number) {
    this.#matcher = matcher;
    this.keep = length;
    this.hold = length;
  }

  /** Does `layer` end in the beginning of a needle? `layers` map its positions to the message's. */
  mind(layer: Uint8Array, layers: Layers): boolean {
    const live = this.#matcher.liveFrom(layer);
    if (live === layer.length) return false;
    const raw = layers.start(live);
    this.keep = Math.min(this.keep, raw);
    if (layer.length - live >= LEAST_HELD) this.hold = Math.min(this.hold, raw);
    return true;
  }

  /** What an escape cut short may still become must not be split from what stands before it. */
  mindRest(layer: Uint8Array, next: Unescaped, outer: Layers, inner: Layers): void {
    const raw = outer.start(next.rest);
    this.keep = Math.min(this.keep, raw);
    // An escape behind the beginning of a needle goes whole or not at all; a line break ends a line of a dialogue.
    if (this.mind(next.bytes, inner) && !isLineBreak(layer[next.rest])) this.hold = Math.min(this.hold, raw);
  }
}

function isLineBreak(byte: number | undefined): boolean {
  return byte === 0x0a || byte === 0x0d;
}

/** One round of unescaping: what it was made from, and what it made. */
interface Made extends Unescaped {
  readonly raw: Uint8Array;
}

/** All rounds up to a layer: maps a position in it back to the message. */
class Layers {
  readonly made: readonly Made[];
  readonly #starts: readonly RawCursor[];
  readonly #ends: readonly RawCursor[];

  constructor(made: readonly Made[]) {
    this.made = made;
    this.#starts = made.map(({ raw, windows }) => new RawCursor(raw, windows));
    this.#ends = made.map(({ raw, windows }) => new RawCursor(raw, windows));
  }

  start(index: number): number {
    return this.#starts.reduceRight((at, cursor) => cursor.span(at).start, index);
  }

  /** `end` is exclusive, here and in the answer. */
  end(end: number): number {
    return this.#ends.reduceRight((last, cursor) => cursor.span(last).end - 1, end - 1) + 1;
  }
}
