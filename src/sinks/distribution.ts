/**
 * A histogram of Prometheus whose observations cost an addition: prom-client's own puts together, checks and sorts the
 * labels of each, five times for every request. Pure.
 */
import type { Histogram, Registry } from 'prom-client';

export interface HistogramSpec {
  readonly name: string;
  readonly help: string;
  /** The one there is. */
  readonly label: string;
}

/** What was observed under one value of the label: kept by who observes. */
export class Series {
  /** Upper bounds, ascending. */
  readonly #bounds: Float64Array;
  /** Not cumulative; what is above all bounds is in `count` alone. */
  readonly #buckets: Float64Array;
  #sum = 0;
  #count = 0;

  constructor(bounds: readonly number[]) {
    this.#bounds = Float64Array.from(bounds);
    this.#buckets = new Float64Array(bounds.length);
  }

  observe(value: number): void {
    const bounds = this.#bounds;
    let at = 0;
    while (at < bounds.length && value > (bounds[at] as number)) at++;
    if (at < bounds.length) this.#buckets[at] = (this.#buckets[at] as number) + 1;
    this.#sum += value;
    this.#count += 1;
  }

  /** Takes over all that `other`, of the same bounds, has observed. */
  add(other: Series): void {
    this.#buckets.forEach((count, at) => {
      this.#buckets[at] = count + (other.#buckets[at] ?? 0);
    });
    this.#sum += other.#sum;
    this.#count += other.#count;
  }

  /** None where nothing was observed. */
  samples(name: string, labels: Readonly<Record<string, string>>): readonly Sample[] {
    if (this.#count === 0) return [];
    let below = 0;
    const buckets = [...this.#buckets].map((count, at) => {
      below += count;
      return { metricName: `${name}_bucket`, labels: { le: this.#bounds[at] ?? 0, ...labels }, value: below };
    });
    return [
      ...buckets,
      { metricName: `${name}_bucket`, labels: { le: '+Inf', ...labels }, value: this.#count },
      { metricName: `${name}_sum`, labels, value: this.#sum },
      { metricName: `${name}_count`, labels, value: this.#count },
    ];
  }
}

interface Sample {
  readonly metricName: string;
  readonly labels: Readonly<Record<string, string | number>>;
  readonly value: number;
}

/**
 * Shows in `registry` what `series` gives at each scrape, by the value of the label: the caller bounds how many there
 * are.
 */
export function registerHistogram(
  registry: Registry,
  spec: HistogramSpec,
  series: () => Iterable<readonly [value: string, series: Series]>,
): void {
  const { name, help, label } = spec;
  const samples = (): readonly Sample[] =>
    [...series()].flatMap(([value, one]) => one.samples(name, { [label]: value }));
  const get = async (): Promise<object> => ({ name, help, type: 'histogram', values: samples() });
  // A registry asks a metric for its name and for what `get` gives, and for nothing else.
  registry.registerMetric({ name, help, get } as unknown as Histogram);
}
