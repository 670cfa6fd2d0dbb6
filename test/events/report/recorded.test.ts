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
const text = fc.oneof(
  { weight: 40, arbitrary: fc.stringMatching(/^[a-z0-9:/ ,{}[\]]{0,30}$/) },
  { weight: 1, arbitrary: fc.constantFrom(...HOSTILE) },
  { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 40 }) },
);
const nullable = fc.option(text, { nil: null });

test('recordedInLine reads what the encoder wrote as JSON.parse does, or leaves it', () => {
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
  const seen = { read: 0, left: 0 };
  fc.assert(
    fc.property(arbitrary, text, (facts, sandbox) => {
      const line = lineOf(numbered({ type: 'request.done', sandbox, network: networkOf(facts) }, 7));
      const quick = recordedInLine(line);
      seen[quick === null ? 'left' : 'read'] += 1;
      if (quick !== null) expect(quick).toEqual(recordedOf(JSON.parse(line) as Event));
      // Only what was escaped is left.
      else expect(line).toContain('\\');
    }),
    { seed: 6_031, numRuns: 3_000 },
  );
  for (const times of Object.values(seen)) expect(times).toBeGreaterThan(50);
});

test('recordedInLine reads an event as it comes, timings and would_deny included', () => {
  const timings = { dns_ms: null, connect_ms: 1.5, tls_ms: null, first_byte_ms: 2, total_ms: 3.25 };
  for (const body of [
    allowedBody(),
    refusedBody(),
    allowedBody({ timings, would_deny: 'no-rule', secrets: ['A', 'B'] }),
  ]) {
    const event = numbered(body, 3);
    expect(recordedInLine(lineOf(event))).toEqual(recordedOf(event));
  }
});

const line = lineOf(numbered(allowedBody(), 3));

test.each([
  ['an empty line', ''],
  ['half a line', line.slice(0, line.length >> 1)],
  ['a line cut before its end', line.slice(0, -1)],
  ['a line of a newer version', line.replace('"version":1', '"version":2')],
  ['keys in another order', JSON.stringify(Object.fromEntries(Object.entries(JSON.parse(line)).reverse()))],
  ['an annotation', lineOf(numbered(allowedBody({ annotations: ['x'] }), 3))],
  [
    'an event of no network',
    lineOf(numbered({ type: 'gateway.started', sandbox: null, gateway: { message: 'm', detail: [] } }, 1)),
  ],
  ['no JSON at all', '{"version":1,"id":"x","type":"request.done" nonsense}'],
])('recordedInLine leaves %s to the caller', (_name, given) => {
  expect(recordedInLine(given)).toBeNull();
});

test('recordedOf tells a refusal from what was let through', () => {
  expect(recordedOf(numbered(refusedBody(), 1))).toMatchObject({ denied: true, reason: 'no-rule' });
  expect(recordedOf(numbered(allowedBody(), 1))).toMatchObject({ denied: false, rule: 'allow_domain[0]' });
});
