import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { cut, encodeEvent, LIST_LIMIT, printable, TEXT_LIMIT, URL_LIMIT } from '../../src/events/encode.js';
import type { Event } from '../../src/events/event.js';
import { allowedBody, networkOf, numbered, refusedBody } from '../support/events.js';

const PRINTABLE_LINE = /^[\x20-\x7e]+\n$/;

const decoded = (event: Event): Event => JSON.parse(encodeEvent(event)) as Event;

const textCases = [
  { name: 'a line feed and a forged record', text: 'a\r\n{"type":"request.done"}' },
  { name: 'a quote that would end the string', text: '","blocked":false,"x":"' },
  { name: 'C0 controls', text: '\u0000\u0001\u0007\b\u000b\f\u001b[31m' },
  { name: 'DEL and C1 controls', text: '\u007f\u0085\u009b31m' },
  { name: 'line and paragraph separators', text: 'a\u2028b\u2029c' },
  { name: 'bidirectional overrides and isolates', text: '\u202egnp.exe\u2066\u2069\u200f\u061c' },
  { name: 'zero-width characters and a byte order mark', text: '\u200b\u2060\ufeff' },
  { name: 'a lone high surrogate', text: 'a\ud800b' },
  { name: 'a lone low surrogate', text: 'a\udc00b' },
  { name: 'characters beyond the basic plane', text: '😀\u{e0041}' },
  { name: 'a prototype key', text: '__proto__' },
  { name: 'a backslash before what looks like an escape', text: '\\u000a\\n' },
];

for (const { name, text } of textCases) {
  test(`encodeEvent keeps ${name} on one printable line that parses back`, () => {
    const event = numbered(allowedBody({ method: text, url: text, host: text, rule: text }), 7);
    const line = encodeEvent(event);
    expect(line).toMatch(PRINTABLE_LINE);
    expect(JSON.parse(line)).toEqual(event);
  });
}

test('cut counts what it leaves out, in code units', () => {
  expect(cut('a'.repeat(TEXT_LIMIT))).toHaveLength(TEXT_LIMIT);
  expect(cut(`${'a'.repeat(TEXT_LIMIT)}bcd`)).toBe(`${'a'.repeat(TEXT_LIMIT)}…[+3]`);
});

test('cut leaves a pair of surrogates whole or out', () => {
  expect(cut('ab😀c', 3)).toBe('ab…[+3]');
  expect(cut('ab😀c', 4)).toBe('ab😀…[+1]');
});

test('encodeEvent gives the URL more room than other strings', () => {
  const long = 'x'.repeat(URL_LIMIT + 5);
  const { network } = decoded(numbered(allowedBody({ url: long, host: long }), 1));
  expect(network?.url).toBe(`${'x'.repeat(URL_LIMIT)}…[+5]`);
  expect(network?.host).toBe(`${'x'.repeat(TEXT_LIMIT)}…[+${URL_LIMIT + 5 - TEXT_LIMIT}]`);
});

test('encodeEvent cuts a list by entries and by total length', () => {
  const exec = (command: readonly string[]): Event =>
    numbered({ type: 'exec.started', sandbox: null, exec: { command, exit_code: null, duration_ms: 0 } }, 1);
  const many = decoded(exec(Array.from({ length: 1_000 }, () => 'a'))).exec?.command;
  expect(many).toHaveLength(LIST_LIMIT.entries + 1);
  expect(many?.at(-1)).toBe(`…[+${1_000 - LIST_LIMIT.entries}]`);
  const large = decoded(exec(Array.from({ length: 100 }, () => 'b'.repeat(2_000)))).exec?.command;
  expect(large?.join('').length).toBeLessThan(LIST_LIMIT.units + 20);
});

test('printable writes what is not printable ASCII as \\uXXXX and leaves the rest alone', () => {
  expect(printable('plain text')).toBe('plain text');
  expect(printable('ü\u001b')).toBe('\\u00fc\\u001b');
});

const anyText = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 40 }),
  fc
    .array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 40 })
    .map(units => String.fromCharCode(...units)),
);

test('encodeEvent makes one printable line that parses back, whatever the strings', () => {
  fc.assert(
    fc.property(anyText, anyText, fc.array(anyText, { maxLength: 4 }), (a, b, list) => {
      const body = refusedBody({ url: a, host: b, block_reason: a, reason: b, rule: a, secrets: list });
      const event = numbered({ ...body, sandbox: a, gateway: { message: b, detail: list } }, 1);
      const line = encodeEvent(event);
      expect(line).toMatch(PRINTABLE_LINE);
      expect(JSON.parse(line)).toEqual(event);
    }),
    { seed: 20_261_122, numRuns: 500 },
  );
});

test('encodeEvent writes every number as JSON.stringify does', () => {
  const awkward = [
    0,
    1,
    9,
    10,
    99_999_999,
    100_000_000,
    100_000_001,
    1_764_000_000_123,
    9e15,
    1e16,
    2 ** 53,
    1e21,
  ];
  const fractions = [
    0.5,
    0.001,
    0.0001,
    1.005,
    12.34,
    99_999.999,
    100_000.001,
    0.1 + 0.2,
    1e-7,
    5e-324,
    1.7e308,
  ];
  const odd = [-1, -0.5, Number.NaN, Number.POSITIVE_INFINITY, -0];
  const numbers = fc.oneof(
    fc.constantFrom(...awkward, ...fractions, ...odd),
    fc.double(),
    fc.maxSafeNat(),
    fc.nat(10 ** 9).map(n => n / 1_000),
  );
  fc.assert(
    fc.property(numbers, value => {
      const line = encodeEvent(numbered(allowedBody({ duration_ms: value }), 1));
      expect(line).toContain(`"duration_ms":${JSON.stringify(value)},`);
    }),
    { seed: 20_261_127, numRuns: 3_000 },
  );
});

test('encodeEvent bounds the line, whatever the length of the strings', () => {
  const huge = '\u0001'.repeat(300_000);
  const network = networkOf({
    method: huge,
    url: huge,
    host: huge,
    rule: huge,
    reason: huge,
    secrets: [huge, huge],
  });
  const line = encodeEvent(numbered({ type: 'request.done', sandbox: huge, network }, 1));
  expect(line.length).toBeLessThan(200_000);
});

interface EventCase {
  readonly id: string;
  readonly category: string;
  readonly value?: string;
  readonly value_b64?: string;
}

const corpus = JSON.parse(readFileSync('test/corpus/events.json', 'utf8')) as {
  readonly cases: readonly EventCase[];
};

test.each(corpus.cases.filter(({ value }) => value !== undefined).map(c => [c.id, c] as const))(
  'encodeEvent writes one line for corpus case %s, as text and as raw bytes',
  (_id, { value = '', value_b64 = '' }) => {
    for (const text of [value, Buffer.from(value_b64, 'base64').toString('latin1')]) {
      const event = numbered(allowedBody({ url: text, host: text, method: text }), 1);
      const line = encodeEvent(event);
      expect(line).toMatch(PRINTABLE_LINE);
      const cutText = { url: cut(text, URL_LIMIT), host: cut(text), method: cut(text) };
      expect(JSON.parse(line)).toEqual(numbered(allowedBody(cutText), 1));
    }
  },
);

test('encodeEvent writes phases to the microsecond, as the number that they are', () => {
  const phaseMs = fc.oneof(
    fc.integer({ min: 0, max: 5_000_000 }).map(micros => micros / 1_000),
    fc.double({ min: 0, max: 1e12, noNaN: true }),
  );
  fc.assert(
    fc.property(phaseMs, phaseMs, (first_byte_ms, total_ms) => {
      const timings = { dns_ms: null, connect_ms: 0, tls_ms: 0.001, first_byte_ms, total_ms };
      const read = decoded(numbered(allowedBody({ timings }), 1)).network?.timings;
      expect([read?.dns_ms, read?.connect_ms, read?.tls_ms]).toEqual([null, 0, 0.001]);
      expect(Math.abs((read?.first_byte_ms ?? -1) - first_byte_ms)).toBeLessThanOrEqual(0.000_51);
      expect(Math.abs((read?.total_ms ?? -1) - total_ms)).toBeLessThanOrEqual(0.000_51);
    }),
    { seed: 20_264, numRuns: 2_000 },
  );
});
