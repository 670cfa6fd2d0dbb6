import fc from 'fast-check';
import { encodeEvent } from '../../src/events/encode.js';
import { EventRing } from '../../src/sinks/ring.js';
import { parseWish, Subscription, type Wish } from '../../src/sinks/subscription.js';
import { allowedBody, numbered } from '../support/events.js';

const event = (seq: number) => numbered(allowedBody(), seq);

function ringOf(limit: number, seqs: readonly number[]): EventRing {
  const ring = new EventRing({ events: limit, bytes: 1e9 }, encodeEvent);
  for (const seq of seqs) ring.push(event(seq));
  return ring;
}

const after = (seq: number, gateway = 'g1'): Wish => ({
  place: { kind: 'after', gateway, seq },
  filter: null,
});

function all(subscription: Subscription): unknown[] {
  const steps: unknown[] = [];
  for (let step = subscription.next(); step !== null; step = subscription.next()) {
    steps.push('gap' in step ? step.gap : step.event.seq);
  }
  return steps;
}

const cases: readonly (readonly [string, readonly number[], Wish, number, readonly unknown[]])[] = [
  ['goes on after an event that is held', [1, 2, 3, 4], after(2), 4, [3, 4]],
  ['has nothing after the last', [1, 2, 3], after(3), 3, []],
  ['believes no place in the future', [1, 2, 3], after(99), 3, []],
  ['begins at the oldest', [1, 2, 3], { place: { kind: 'start' }, filter: null }, 3, [1, 2, 3]],
  ['begins with what comes', [1, 2, 3], { place: { kind: 'now' }, filter: null }, 3, []],
  ['tells what was let go', [1, 2, 3, 4, 5, 6], after(1), 6, [{ after: 1, next: 4 }, 4, 5, 6]],
  ['tells no gap where none is', [1, 2, 3, 4, 5, 6], after(3), 6, [4, 5, 6]],
  ['tells that another run is not here', [1, 2], after(9, 'g0'), 2, [{ after: null, next: 1 }, 1, 2]],
  ['takes holes that a filter left for none', [1, 3, 7], after(1), 8, [3, 7]],
];

test.each(cases)('a subscription %s', (_name, seqs, wish, lastSeq, want) => {
  const ring = ringOf(seqs.includes(6) ? 3 : 100, seqs);
  expect(all(new Subscription(ring, wish, 'g1', lastSeq))).toEqual(want);
});

test('a subscription that fell behind goes on with a gap, and then without', () => {
  const ring = ringOf(3, [1]);
  const slow = new Subscription(ring, { place: { kind: 'start' }, filter: null }, 'g1', 1);
  expect(all(slow)).toEqual([1]);
  for (let seq = 2; seq <= 10; seq++) ring.push(event(seq));
  expect(all(slow)).toEqual([{ after: 1, next: 8 }, 8, 9, 10]);
  ring.push(event(11));
  expect(all(slow)).toEqual([11]);
});

test('whenever readers read and however small the ring, each gets every event or is told of the gap', () => {
  fc.assert(
    fc.property(fc.array(fc.boolean(), { maxLength: 60 }), fc.integer({ min: 1, max: 8 }), (turns, limit) => {
      const ring = ringOf(limit, []);
      const reader = new Subscription(ring, { place: { kind: 'start' }, filter: null }, 'g1', 0);
      let seq = 0;
      let next = 1;
      const read = (): void => {
        for (let step = reader.next(); step !== null; step = reader.next()) {
          if ('gap' in step) {
            expect(step.gap.after).toBe(next - 1);
            next = step.gap.next;
          } else {
            expect(step.event.seq).toBe(next);
            next += 1;
          }
        }
      };
      for (const push of turns) {
        if (push) ring.push(event(++seq));
        else read();
      }
      read();
      expect(next).toBe(seq + 1);
      expect(ring.length).toBeLessThanOrEqual(limit);
    }),
    { seed: 6, numRuns: 300 },
  );
});

test('the ring is bounded by bytes too, and always holds the last event', () => {
  const ring = new EventRing({ events: 1_000, bytes: 10_000 }, encodeEvent);
  for (let seq = 1; seq <= 100; seq++) ring.push(event(seq));
  expect(ring.length).toBeLessThan(20);
  ring.push(numbered(allowedBody({ url: `https://a.test/${'x'.repeat(20_000)}` }), 101));
  expect([ring.length, ring.firstSeq]).toEqual([1, 101]);
});

test.each([
  ['', undefined, { kind: 'now' }],
  ['from=start', undefined, { kind: 'start' }],
  ['from=0123456789abcdef-42', undefined, { kind: 'after', gateway: '0123456789abcdef', seq: 42 }],
  ['from=start', 'g1-7', { kind: 'after', gateway: 'g1', seq: 7 }],
])('parseWish reads %j with Last-Event-ID %j', (query, id, place) => {
  expect(parseWish(new URLSearchParams(query), id)).toEqual({ ok: true, value: { place, filter: null } });
});

test.each([
  ['from=42', undefined, 'from is start, now or the id of an event'],
  ['from=g1-0', undefined, 'from is start, now or the id of an event'],
  ['from=start&from=now', undefined, 'the query has from and filter, once each'],
  ['since=1', undefined, 'the query has from and filter, once each'],
  ['', 'x'.repeat(5_000), 'from is start, now or the id of an event'],
  ['filter=network.hots', undefined, 'filter: column 9: No such key: hots'],
])('parseWish refuses %j with Last-Event-ID %j', (query, id, error) => {
  expect(parseWish(new URLSearchParams(query), id)).toEqual({ ok: false, error });
});
