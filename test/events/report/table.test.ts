import { isDenialOrWouldBe } from '../../../src/events/denial.js';
import type { BodyEvent } from '../../../src/events/event.js';
import { csvRow } from '../../../src/events/report/csv.js';
import { StatsCounter } from '../../../src/events/report/stats.js';
import { statsText } from '../../../src/events/report/stats-text.js';
import { createTable, sizeText } from '../../../src/events/report/table.js';
import { allowedBody, networkOf, numbered, refusedBody } from '../../support/events.js';

const plain = createTable({ colour: false, width: null });

test('a row says when, who, what, how it ended and where to', () => {
  expect(plain.row(numbered(allowedBody(), 5))).toMatch(
    /^22:13:20\.005 sb1 {10}request\.done {4}200 +2\.1K +13 GET https:\/\/allowed\.test\/p {2}\[allow_domain\[0\]\]$/,
  );
  expect(plain.row(numbered(refusedBody(), 5))).toMatch(/request\.refused no 403.*\(no-rule\)$/);
});

test('a row tells of a content without showing it', () => {
  const body: BodyEvent = {
    flow: 'f1',
    request: 'r1',
    side: 'request',
    mime_type: 'text/plain',
    size: 7,
    encoding: 'text',
    text: 'content',
    truncated: false,
  };
  const event = numbered({ type: 'body.captured', sandbox: 'sb1', body }, 1);
  expect(plain.row(event)).toMatch(/body\.captured +7 +request of r1, text\/plain$/);
  expect(csvRow(event)).toMatch(/,"request of r1, text\/plain, 7 bytes"\r\n$/);
});

test('a row tells what shadow let pass, and by which rule it would have been refused', () => {
  const body = allowedBody({ would_deny: 'deny-rule', rule: 'deny_domain[1]' });
  expect(plain.row(numbered(body, 1))).toMatch(/shadow .*\(deny-rule by deny_domain\[1\]\)$/);
});

test.each([
  ['a url', { url: 'https://allowed.test/\u001b[2J\n\u202e' }],
  ['a method', { method: 'GET\r\n\u0007' }],
  ['a host', { url: '', host: '\u009b31m' }],
  ['a secret', { secrets: ['\u001b]0;x\u0007'] }],
  ['a rule', { rule: 'x\ny' }],
])('%s of a stranger stays printable ASCII on one line', (_name, differs) => {
  const event = numbered(allowedBody(differs), 1);
  expect(plain.row(event)).toMatch(/^[\x20-\x7e]*$/);
  expect(csvRow(event)).toMatch(/^[\x20-\x7e]*\r\n$/);
  const counter = new StatsCounter();
  counter.add(event);
  const text = statsText(counter.result(), { colour: false, width: 80, bar: '#', most: 9 });
  expect(text).toMatch(/^[\x20-\x7e\n]*$/);
});

test('a row is cut to the terminal, and painted only where that is wanted', () => {
  const narrow = createTable({ colour: true, width: 60 });
  expect(narrow.row(numbered(refusedBody(), 1))).toMatch(/^\u001b\[31m.{59}>\u001b\[0m$/);
  expect(narrow.row(numbered(allowedBody(), 1))).toMatch(/^[^\u001b]{60}$/);
  expect(narrow.header.length).toBeLessThanOrEqual(60);
});

test.each([
  ['a refusal', refusedBody(), true],
  ['what shadow let pass', allowedBody({ would_deny: 'no-rule' }), true],
  ['what was allowed', allowedBody(), false],
  ['a leak', { ...refusedBody({ reason: 'secret-leak' }), type: 'secret.leak' as const }, true],
  [
    'a loss',
    { type: 'gateway.dropped' as const, sandbox: null, gateway: { message: 'x', detail: [] } },
    true,
  ],
])('isDenialOrWouldBe knows %s', (_name, body, want) => {
  expect(isDenialOrWouldBe(numbered(body, 1))).toBe(want);
});

test('sizes are short', () => {
  expect([0, 999, 1_000, 4_096, 1_234_567, 5e12].map(sizeText)).toEqual([
    '0',
    '999',
    '1.0K',
    '4.0K',
    '1.2M',
    '4.5T',
  ]);
});

test('a field that a spreadsheet would take for a formula is none', () => {
  for (const sign of ['=', '+', '-', '@']) {
    expect(csvRow(numbered(allowedBody({ method: `${sign}HYPERLINK("x")` }), 1))).toContain(
      `"'${sign}HYPERLINK(""x"")"`,
    );
  }
});

test('stats count each thing once, by host, rule and reason', () => {
  const counter = new StatsCounter();
  const flow = networkOf({ layer: 'tcp', destination: null });
  for (const body of [
    allowedBody({ duration_ms: 10 }),
    allowedBody({ duration_ms: 1_000, would_deny: 'no-rule' }),
    refusedBody(),
    { ...allowedBody({ reason: 'UPSTREAM_TIMEOUT' }), type: 'request.failed' as const },
    { type: 'flow.opened' as const, sandbox: 'sb1', network: flow },
    { type: 'flow.closed' as const, sandbox: 'sb1', network: flow },
    { type: 'gateway.closed' as const, sandbox: null, gateway: { message: 'closed', detail: [] } },
  ])
    counter.add(numbered(body, 1));
  const stats = counter.result();
  expect(stats).toMatchObject({ events: 7, allowed: 2, denied: 1, failed: 1, wouldDeny: 1 });
  expect(stats.hosts).toMatchObject([{ host: 'allowed.test', allowed: 2, denied: 1, failed: 1 }]);
  expect(stats.reasons).toContainEqual({ name: 'no-rule', times: 2 });
  expect(stats.talkers[0]).toMatchObject({ sandbox: 'sb1', events: 6, bytes: 4 * 2_168 });
  expect(stats.p99Ms).toBeGreaterThan(900);
  const text = statsText(stats, { colour: false, width: 120, bar: '#', most: 5 });
  expect(text).toMatch(/^allowed\.test .* #+x+$/m);
});
