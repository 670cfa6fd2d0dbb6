import fc from 'fast-check';
import { Quantiles } from '../../../src/events/report/quantiles.js';
import { Tally } from '../../../src/events/report/tally.js';

test('Quantiles are within six per cent of the exact ones', () => {
  const durations = fc.array(fc.double({ min: 0.02, max: 1e7, noNaN: true }), {
    minLength: 1,
    maxLength: 400,
  });
  fc.assert(
    fc.property(durations, fc.constantFrom(0.5, 0.9, 0.99, 1), (values, q) => {
      const quantiles = new Quantiles();
      for (const value of values) quantiles.add(value);
      const sorted = [...values].sort((a, b) => a - b);
      const exact = sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)] ?? 0;
      expect(Math.abs(quantiles.at(q) - exact)).toBeLessThanOrEqual(exact * 0.06);
    }),
    { seed: 6_033, numRuns: 300 },
  );
});

test('Quantiles of nothing are zero', () => {
  expect(new Quantiles().at(0.5)).toBe(0);
});

test('a Tally without room counts together what came later', () => {
  const tally = new Tally(() => ({ times: 0 }), 2);
  for (const key of ['a', 'b', 'c', '__proto__', 'a']) tally.at(key).times += 1;
  expect(tally.ranked(({ times }) => times)).toEqual([
    ['a', { times: 2 }],
    ['b', { times: 1 }],
  ]);
  expect(tally.rest).toEqual({ times: 2 });
});
