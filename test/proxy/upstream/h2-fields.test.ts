import { Readable } from 'node:stream';
import fc from 'fast-check';
import type { HeaderField } from '../../../src/core/headers.js';
import {
  isInterim,
  parseAnswerHead,
  parseInterim,
  parseTrailers,
  requestFields,
  trailerFields,
} from '../../../src/proxy/upstream/h2-fields.js';
import { outboundOf, type RequestOptions } from './support.js';

const good: [name: string, request: RequestOptions, want: HeaderField[]][] = [
  [
    'writes the pseudo-fields of the decided authority',
    { path: '/a?b', method: 'HEAD' },
    [
      [':method', 'HEAD'],
      [':scheme', 'https'],
      [':authority', 'api.test'],
      [':path', '/a?b'],
    ],
  ],
  ['lower-cases names', { headers: [['X-Ab', 'V']] }, [['x-ab', 'V']]],
  [
    'keeps duplicates in their order',
    {
      headers: [
        ['x', '1'],
        ['cookie', 'a=1'],
        ['X', '2'],
        ['cookie', 'b=2'],
        ['x', '3'],
      ],
    },
    [
      ['x', '1'],
      ['cookie', 'a=1'],
      ['x', '2'],
      ['cookie', 'b=2'],
      ['x', '3'],
    ],
  ],
  ['carries a field called __proto__ as any other', { headers: [['__proto__', 'v']] }, [['__proto__', 'v']]],
  ['carries an empty value', { headers: [['x', '']] }, [['x', '']]],
  ['carries Latin-1', { headers: [['x', 'caf\u00e9']] }, [['x', 'caf\u00e9']]],
  [
    'announces the length of a stream',
    { body: new Readable({ read() {} }), framing: { kind: 'length', bytes: 12 } },
    [['content-length', '12']],
  ],
  [
    'announces the length that a whole body has, whatever it had when it came',
    { body: Buffer.from('abc'), framing: { kind: 'length', bytes: 12 } },
    [['content-length', '3']],
  ],
  ['asks for trailers', { wantsTrailers: true }, [['te', 'trailers']]],
];

for (const [name, options, want] of good) {
  test(`requestFields ${name}`, () => {
    const fields = requestFields(outboundOf(options));
    if (!fields.ok) throw new Error(fields.error);
    const { before, common, after } = fields.value;
    if (Buffer.isBuffer(common)) throw new Error('fields that came once were kept');
    const written = [...before, ...common, ...after];
    expect(written.filter(([name]) => want.some(([wanted]) => wanted === name))).toEqual(want);
  });
}

const bad: [name: string, request: RequestOptions][] = [
  ['a CR in a value', { headers: [['x', 'a\rb']] }],
  ['a LF in a value', { headers: [['x', 'a\nb']] }],
  ['a NUL in a value, which would begin another field', { headers: [['x', 'a\0b\0c']] }],
  ['a character beyond Latin-1', { headers: [['x', '\u010a']] }],
  ['a blank at the end of a value', { headers: [['x', 'a ']] }],
  ['an empty name', { headers: [['', 'a']] }],
  ['a pseudo-field among the fields', { headers: [[':authority', 'evil.test']] }],
  ['a blank in a name', { headers: [['x y', 'a']] }],
  ['a Host beside the authority', { headers: [['Host', 'evil.test']] }],
  ['a Connection', { headers: [['Connection', 'close']] }],
  ['a Transfer-Encoding', { headers: [['transfer-encoding', 'chunked']] }],
  ['a blank in the path', { path: '/a b' }],
  ['a NUL in the path', { path: '/a\0b' }],
  ['an empty path', { path: '' }],
  ['a blank in the method', { method: 'GET /' }],
  [
    'a second Authorization',
    {
      headers: [
        ['authorization', 'a'],
        ['Authorization', 'b'],
      ],
    },
  ],
];

for (const [name, options] of bad) {
  test(`requestFields refuses ${name}`, () => {
    expect(requestFields(outboundOf(options)).ok).toBe(false);
  });
}

test('trailerFields refuses what requestFields refuses', () => {
  expect(trailerFields([['grpc-status', '0']])).toMatchObject({ ok: true, value: [['grpc-status', '0']] });
  expect(trailerFields([['x', 'a\nb']])).toEqual({ ok: false, error: 'bad-field' });
  expect(trailerFields([['connection', 'x']])).toEqual({ ok: false, error: 'connection-specific' });
});

/** Name, value, name, value …, as fields. */
function pairs(raw: readonly string[]): HeaderField[] {
  return Array.from({ length: raw.length >> 1 }, (_, i) => [raw[2 * i] ?? '', raw[2 * i + 1] ?? '']);
}

const heads: [name: string, raw: string[], method: string, want: object | string][] = [
  [
    'a plain head',
    [':status', '200', 'a', 'b'],
    'GET',
    { status: 200, headers: [['a', 'b']], framing: { kind: 'chunked' } },
  ],
  [
    'duplicates in their order',
    [':status', '200', 'set-cookie', 'a', 'x', 'y', 'set-cookie', 'b'],
    'GET',
    {
      headers: [
        ['set-cookie', 'a'],
        ['x', 'y'],
        ['set-cookie', 'b'],
      ],
    },
  ],
  [
    'a length',
    [':status', '200', 'content-length', '5'],
    'GET',
    { headers: [], framing: { kind: 'length', bytes: 5 } },
  ],
  [
    'the length that a HEAD announces',
    [':status', '200', 'content-length', '5'],
    'HEAD',
    { framing: { kind: 'length', bytes: 5 } },
  ],
  ['a HEAD without a length', [':status', '200'], 'HEAD', { framing: { kind: 'none' } }],
  ['a 204', [':status', '204'], 'GET', { framing: { kind: 'none' } }],
  ['a 304', [':status', '304'], 'GET', { framing: { kind: 'none' } }],
  [
    'a head without what is for the next hop',
    [':status', '200', 'alt-svc', 'h3=":443"', 'proxy-authenticate', 'Basic'],
    'GET',
    { headers: [] },
  ],
  [
    'a redirect like any other',
    [':status', '302', 'location', 'http://127.0.0.1/'],
    'GET',
    { status: 302, headers: [['location', 'http://127.0.0.1/']] },
  ],
  ['no field at all', [], 'GET', 'bad-status'],
  ['no status', ['a', 'b'], 'GET', 'bad-status'],
  ['a status behind a field', ['a', 'b', ':status', '200'], 'GET', 'bad-status'],
  ['two statuses', [':status', '200', ':status', '200'], 'GET', 'bad-field'],
  ['a status of four digits', [':status', '2000'], 'GET', 'bad-status'],
  ['a status of letters', [':status', '2oo'], 'GET', 'bad-status'],
  ['a status 600', [':status', '600'], 'GET', 'bad-status'],
  ['a status 099', [':status', '099'], 'GET', 'bad-status'],
  ['an interim status as the final one', [':status', '103'], 'GET', 'bad-status'],
  ['a 101', [':status', '101'], 'GET', 'bad-status'],
  ['a 407', [':status', '407'], 'GET', 'proxy-authentication'],
  ['two lengths', [':status', '200', 'content-length', '5', 'content-length', '5'], 'GET', 'bad-length'],
  ['a length with a sign', [':status', '200', 'content-length', '+5'], 'GET', 'bad-length'],
  ['a list of lengths', [':status', '200', 'content-length', '5, 5'], 'GET', 'bad-length'],
  ['a CR in a value', [':status', '200', 'x', 'a\rb'], 'GET', 'bad-field'],
  ['a LF in a value', [':status', '200', 'x', 'a\nb: c'], 'GET', 'bad-field'],
  ['a NUL in a value', [':status', '200', 'x', 'a\0b'], 'GET', 'bad-field'],
  ['an upper-case name', [':status', '200', 'X', 'a'], 'GET', 'bad-field'],
  ['an unknown pseudo-field', [':status', '200', ':path', '/'], 'GET', 'bad-field'],
  ['a Connection', [':status', '200', 'connection', 'close'], 'GET', 'connection-specific'],
  ['a Transfer-Encoding', [':status', '200', 'transfer-encoding', 'chunked'], 'GET', 'connection-specific'],
];

for (const [name, raw, method, want] of heads) {
  test(`parseAnswerHead ${typeof want === 'string' ? 'refuses' : 'reads'} ${name}`, () => {
    const head = parseAnswerHead(pairs(raw), method);
    if (typeof want === 'string') expect(head).toEqual({ ok: false, error: want });
    else expect(head).toMatchObject({ ok: true, value: want });
  });
}

test('parseInterim reads 1xx but 101, and nothing else', () => {
  expect(parseInterim(pairs([':status', '103', 'link', '</a>']))).toEqual({
    ok: true,
    value: { status: 103, headers: [['link', '</a>']] },
  });
  for (const status of ['101', '200', '99']) expect(parseInterim([[':status', status]]).ok).toBe(false);
});

test('parseTrailers refuses pseudo-fields, framing and fields that would be read as if in the head', () => {
  expect(parseTrailers([['grpc-status', '0']])).toEqual({ ok: true, value: [['grpc-status', '0']] });
  for (const name of [':status', 'content-length', 'transfer-encoding', 'set-cookie', 'Bad']) {
    expect(parseTrailers([[name, '1']]).ok).toBe(false);
  }
});

const RUNS = { seed: 20, numRuns: 500 };

test('no list of strings makes the readers throw', () => {
  fc.assert(
    fc.property(fc.array(fc.string({ unit: 'binary' })), raw => {
      const fields = pairs(raw);
      isInterim(fields);
      parseAnswerHead(fields, 'GET');
      parseInterim(fields);
      parseTrailers(fields);
    }),
    RUNS,
  );
});

test('what requestFields writes, parseTrailers reads back', () => {
  const name = fc.stringMatching(/^x-[a-z]{1,8}$/);
  const value = fc.stringMatching(/^[!-~]([ -~\u00a0-\u00ff]{0,8}[!-~])?$/);
  const fields: fc.Arbitrary<HeaderField> = fc.tuple(name, value);
  fc.assert(
    fc.property(fc.uniqueArray(fields, { selector: ([key]) => key }), list => {
      const written = trailerFields(list);
      if (!written.ok) throw new Error(written.error);
      expect(parseTrailers(written.value)).toEqual({ ok: true, value: list });
    }),
    RUNS,
  );
});
