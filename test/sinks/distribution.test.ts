import fc from 'fast-check';
import { Histogram, Registry } from 'prom-client';
import { Distribution } from '../../src/sinks/distribution.js';

const BOUNDS = [0.0005, 0.001, 0.25, 1, 60];
const spec = { name: 'phase_seconds', help: 'What the time went into.', label: 'phase', bounds: BOUNDS };

test('a Distribution writes what the histogram of prom-client writes', async () => {
  const observation = fc.tuple(
    fc.constantFrom('dns', 'tls', 'to"tal'),
    fc.oneof(fc.constantFrom(0, ...BOUNDS), fc.double({ min: 0, max: 100, noNaN: true })),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(observation, { maxLength: 40 }), async observations => {
      const [ours, theirs] = [new Registry(), new Registry()];
      const distribution = new Distribution(spec, ours);
      const { name, help } = spec;
      const histogram = new Histogram({
        name,
        help,
        labelNames: ['phase'],
        buckets: BOUNDS,
        registers: [theirs],
      });
      for (const [phase, value] of observations) {
        distribution.series(phase).observe(value);
        histogram.observe({ phase }, value);
      }
      expect(await ours.metrics()).toBe(await theirs.metrics());
    }),
    { seed: 20_261_127, numRuns: 200 },
  );
});

test('a series that was asked for and never observed is not there', async () => {
  const registry = new Registry();
  new Distribution(spec, registry).series('dns');
  expect(await registry.metrics()).not.toContain('dns');
  expect(registry.getMetricsAsArray().map(({ name }) => name)).toEqual(['phase_seconds']);
});
