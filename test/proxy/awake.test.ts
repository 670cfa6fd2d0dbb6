import { Vigil } from '../../src/proxy/awake.js';

/** A clock and a loop that do what they are told. */
function loop() {
  let now = 1_000;
  let turn: (() => void) | null = null;
  const vigil = new Vigil({ monotonic: () => now }, next => {
    turn = next;
  });
  return {
    bytesAfter: (milliseconds: number): void => {
      now += milliseconds;
      vigil.noteBytes();
    },
    /** How often the loop turns before it sleeps, each turn taking so long. */
    turnsOf: (milliseconds: number): number => {
      let turns = 0;
      for (; turn !== null && turns < 1_000; turns++) {
        const next: () => void = turn;
        turn = null;
        now += milliseconds;
        next();
      }
      return turns;
    },
  };
}

test('the loop turns for a quarter of a millisecond after bytes that came soon', () => {
  const { bytesAfter, turnsOf } = loop();
  bytesAfter(0);
  bytesAfter(0.1);
  expect(Math.abs(turnsOf(0.01) - 25)).toBeLessThanOrEqual(1);
  expect(turnsOf(0.01)).toBe(0);
});

test('bytes that come meanwhile keep it awake', () => {
  const { bytesAfter, turnsOf } = loop();
  bytesAfter(0);
  bytesAfter(0.2);
  bytesAfter(0.2);
  expect(turnsOf(0.05)).toBeGreaterThanOrEqual(5);
});

test('a single request in a while never keeps it turning', () => {
  const { bytesAfter, turnsOf } = loop();
  for (let times = 0; times < 10; times++) {
    bytesAfter(1_000);
    expect(turnsOf(0.01)).toBe(0);
    bytesAfter(20);
    expect(turnsOf(0.01)).toBe(0);
  }
});

test('an upstream that has become slow is waited for asleep after two answers', () => {
  const { bytesAfter, turnsOf } = loop();
  for (let times = 0; times < 50; times++) bytesAfter(0.1);
  turnsOf(0.01);
  bytesAfter(20);
  expect(turnsOf(0.01)).toBeGreaterThan(0);
  bytesAfter(20);
  expect(turnsOf(0.01)).toBe(0);
});

test('it sleeps for a while where somebody else wants the processor', () => {
  const { bytesAfter, turnsOf } = loop();
  bytesAfter(0);
  bytesAfter(0.1);
  turnsOf(0.11);
  bytesAfter(0.1);
  expect(turnsOf(0.01)).toBe(0);
  bytesAfter(50);
  for (let times = 0; times < 8; times++) bytesAfter(0.1);
  expect(turnsOf(0.01)).toBeGreaterThan(0);
});
