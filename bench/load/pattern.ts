/**
 * The content that every bench moves, and its checking: one mebibyte of noise, repeated. Pure but for its seed.
 *
 * Noise, because a gateway that looks for secrets finds the beginnings of escapes in it: text is easier.
 */

/** Length of one period, in bytes. */
export const PERIOD = 1 << 20;

/** Deterministic: the upstream, the load and a later run have the same bytes. */
export function makePattern(): Buffer {
  const bytes = Buffer.allocUnsafe(PERIOD);
  let state = 0x9e3779b9;
  for (let at = 0; at < PERIOD; at += 4) {
    // xorshift32: fast, and incompressible enough.
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    bytes.writeInt32LE(state | 0, at);
  }
  return bytes;
}

/** Compares a content that arrives in pieces with the repeated pattern, at the speed of memcmp. */
export class PatternCheck {
  readonly #twice: Buffer;
  #at = 0;
  #bad = false;

  constructor(pattern: Buffer) {
    this.#twice = twiceOf(pattern);
  }

  get bytes(): number {
    return this.#at;
  }

  /** False once a byte was another than it should be. */
  get good(): boolean {
    return !this.#bad;
  }

  push(piece: Buffer): void {
    for (let from = 0; from < piece.length; ) {
      const offset = this.#at % PERIOD;
      const length = Math.min(piece.length - from, this.#twice.length - offset);
      if (piece.compare(this.#twice, offset, offset + length, from, from + length) !== 0) this.#bad = true;
      from += length;
      this.#at += length;
    }
  }

  reset(): void {
    this.#at = 0;
    this.#bad = false;
  }
}

const doubled = new WeakMap<Buffer, Buffer>();

/** Two periods, so that a piece across the border of two is one comparison. Made once: it costs more than a handshake. */
function twiceOf(pattern: Buffer): Buffer {
  let twice = doubled.get(pattern);
  if (twice === undefined) {
    twice = Buffer.concat([pattern, pattern]);
    doubled.set(pattern, twice);
  }
  return twice;
}
