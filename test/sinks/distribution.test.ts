import fc from 'fast-check';
import { Histogram, Registry } from 'prom-client';
import { registerHistogram, Series } from '../../src/sinks/distribution.js';

const BOUNDS = [0.0005, 0.001, 0.25, 1, 60];
const spec = { name: 'phase_seconds', help: 'What the time went into.', label: 'phase' };

test('registerHistogram writes what the histogram of prom-client writes', async () => {
  const observation = fc.tuple(
    fc.constantFrom('dns', 'tls', 'to"tal'),
    fc.oneof(fc.constantFrom(0, ...BOUNDS), fc.double({ min: 0, max: 100, noNaN: true })),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(observation, { maxLength: 40 }), async observations => {
      const [ours, theirs] = [new Registry(), new Registry()];
      const series = new Map<string, Series>();
      registerHistogram(ours, spec, () => series);
      const { name, help } = spec;
      const histogram = new Histogram({
        name,
        help,
        labelNames: ['phase'],
        buckets: BOUNDS,
        registers: [theirs],
      });
      for (const [phase, value] of observations) {
        const known = series.get(phase) ?? new Series(BOUNDS);
        series.set(phase, known);
        known.observe(value);
        histogram.observe({ phase }, value);
      }
      expect(await ours.metrics()).toBe(await theirs.metrics());
    }),
    { seed: 20_261_127, numRuns: 200 },
  );
});

test('a series in which nothing was observed is not there', async () => {
  const registry = new Registry();
  registerHistogram(registry, spec, () => [['dns', new Series(BOUNDS)]]);
  expect(await registry.metrics()).not.toContain('dns');
  expect(registry.getMetricsAsArray().map(({ name }) => name)).toEqual(['phase_seconds']);
});

test('a series that takes over another has observed what both have', () => {
  const [one, two, both] = [new Series(BOUNDS), new Series(BOUNDS), new Series(BOUNDS)];
  [0.0001, 0.5, 70].forEach((value, at) => {
    (at === 1 ? one : two).observe(value);
    both.observe(value);
  });
  one.add(two);
  expect(one.samples('x', {})).toEqual(both.samples('x', {}));
});
