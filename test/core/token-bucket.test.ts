import fc from 'fast-check';
import { createTokenBucket } from '../../src/core/token-bucket.js';

test('a bucket gives its burst at once, then what flows in, and never more than its burst', () => {
  const bucket = createTokenBucket({ perSecond: 10, burst: 3 });
  const takes = (nowMs: number, times: number) => Array.from({ length: times }, () => bucket.take(1, nowMs));
  expect(takes(0, 4)).toEqual([true, true, true, false]);
  expect(takes(99, 1)).toEqual([false]);
  expect(takes(100, 2)).toEqual([true, false]);
  expect(takes(60_000, 4)).toEqual([true, true, true, false]);
});

test('a clock that steps back adds nothing', () => {
  const bucket = createTokenBucket({ perSecond: 1, burst: 1 });
  expect([bucket.take(1, 5000), bucket.take(1, 0), bucket.take(1, 5000)]).toEqual([true, false, false]);
});

test('what was overdrawn is waited for', () => {
  const bucket = createTokenBucket({ perSecond: 1000, burst: 10 }, 0);
  expect(bucket.waitMs(0)).toBe(0);
  bucket.spend(250, 0);
  expect([bucket.waitMs(0), bucket.waitMs(200), bucket.waitMs(250)]).toEqual([250, 50, 0]);
});

test('in any time no more is taken than the burst and what flowed in', () => {
  const steps = fc.array(fc.record({ passMs: fc.nat(500), tokens: fc.nat(20) }), { maxLength: 200 });
  fc.assert(
    fc.property(
      steps,
      fc.integer({ min: 1, max: 100 }),
      fc.integer({ min: 1, max: 50 }),
      (list, perSecond, burst) => {
        const bucket = createTokenBucket({ perSecond, burst });
        let nowMs = 0;
        let taken = 0;
        for (const { passMs, tokens } of list) {
          nowMs += passMs;
          if (bucket.take(tokens, nowMs)) taken += tokens;
          expect(taken).toBeLessThanOrEqual(burst + (nowMs / 1000) * perSecond + 1e-6);
        }
      },
    ),
    { seed: 53, numRuns: 200 },
  );
});
