import fc from 'fast-check';
import { encodeEvent } from '../../../src/events/encode.js';
import type { Event } from '../../../src/events/event.js';
import { recordedInLine, recordedOf } from '../../../src/events/report/recorded.js';
import { allowedBody, networkOf, numbered, refusedBody } from '../../support/events.js';

const lineOf = (event: Event): string => encodeEvent(event).slice(0, -1);

const HOSTILE = [
  'plain',
  '","url":"https://other.test/',
  '\\',
  '\\"',
  '"',
  '\\\\"',
  'a\nb\u001b[31m',
  '"network":{"layer":"',
  '\u202e\ud800',
  '',
];
const text = fc.oneof(fc.constantFrom(...HOSTILE), fc.string({ unit: 'binary', maxLength: 40 }));
const nullable = fc.option(text, { nil: null });

test('recordedInLine reads what the encoder wrote as JSON.parse does, whatever stands in it', () => {
  const arbitrary = fc.record({
    method: text,
    url: text,
    host: text,
    flow: nullable,
    reason: nullable,
    rule: nullable,
    destination: nullable,
    protocol: text,
    secrets: fc.array(text, { maxLength: 3 }),
    decision: fc.constantFrom('allow' as const, 'deny' as const),
    port: fc.integer({ min: 0, max: 65_535 }),
    block_reason: text,
  });
  fc.assert(
    fc.property(arbitrary, text, (facts, sandbox) => {
      const event = numbered({ type: 'request.done', sandbox, network: networkOf(facts) }, 7);
      const line = lineOf(event);
      expect(recordedInLine(line)).toEqual(recordedOf(JSON.parse(line) as Event));
    }),
    { seed: 6_031, numRuns: 2_000 },
  );
});

test('recordedInLine says that an event without network facts has none', () => {
  const event = numbered(
    { type: 'gateway.started', sandbox: null, gateway: { message: 'm', detail: [] } },
    1,
  );
  expect(recordedInLine(lineOf(event))).toBeNull();
});

const line = lineOf(numbered(allowedBody(), 3));

test.each([
  ['an empty line', ''],
  ['half a line', line.slice(0, line.length >> 1)],
  ['a line cut before its end', line.slice(0, -1)],
  ['a line of a newer version', line.replace('"version":1', '"version":2')],
  ['keys in another order', JSON.stringify(Object.fromEntries(Object.entries(JSON.parse(line)).reverse()))],
  ['an annotation', lineOf(numbered(allowedBody({ annotations: ['x'] }), 3))],
  ['no JSON at all', '{"version":1,"id":"x","type":"request.done" nonsense}'],
])('recordedInLine leaves %s to the caller', (_name, given) => {
  expect(recordedInLine(given)).toBeUndefined();
});

test('recordedOf tells a refusal from what was let through', () => {
  expect(recordedOf(numbered(refusedBody(), 1))).toMatchObject({ denied: true, reason: 'no-rule' });
  expect(recordedOf(numbered(allowedBody(), 1))).toMatchObject({ denied: false, rule: 'allow_domain[0]' });
});
