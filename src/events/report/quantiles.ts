/**
 * Quantiles of durations in little memory: counts in buckets that grow by a tenth, so that what is told is at most five
 * per cent off whatever the number of values. Pure.
 */

const GROWTH = Math.log(1.1);

/** Of milliseconds: from 0.01 to two days. */
const LEAST = 0.01;
const BUCKETS = 250;

export class Quantiles {
  readonly #counts = new Uint32Array(BUCKETS);
  #total = 0;
  #max = 0;

  add(ms: number): void {
    const bucket = ms <= LEAST ? 0 : Math.min(BUCKETS - 1, 1 + Math.floor(Math.log(ms / LEAST) / GROWTH));
    this.#counts[bucket] = (this.#counts[bucket] ?? 0) + 1;
    this.#total += 1;
    if (ms > this.#max) this.#max = ms;
  }

  get count(): number {
    return this.#total;
  }

  /** The value that a share of `q` (0 to 1) does not exceed; 0 where there are none. */
  at(q: number): number {
    if (this.#total === 0) return 0;
    let left = Math.max(1, Math.ceil(q * this.#total));
    for (const [bucket, count] of this.#counts.entries()) {
      left -= count;
      if (left <= 0) return Math.min(this.#max, middleOf(bucket));
    }
    return this.#max;
  }
}

function middleOf(bucket: number): number {
  return bucket === 0 ? LEAST : LEAST * Math.exp((bucket - 0.5) * GROWTH);
}
