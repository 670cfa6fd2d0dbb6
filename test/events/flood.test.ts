import fc from 'fast-check';
import type { EventBody } from '../../src/events/event.js';
import { FloodGate } from '../../src/events/flood.js';
import { allowedBody, networkOf, refusedBody } from '../support/events.js';

const dns: EventBody = { type: 'dns.refused', sandbox: 'sb1', network: networkOf({ reason: 'no-rule' }) };

test('refusals up to the rate pass as they are', () => {
  const gate = new FloodGate(3);
  for (let i = 0; i < 3; i++) expect(gate.pass(refusedBody(), i)).toEqual([refusedBody()]);
});

test('refusals beyond the rate are counted by kind and reason, and told when the second is over', () => {
  const gate = new FloodGate(1);
  gate.pass(refusedBody(), 0);
  expect(gate.pass(refusedBody(), 10)).toEqual([]);
  expect(gate.pass(dns, 20)).toEqual([]);
  expect(gate.pass(dns, 30)).toEqual([]);
  expect(gate.pass(allowedBody(), 1_000)).toEqual([
    {
      type: 'gateway.repeated',
      sandbox: 'sb1',
      gateway: {
        message: '3 more refusals within a second',
        detail: ['request.refused no-rule 1', 'dns.refused no-rule 2'],
      },
    },
    allowedBody(),
  ]);
});

test('one sandbox that floods costs another none of its lines', () => {
  const gate = new FloodGate(1);
  for (let i = 0; i < 10; i++) gate.pass(refusedBody(), 0);
  const other = { ...refusedBody(), sandbox: 'sb2' };
  expect(gate.pass(other, 1)).toEqual([other]);
});

test('a leak and an allowed request are never counted away', () => {
  const gate = new FloodGate(1);
  const leak: EventBody = { type: 'secret.leak', sandbox: 'sb1', network: networkOf({ decision: 'deny' }) };
  for (const body of [refusedBody(), leak, allowedBody(), leak]) expect(gate.pass(body, 0)).toEqual([body]);
});

test('drain tells what nobody was told of', () => {
  const gate = new FloodGate(1);
  for (let i = 0; i < 3; i++) gate.pass(refusedBody(), 0);
  expect(gate.drain()).toMatchObject([{ gateway: { detail: ['request.refused no-rule 2'] } }]);
  expect(gate.drain()).toEqual([]);
});

test('every refusal is listed or counted, whatever the rate, the sandboxes and the time between', () => {
  const steps = fc.array(fc.record({ sandbox: fc.constantFrom('a', 'b', 'c'), afterMs: fc.nat(600) }), {
    maxLength: 200,
  });
  fc.assert(
    fc.property(steps, fc.integer({ min: 1, max: 5 }), (list, perSecond) => {
      const gate = new FloodGate(perSecond);
      let now = 0;
      const told = list.flatMap(({ sandbox, afterMs }) => {
        now += afterMs;
        return gate.pass({ ...refusedBody(), sandbox }, now);
      });
      const counts = [...told, ...gate.drain()].map(({ type, gateway }) =>
        type === 'gateway.repeated' ? Number(gateway?.detail[0]?.split(' ').at(-1)) : 1,
      );
      expect(counts.reduce((sum, times) => sum + times, 0)).toBe(list.length);
    }),
    { seed: 20_261_122, numRuns: 200 },
  );
});
