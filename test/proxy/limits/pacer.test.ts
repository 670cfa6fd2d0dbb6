import fc from 'fast-check';
import { createPacer, type Pacer, type Schedule } from '../../../src/proxy/limits/pacer.js';

/** Time that stands still until it is told to go on; a timer fires `lateMs()` after it is due. */
function simulation(lateMs: () => number = () => 0) {
  let nowMs = 0;
  const timers = new Set<{ atMs: number; run: () => void }>();
  const later: Schedule = (delayMs, run) => {
    const timer = { atMs: nowMs + delayMs + lateMs(), run };
    timers.add(timer);
    return () => void timers.delete(timer);
  };
  const advanceTo = (untilMs: number): void => {
    for (;;) {
      const [next] = [...timers].sort((a, b) => a.atMs - b.atMs);
      if (next === undefined || next.atMs > untilMs) break;
      nowMs = Math.max(nowMs, next.atMs);
      timers.delete(next);
      next.run();
    }
    nowMs = untilMs;
  };
  return { clock: { now: () => nowMs, monotonic: () => nowMs }, later, advanceTo, timers };
}

/** A flow that wants as much as it can get, `size` bytes at a time; counts what it got. */
function greedy(pacer: Pacer, size = (): number => pacer.quantum): { bytes: number } {
  const got = { bytes: 0 };
  const ask = (): void => {
    const bytes = size();
    pacer.pass(bytes, () => {
      got.bytes += bytes;
      ask();
    });
  };
  ask();
  return got;
}

const RATES = [1_000, 64_000, 1_250_000, 125_000_000];

test.each(RATES)(
  'at %i bytes a second the bytes of 10 s are within 5 %%, timers late by up to 60 ms',
  rate => {
    let seed = 1;
    const world = simulation(() => {
      seed = (seed * 48_271) % 2_147_483_647;
      return seed % 60;
    });
    const got = greedy(createPacer(rate, world.clock, world.later));
    world.advanceTo(10_000);
    expect(got.bytes / (rate * 10)).toBeGreaterThan(0.95);
    expect(got.bytes / (rate * 10)).toBeLessThan(1.05);
  },
);

test('flows that all want everything share it evenly, whenever they come', () => {
  const world = simulation();
  const pacer = createPacer(1_000_000, world.clock, world.later);
  const flows = Array.from({ length: 8 }, () => greedy(pacer));
  world.advanceTo(5_000);
  const latecomer = greedy(pacer);
  const before = flows.map(flow => flow.bytes);
  world.advanceTo(15_000);
  const shares = [...flows.map((flow, i) => flow.bytes - (before[i] ?? 0)), latecomer.bytes];
  for (const share of shares) expect(Math.abs(share / (10_000_000 / 9) - 1)).toBeLessThan(0.05);
});

test('a flow that wants little gets it at its next turn, beside one that wants everything', () => {
  const world = simulation();
  const pacer = createPacer(1_000_000, world.clock, world.later);
  greedy(pacer);
  world.advanceTo(1_000);
  let passedAtMs = 0;
  pacer.pass(100, () => {
    passedAtMs = world.clock.monotonic();
  });
  world.advanceTo(2_000);
  expect(passedAtMs - 1_000).toBeLessThanOrEqual(45);
});

test('a turn that was taken back costs nothing, and the last one takes its timer along', () => {
  const world = simulation();
  const pacer = createPacer(1_000, world.clock, world.later);
  pacer.pass(500, () => undefined);
  const drops = [1, 2].map(() => pacer.pass(500, () => expect(true).toBe(false)));
  expect(world.timers.size).toBe(1);
  for (const drop of drops) drop();
  expect(world.timers.size).toBe(0);
  let passed = false;
  pacer.pass(1, () => {
    passed = true;
  });
  world.advanceTo(500);
  expect(passed).toBe(true);
});

test('a new rate holds at once, though a turn of the old one was far away', () => {
  const world = simulation();
  const pacer = createPacer(10, world.clock, world.later);
  const got = greedy(pacer);
  world.advanceTo(100);
  pacer.changeRate(1_000_000);
  world.advanceTo(10_100);
  expect(Math.abs(got.bytes / 10_000_000 - 1)).toBeLessThan(0.05);
});

test('whatever sizes are asked for, never more passes than the rate, a quantum and the burst', () => {
  const sizes = fc.array(fc.integer({ min: 1, max: 2_000 }), { minLength: 1, maxLength: 50 });
  fc.assert(
    fc.property(sizes, fc.nat(100), (list, late) => {
      const world = simulation(() => late);
      const pacer = createPacer(100_000, world.clock, world.later);
      let i = 0;
      const got = greedy(pacer, () => list[i++ % list.length] ?? 1);
      for (let atMs = 100; atMs <= 3_000; atMs += 100) {
        world.advanceTo(atMs);
        expect(got.bytes).toBeLessThanOrEqual(100 * atMs + 10_000 + 2_000);
      }
    }),
    { seed: 53, numRuns: 50 },
  );
});
