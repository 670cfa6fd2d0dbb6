/**
 * A histogram of Prometheus whose observations cost an addition: prom-client's own puts together, checks and sorts the
 * labels of each, five times for every request. Pure.
 */
import type { Histogram, Registry } from 'prom-client';

export interface DistributionSpec {
  readonly name: string;
  readonly help: string;
  /** Of the one label. */
  readonly label: string;
  /** Upper bounds, ascending. */
  readonly bounds: readonly number[];
}

/** What was observed under one value of the label: kept by who observes. */
export class Series {
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

export class Distribution {
  readonly #spec: DistributionSpec;
  readonly #series = new Map<string, Series>();

  constructor(spec: DistributionSpec, registry: Registry) {
    this.#spec = spec;
    const { name, help } = spec;
    const get = async (): Promise<object> => ({ name, help, type: 'histogram', values: this.#samples() });
    // A registry asks a metric for its name and for what `get` gives, and for nothing else.
    registry.registerMetric({ name, help, get } as unknown as Histogram);
  }

  /** As many as there are values of the label: the caller bounds them. */
  series(value: string): Series {
    const known = this.#series.get(value);
    if (known !== undefined) return known;
    const series = new Series(this.#spec.bounds);
    this.#series.set(value, series);
    return series;
  }

  #samples(): readonly Sample[] {
    const { name, label } = this.#spec;
    return [...this.#series].flatMap(([value, series]) => series.samples(name, { [label]: value }));
  }
}
