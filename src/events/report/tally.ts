/**
 * Counts by key, for keys that strangers choose: bounded, so that a log with a million hosts costs no more memory than
 * one with a few thousand. What came when there was no room is counted together.
 *
 * Pure.
 */

/** Keys counted apart, unless said otherwise. */
const MOST_KEYS = 10_000;

export class Tally<T> {
  readonly #entries = new Map<string, T>();
  readonly #fresh: () => T;
  readonly #most: number;
  /** Everything whose key found no room; null: all had some. */
  rest: T | null = null;

  constructor(fresh: () => T, most: number = MOST_KEYS) {
    this.#fresh = fresh;
    this.#most = most;
  }

  /** The entry of `key`, made where there is none; the common one where there is no room. */
  at(key: string): T {
    const known = this.#entries.get(key);
    if (known !== undefined) return known;
    if (this.#entries.size >= this.#most) {
      this.rest ??= this.#fresh();
      return this.rest;
    }
    const entry = this.#fresh();
    this.#entries.set(key, entry);
    return entry;
  }

  get size(): number {
    return this.#entries.size;
  }

  entries(): IterableIterator<[string, T]> {
    return this.#entries.entries();
  }

  /** The largest first; equal ones by their key. */
  ranked(weight: (entry: T) => number): readonly (readonly [string, T])[] {
    return [...this.#entries].sort(
      ([a, left], [b, right]) => weight(right) - weight(left) || (a < b ? -1 : a > b ? 1 : 0),
    );
  }
}
