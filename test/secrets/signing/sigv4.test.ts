import fc from 'fast-check';
import type { HeaderList } from '../../../src/core/headers.js';
import { canonicalRequest, sha256 } from '../../../src/secrets/signing/canonical.js';
import { amzDate, emitAuthorization, parseAuthorization } from '../../../src/secrets/signing/sigv4.js';

interface Vector {
  readonly name: string;
  readonly service: string;
  readonly date: string;
  readonly method?: string;
  readonly target: string;
  readonly headers: HeaderList;
  readonly contentHash?: string;
  readonly signature: string;
}

const EMPTY = sha256('');

/** AWS's Signature Version 4 test suite and the example of its general reference. */
const SUITE_PAIR = {
  accessKeyId: 'AKIDEXAMPLE',
  secretAccessKey: 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY',
};
const SUITE_DATE = '20150830T123600Z';
const suite = (name: string, target: string, signature: string, more: Partial<Vector> = {}): Vector => ({
  ...{ name, target, signature, service: 'service', date: SUITE_DATE },
  headers: [
    ['Host', 'example.amazonaws.com'],
    ['X-Amz-Date', SUITE_DATE],
  ],
  ...more,
});

const SUITE: readonly Vector[] = [
  suite('get-vanilla', '/', '5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31'),
  suite(
    'get-vanilla-query-order-key-case',
    '/?Param2=value2&Param1=value1',
    'b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500',
  ),
  suite('post-vanilla', '/', '5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b', {
    method: 'POST',
  }),
  suite('get-relative', '/example/..', '5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31'),
  suite('get-slashes', '//example//', '9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84'),
  suite(
    'the example of IAM ListUsers',
    '/?Action=ListUsers&Version=2010-05-08',
    '5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7',
    {
      service: 'iam',
      headers: [
        ['Content-Type', 'application/x-www-form-urlencoded; charset=utf-8'],
        ['Host', 'iam.amazonaws.com'],
        ['X-Amz-Date', SUITE_DATE],
      ],
    },
  ),
];

/** "Examples: Signature Calculations" of the Amazon S3 API reference. */
const S3_PAIR = {
  accessKeyId: 'AKIAIOSFODNN7EXAMPLE',
  secretAccessKey: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY',
};
const S3_DATE = '20130524T000000Z';
const s3 = (
  name: string,
  target: string,
  signature: string,
  more: Partial<Vector> = {},
  fields: HeaderList = [],
): Vector => ({
  ...{ name, target, signature, service: 's3', date: S3_DATE },
  ...more,
  headers: [
    ['Host', 'examplebucket.s3.amazonaws.com'],
    ['x-amz-content-sha256', more.contentHash ?? EMPTY],
    ['x-amz-date', S3_DATE],
    ...fields,
  ],
});

const S3: readonly Vector[] = [
  s3('GET object', '/test.txt', 'f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41', {}, [
    ['Range', 'bytes=0-9'],
  ]),
  s3(
    'PUT object',
    '/test%24file.text',
    '98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd',
    { method: 'PUT', contentHash: sha256('Welcome to Amazon S3.') },
    [
      ['Date', 'Fri, 24 May 2013 00:00:00 GMT'],
      ['x-amz-storage-class', 'REDUCED_REDUNDANCY'],
    ],
  ),
  s3(
    'GET bucket lifecycle',
    '/?lifecycle',
    'fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543',
  ),
  s3(
    'list objects',
    '/?max-keys=2&prefix=J',
    '34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7',
  ),
];

for (const [pair, vectors] of [
  [SUITE_PAIR, SUITE],
  [S3_PAIR, S3],
] as const) {
  for (const {
    name,
    service,
    date,
    method = 'GET',
    target,
    headers,
    contentHash = EMPTY,
    signature,
  } of vectors) {
    test(`the published vector "${name}" is signed as published`, () => {
      const signed = headers.map(([field]) => field.toLowerCase()).sort();
      const scope = { date: date.slice(0, 8), region: 'us-east-1', service };
      const value = emitAuthorization({ method, target, headers, signed, contentHash, date, scope }, pair);
      expect(value.ok && value.value.slice(-64)).toBe(signature);
      const parsed = parseAuthorization(value.ok ? value.value : '');
      expect(parsed).toEqual({ ok: true, value: { accessKeyId: pair.accessKeyId, scope, signed } });
    });
  }
}

const SIGNATURE = 'a'.repeat(64);
const field = (credential: string, signed = 'host;x-amz-date', signature = SIGNATURE): string =>
  `AWS4-HMAC-SHA256 Credential=${credential}, SignedHeaders=${signed}, Signature=${signature}`;

const malformed: readonly (readonly [string, string])[] = [
  ['another algorithm', field('A/20150830/r/s/aws4_request').replace('HMAC-SHA256', 'ECDSA-P256-SHA256')],
  ['a scope without service', field('A/20150830/us-east-1/aws4_request')],
  ['a scope with another end', field('A/20150830/r/s/aws5_request')],
  ['no SignedHeaders', `AWS4-HMAC-SHA256 Credential=A/20150830/r/s/aws4_request, Signature=${SIGNATURE}`],
  ['names in upper case', field('A/20150830/r/s/aws4_request', 'Host')],
  ['names that are not sorted', field('A/20150830/r/s/aws4_request', 'x-amz-date;host')],
  ['a name twice', field('A/20150830/r/s/aws4_request', 'host;host')],
  ['an empty name', field('A/20150830/r/s/aws4_request', 'host;;x-amz-date')],
  ['a signature cut short', field('A/20150830/r/s/aws4_request', 'host', 'abc')],
  ['a second credential', `${field('A/20150830/r/s/aws4_request')}, Credential=B/20150830/r/s/aws4_request`],
];

for (const [name, value] of malformed) {
  test(`parseAuthorization refuses ${name}`, () => {
    expect(parseAuthorization(value)).toMatchObject({ ok: false });
  });
}

const request = { method: 'GET', headers: [['host', 'h']] as const, signed: ['host'], contentHash: EMPTY };

const unclear: readonly (readonly [string, string, string])[] = [
  ['a plus sign in the query', '/?a=b+c', 'plus-in-query'],
  ['a percent sign that spells nothing in the query', '/?a=%zz', 'bad-query'],
  ['one in the path', '/%2', 'bad-path'],
  ['a path without a slash', '*', 'bad-path'],
];
for (const [name, target, error] of unclear) {
  test(`canonicalRequest refuses ${name}`, () => {
    expect(canonicalRequest({ ...request, target, service: 's3' })).toEqual({ ok: false, error });
  });
}

test('every service but S3 signs the path encoded twice', () => {
  const path = (service: string) => {
    const canonical = canonicalRequest({ ...request, target: '/a%20b/./c', service });
    return canonical.ok && canonical.value.split('\n')[1];
  };
  expect(path('lambda')).toBe('/a%2520b/c');
  expect(path('s3')).toBe('/a%20b/./c');
});

test('two readers never throw, whatever stands in an Authorization or a target', () => {
  fc.assert(
    fc.property(fc.string(), fc.string(), (value, target) => {
      parseAuthorization(value);
      canonicalRequest({ ...request, target, service: 's3' });
      canonicalRequest({ ...request, target, service: 'sts' });
    }),
    { seed: 20_261_122, numRuns: 500 },
  );
});

test('what is emitted is read back as it was', () => {
  const word = fc.stringMatching(/^[a-z][a-z0-9-]{0,12}$/);
  fc.assert(
    fc.property(
      word,
      word,
      fc.uniqueArray(word, { minLength: 1, maxLength: 5 }),
      (region, service, names) => {
        const signed = [...names].sort();
        const headers = signed.map(name => [name, 'v'] as const);
        const scope = { date: '20150830', region, service };
        const made = emitAuthorization(
          { ...request, target: '/', headers, signed, date: SUITE_DATE, scope },
          SUITE_PAIR,
        );
        expect(made.ok && parseAuthorization(made.value)).toEqual({
          ok: true,
          value: { accessKeyId: 'AKIDEXAMPLE', scope, signed },
        });
      },
    ),
    { seed: 20_261_122, numRuns: 200 },
  );
});

test('a time is written as AWS writes it', () => {
  expect(amzDate(Date.UTC(2015, 7, 30, 12, 36, 0, 999))).toBe('20150830T123600Z');
});
