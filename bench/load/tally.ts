/** What a measurement counts. */
import type { Outcome } from './command.js';

/** Latencies kept of one measurement: the first so many, then every n-th replaced. */
const SAMPLES = 1 << 18;

export class Tally {
  readonly #latencies = new Float64Array(SAMPLES);
  readonly #errors = new Map<string, number>();
  #count = 0;
  #bytes = 0;
  readonly #startedMs = performance.now();

  /** One request that began at `startMs` is over; `fault` is null when its answer was as it should be. */
  note(fault: string | null, startMs: number, bytes: number): void {
    if (fault !== null) {
      this.#errors.set(fault, (this.#errors.get(fault) ?? 0) + 1);
      return;
    }
    this.#latencies[this.#count % SAMPLES] = performance.now() - startMs;
    this.#count += 1;
    this.#bytes += bytes;
  }

  outcome(): Outcome {
    const sorted = this.#latencies.subarray(0, Math.min(this.#count, SAMPLES)).sort();
    const at = (share: number): number =>
      sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
    return {
      count: this.#count,
      bytes: this.#bytes,
      seconds: (performance.now() - this.#startedMs) / 1000,
      p50: at(0.5),
      p99: at(0.99),
      errors: Object.fromEntries(this.#errors),
    };
  }
}
