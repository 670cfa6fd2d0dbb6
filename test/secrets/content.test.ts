import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync } from 'node:zlib';
import fc from 'fast-check';
import type { HeaderList } from '../../src/core/headers.js';
import { guardContent } from '../../src/secrets/content.js';
import type { Leak } from '../../src/secrets/scan.js';
import type { LoadedSecret } from '../../src/secrets/store.js';
import { type Departing, substitute } from '../../src/secrets/substitute.js';
import { A, B, corpusSecrets, outbound, placesOf } from './fixtures.js';

const EVIL = { to: 'https://evil.test', inScope: [] };

function departing(given: Parameters<typeof outbound>[0], secrets = corpusSecrets()): Departing {
  const substitution = substitute(secrets, outbound(given));
  if (!substitution.ok) throw new Error(JSON.stringify(substitution.leaks));
  return substitution;
}

interface Sent {
  readonly leak: Leak | null;
  readonly text: string;
}

async function send(
  content: Uint8Array | string,
  headers: HeaderList,
  options: { given?: Parameters<typeof outbound>[0]; secret?: Partial<LoadedSecret>; cut?: number } = {},
): Promise<Sent> {
  const bytes = typeof content === 'string' ? Buffer.from(content) : content;
  const secrets = corpusSecrets(options.secret);
  const guard = guardContent(secrets, departing(options.given ?? {}, secrets), headers);
  if (guard === null) return { leak: null, text: Buffer.from(bytes).toString('latin1') };
  const sent: Uint8Array[] = [];
  const cut = options.cut ?? bytes.length;
  for (let from = 0; from < bytes.length; from += cut) {
    const { forward, leak } = await guard.push(bytes.subarray(from, from + cut));
    if (leak !== null) return { leak, text: Buffer.concat(sent).toString('latin1') };
    sent.push(Buffer.from(forward));
  }
  const { forward, leak } = await guard.end();
  guard.close();
  return { leak, text: Buffer.concat([...sent, forward]).toString('latin1') };
}

const type = (value: string): HeaderList => [['Content-Type', value]];
const coded = (value: string): HeaderList => [['content-encoding', value]];
const LEAKY = `{"k": "${A.placeholder}"}`;

const compressed: readonly (readonly [string, Uint8Array, HeaderList])[] = [
  ['gzip', gzipSync(LEAKY), coded('gzip')],
  ['x-gzip', gzipSync(LEAKY), coded('X-GZIP')],
  ['deflate', deflateSync(LEAKY), coded('deflate')],
  ['raw deflate', deflateRawSync(LEAKY), coded('deflate')],
  ['brotli', brotliCompressSync(LEAKY), coded('br')],
  ['gzip twice', gzipSync(gzipSync(LEAKY)), coded('gzip, gzip')],
  ['gzip, then brotli', brotliCompressSync(gzipSync(LEAKY)), [...coded('gzip'), ...coded('br')]],
  ['undeclared gzip', gzipSync(LEAKY), []],
  ['undeclared zlib', deflateSync(LEAKY), []],
  ['gzip without its end', gzipSync(LEAKY).subarray(0, -9), coded('gzip')],
];

for (const [name, content, headers] of compressed) {
  for (const cut of [1, 7, 4096]) {
    test(`a placeholder in ${name} does not leave, in pieces of ${cut}`, async () => {
      const { leak } = await send(content, headers, { given: EVIL, cut });
      // Brotli stores what is short as it is.
      const encoding = expect.stringMatching(/^(?:compressed|plain)$/);
      expect(leak).toMatchObject({ secret: 'A', place: 'body', encoding });
    });
  }
}

test('what a compressed content says is held until it is known', async () => {
  const { text } = await send(gzipSync(A.value, { level: 0 }), coded('gzip'), { given: EVIL, cut: 1 });
  expect(text).not.toContain('sk-l');
});

test('content that is not what it declares, or more layers than are undone, is refused', async () => {
  expect((await send('not gzip at all', coded('gzip'), { given: EVIL })).leak).toMatchObject({
    reason: 'undecodable',
  });
  expect((await send('x', coded('gzip, gzip, gzip, gzip'), { given: EVIL })).leak).toMatchObject({
    reason: 'undecodable',
  });
});

test('a content that decodes to far more than it is gets refused when declared', async () => {
  const bomb = gzipSync(Buffer.alloc(40 * 1024 * 1024));
  expect((await send(bomb, coded('gzip'), { given: EVIL })).leak).toMatchObject({ reason: 'undecodable' });
  expect((await send(bomb, [], { given: EVIL })).leak).toBeNull();
});

test('compressed content without a leak passes byte for byte', async () => {
  const contents = fc.uint8Array({ maxLength: 2000 });
  await fc.assert(
    fc.asyncProperty(contents, fc.integer({ min: 1, max: 300 }), async (plain, cut) => {
      for (const [content, headers] of [
        [gzipSync(plain), coded('gzip')],
        [brotliCompressSync(plain), coded('br')],
        [plain, []],
        [plain, coded('aes128gcm')],
      ] as const) {
        const { leak, text } = await send(content, headers, { given: EVIL, cut });
        expect(leak).toBeNull();
        expect(text).toBe(Buffer.from(content).toString('latin1'));
      }
    }),
    { seed: 20_268, numRuns: 25 },
  );
});

test('content to the only host of the only secrets is not touched', () => {
  const secrets = corpusSecrets();
  expect(guardContent(secrets, departing({ inScope: ['A', 'B', 'C'] }), [])).toBeNull();
});

interface Fill {
  readonly name: string;
  readonly places: readonly string[];
  readonly type: string;
  readonly content: string;
  readonly want: string;
}

const fills: Fill[] = [
  {
    name: 'JSON, escaped',
    places: ['body'],
    type: 'application/json',
    content: `{"k":"${B.placeholder}"}`,
    want: '{"k":"tok\\"quote\\\\back$&$1%41"}',
  },
  {
    name: 'a form, percent-encoded',
    places: ['body'],
    type: 'application/x-www-form-urlencoded; charset=utf-8',
    content: `a=1&key=${A.placeholder}`,
    want: `a=1&key=${encodeURIComponent(A.value)}`,
  },
  {
    name: 'anything else, as it is',
    places: ['body'],
    type: 'text/plain',
    content: `<${A.placeholder}>`,
    want: `<${A.value}>`,
  },
  {
    name: 'the string at a path of JSON',
    places: ['body:json:$.auth.token'],
    type: 'application/vnd.x+json',
    content: `{"a":[{"auth":1}],"auth":{"x":{"token":1},"token":"${A.placeholder}"}}`,
    want: `{"a":[{"auth":1}],"auth":{"x":{"token":1},"token":"${A.value}"}}`,
  },
  {
    name: 'one field of a form',
    places: ['body:form:client_secret'],
    type: 'application/x-www-form-urlencoded',
    content: `x=1&client_secret=${A.placeholder}`,
    want: `x=1&client_secret=${encodeURIComponent(A.value)}`,
  },
];

for (const { name, places, type: contentType, content, want } of fills) {
  for (const cut of [1, 5, 4096]) {
    test(`a value is written into ${name}, in pieces of ${cut}`, async () => {
      const secret = { places: placesOf(...places), pinned: true };
      const sent = await send(content, type(contentType), {
        given: { inScope: ['A', 'B', 'C'] },
        secret,
        cut,
      });
      expect(sent).toEqual({ leak: null, text: want });
    });
  }
}

const astray: readonly (readonly [string, readonly string[], string, string])[] = [
  ['another path of JSON', ['body:json:$.token'], 'application/json', `{"a":{"token":"${A.placeholder}"}}`],
  ['an element of an array', ['body:json:$.token'], 'application/json', `{"token":["${A.placeholder}"]}`],
  ['a key of JSON', ['body:json:$.token'], 'application/json', `{"${A.placeholder}":1}`],
  [
    'another field of a form',
    ['body:form:token'],
    'application/x-www-form-urlencoded',
    `a=${A.placeholder}&token=1`,
  ],
  [
    'the name of a form field',
    ['body:form:token'],
    'application/x-www-form-urlencoded',
    `${A.placeholder}=1`,
  ],
  ['content, of a secret pinned to a field', ['header:x'], 'text/plain', A.placeholder],
];

for (const [name, places, contentType, content] of astray) {
  test(`a pinned placeholder in ${name} is refused`, async () => {
    const secret = { places: placesOf(...places), pinned: true };
    const { leak } = await send(content, type(contentType), { secret });
    expect(leak).toMatchObject({ secret: 'A', place: 'body', reason: 'forbidden-place' });
  });
}

test('max_occurrences counts the head and the content together', async () => {
  const secret = { places: placesOf('header', 'body'), pinned: true, maxOccurrences: 2 };
  const given = { headers: [['X', A.placeholder]] as HeaderList };
  expect((await send(A.placeholder, [], { secret, given })).leak).toBeNull();
  const { leak } = await send(`${A.placeholder} ${A.placeholder}`, [], { secret, given });
  expect(leak).toMatchObject({ reason: 'too-many' });
});

test('a compressed content to its own host passes as it is, filled or not', async () => {
  const content = gzipSync(LEAKY);
  const secret = { places: placesOf('body'), pinned: true };
  const sent = await send(content, coded('gzip'), { secret, cut: 10 });
  expect(sent).toEqual({ leak: null, text: content.toString('latin1') });
});
