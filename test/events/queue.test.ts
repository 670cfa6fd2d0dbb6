import fc from 'fast-check';
import { EventQueue } from '../../src/events/queue.js';
import { allowedBody, numbered, refusedBody } from '../support/events.js';

const allow = (seq: number) => numbered(allowedBody(), seq);
const deny = (seq: number) => numbered(refusedBody(), seq);
const roomy = 1_000_000;

test('a queue gives events back in the order of their numbers, whatever they decided', () => {
  const queue = new EventQueue({ events: 10, bytes: roomy });
  for (const event of [allow(1), deny(2), deny(3), allow(4)]) queue.push(event);
  expect(queue.take(3).map(event => event.seq)).toEqual([1, 2, 3]);
  expect(queue.take(3).map(event => event.seq)).toEqual([4]);
  expect(queue).toMatchObject({ length: 0, bytes: 0 });
});

test('a full queue loses the event that allows and counts it', () => {
  const queue = new EventQueue({ events: 2, bytes: roomy });
  for (const event of [allow(1), deny(2), allow(3), allow(4)]) queue.push(event);
  expect(queue.takeLoss()).toEqual({ allowed: 2, denied: 0, firstSeq: 3, lastSeq: 4 });
  expect(queue.takeLoss()).toBeNull();
  expect(queue.take(9).map(event => event.seq)).toEqual([1, 2]);
});

test('a full queue makes room for a refusal by losing the oldest event that allows', () => {
  const queue = new EventQueue({ events: 2, bytes: roomy });
  for (const event of [allow(1), allow(2), deny(3)]) queue.push(event);
  expect(queue.take(9).map(event => event.seq)).toEqual([2, 3]);
  expect(queue.takeLoss()).toEqual({ allowed: 1, denied: 0, firstSeq: 1, lastSeq: 1 });
});

test('a queue full of refusals loses a refusal, and counts it as one', () => {
  const queue = new EventQueue({ events: 2, bytes: roomy });
  for (const event of [deny(1), deny(2), deny(3)]) queue.push(event);
  expect(queue.take(9).map(event => event.seq)).toEqual([1, 2]);
  expect(queue.takeLoss()).toEqual({ allowed: 0, denied: 1, firstSeq: 3, lastSeq: 3 });
});

test('a queue is full by bytes as well as by count', () => {
  const queue = new EventQueue({ events: 1_000, bytes: 20_000 });
  for (let seq = 1; seq <= 20; seq++) queue.push(numbered(allowedBody({ url: 'x'.repeat(2_000) }), seq));
  expect(queue.bytes).toBeLessThanOrEqual(20_000);
  expect(queue.length + queue.lost).toBe(20);
});

test('a queue stays bounded, ordered and honest under any mix of events', () => {
  const mix = fc.array(fc.record({ denies: fc.boolean(), takes: fc.nat(3) }), { maxLength: 300 });
  fc.assert(
    fc.property(mix, fc.integer({ min: 1, max: 20 }), (steps, events) => {
      const queue = new EventQueue({ events, bytes: roomy });
      const taken: number[] = [];
      steps.forEach(({ denies, takes }, index) => {
        queue.push(denies ? deny(index + 1) : allow(index + 1));
        expect(queue.length).toBeLessThanOrEqual(events);
        taken.push(...queue.take(takes).map(event => event.seq));
      });
      taken.push(...queue.take(events).map(event => event.seq));
      expect(taken).toEqual([...taken].sort((a, b) => a - b));
      expect(taken.length + queue.lost).toBe(steps.length);
    }),
    { seed: 20_261_122, numRuns: 200 },
  );
});
