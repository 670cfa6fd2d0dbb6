/**
 * What is remembered of minted leaves and who may have new ones: a bounded least-recently-used map and a token
 * bucket for each sandbox.
 *
 * Pure: the caller passes the time, in milliseconds of any one clock.
 */

/** At most `limit` entries; the one unused for longest goes first. */
export class Lru<K, V> {
  readonly #limit: number;
  readonly #entries = new Map<K, V>();
  /** The one that was used last stands at the end already. */
  #last: K | undefined;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get size(): number {
    return this.#entries.size;
  }

  find(key: K): V | null {
    const value = this.#entries.get(key);
    if (value === undefined) return null;
    if (key === this.#last) return value;
    this.#entries.delete(key);
    this.#entries.set(key, value);
    this.#last = key;
    return value;
  }

  put(key: K, value: V): void {
    this.#entries.delete(key);
    this.#entries.set(key, value);
    this.#last = key;
    if (this.#entries.size <= this.#limit) return;
    for (const oldest of this.#entries.keys()) {
      this.#entries.delete(oldest);
      return;
    }
  }

  drop(key: K): void {
    this.#entries.delete(key);
  }
}

export interface Rate {
  readonly perSecond: number;
  /** Tokens of a bucket that is full. */
  readonly burst: number;
}

interface Bucket {
  readonly tokens: number;
  readonly atMs: number;
}

/** Buckets that are full again say nothing, and are dropped when there are more than this. */
const BUCKETS = 1024;

/** One token bucket for each key. */
export class Budget {
  readonly #rate: Rate;
  readonly #buckets = new Map<string, Bucket>();

  constructor(rate: Rate) {
    this.#rate = rate;
  }

  /** Takes one token of `key`; false when there is none. */
  take(key: string, nowMs: number): boolean {
    const tokens = this.#filled(this.#buckets.get(key), nowMs);
    if (tokens < 1) return false;
    if (this.#buckets.size >= BUCKETS) this.#prune(nowMs);
    this.#buckets.set(key, { tokens: tokens - 1, atMs: nowMs });
    return true;
  }

  #filled(bucket: Bucket | undefined, nowMs: number): number {
    if (bucket === undefined) return this.#rate.burst;
    const elapsedMs = Math.max(0, nowMs - bucket.atMs);
    return Math.min(this.#rate.burst, bucket.tokens + (elapsedMs * this.#rate.perSecond) / 1000);
  }

  #prune(nowMs: number): void {
    for (const [key, bucket] of this.#buckets) {
      if (this.#filled(bucket, nowMs) >= this.#rate.burst) this.#buckets.delete(key);
    }
  }
}
