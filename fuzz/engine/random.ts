/**
 * Repeatable randomness (mulberry32): a seed is a whole run.
 *
 * Pure.
 */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** An integer of 32 bits. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (mixed ^ (mixed >>> 14)) >>> 0;
  }

  /** An integer from 0 up to, not including, `limit`; 0 for a limit of 0. */
  below(limit: number): number {
    return limit <= 0 ? 0 : this.next() % limit;
  }

  /** One of `items`, which must not be empty. */
  pick<T>(items: readonly T[]): T {
    const item = items[this.below(items.length)];
    if (item === undefined) throw new RangeError('nothing to pick from');
    return item;
  }
}

/** `bytes` in at most nine pieces, none of them empty. */
export function cutAtRandom(bytes: Buffer, random: Random): Buffer[] {
  const edges = Array.from({ length: random.below(9) }, () => random.below(bytes.length + 1));
  return pieces(bytes, edges);
}

/** `bytes` cut at `edges`; empty pieces are left out. */
export function pieces(bytes: Buffer, edges: readonly number[]): Buffer[] {
  const sorted = [0, ...[...edges].sort((a, b) => a - b), bytes.length];
  return sorted
    .slice(1)
    .map((edge, i) => bytes.subarray(sorted[i], edge))
    .filter(piece => piece.length > 0);
}
