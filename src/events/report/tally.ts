/**
 * Counts by key, for keys that strangers choose: bounded, so that a log with a million hosts costs no more memory than
 * one with a few thousand. What came when there was no room is counted together.
 *
 * Pure.
 */

/**
 * The same text, standing by itself. A piece of a line is a view of the whole block that was read: kept, it would keep
 * a quarter of a megabyte.
 */
export function owned(text: string): string {
  if (text.length < VIEW_LENGTH) return text;
  const encoding = /^[\x00-\xff]*$/.test(text) ? 'latin1' : 'utf16le';
  return Buffer.from(text, encoding).toString(encoding);
}

/** Shorter pieces are copied anyway. */
const VIEW_LENGTH = 13;

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
    this.#entries.set(owned(key), entry);
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
