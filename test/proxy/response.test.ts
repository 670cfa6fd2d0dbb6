import { PassThrough, Readable } from 'node:stream';
import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync } from 'node:zlib';
import { type HeaderList, noteRepeated } from '../../src/core/headers.js';
import type { Answer, Framing } from '../../src/proxy/exchange.js';
import { answerFor, askForPlain, informer } from '../../src/proxy/response.js';
import { A, B, corpusSecrets } from '../secrets/fixtures.js';

const secrets = corpusSecrets();
const TEXT = `you said ${A.value}.`;
const REDACTED = `you said ${A.placeholder}.`;

function answer(body: Uint8Array | Readable, headers: HeaderList = [], trailers: HeaderList = []): Answer {
  const framing: Framing =
    body instanceof Uint8Array ? { kind: 'length', bytes: body.length } : { kind: 'chunked' };
  return {
    head: { status: 200, reason: 'OK', headers, framing, version: '1.1' },
    body,
    trailers: () => trailers,
  };
}

async function read({ body }: Answer): Promise<string> {
  if (body instanceof Uint8Array) return Buffer.from(body).toString();
  const pieces: Buffer[] = [];
  for await (const piece of body) pieces.push(piece as Buffer);
  return Buffer.concat(pieces).toString();
}

function redacted(body: Uint8Array | Readable, coding?: string): Answer {
  const headers: HeaderList = coding === undefined ? [] : [['Content-Encoding', coding]];
  return answerFor(answer(body, headers), 'GET', secrets, ['A']);
}

interface Case {
  readonly name: string;
  readonly coding: string;
  readonly bytes: Uint8Array;
}

const codings: readonly Case[] = [
  { name: 'gzip', coding: 'gzip', bytes: gzipSync(TEXT) },
  { name: 'x-gzip', coding: 'X-GZIP', bytes: gzipSync(TEXT) },
  { name: 'deflate', coding: 'deflate', bytes: deflateSync(TEXT) },
  { name: 'raw deflate under that name', coding: 'deflate', bytes: deflateRawSync(TEXT) },
  { name: 'Brotli', coding: 'br', bytes: brotliCompressSync(TEXT) },
  { name: 'two codings', coding: 'deflate, gzip', bytes: gzipSync(deflateSync(TEXT)) },
  { name: 'a coding that it has not', coding: 'gzip', bytes: Buffer.from(TEXT) },
];

for (const { name, coding, bytes } of codings) {
  test(`an answer in ${name} is searched decoded, and goes on without it`, async () => {
    for (const body of [bytes, Readable.from([...bytes].map(byte => Uint8Array.of(byte)))]) {
      const got = redacted(body, coding);
      expect(got.head.headers).toEqual([]);
      expect(got.head.framing).toEqual({ kind: 'chunked' });
      // Byte by byte, up to three characters pass before anybody can know (docs/reference/secrets.md).
      expect((await read(got)).replace('said sk-', 'said ')).toBe(REDACTED);
    }
  });
}

test('an answer in a coding that nobody here knows is not given', () => {
  expect(() => redacted(Buffer.from(TEXT), 'aes128gcm')).toThrow('cannot be searched');
  expect(() => redacted(Buffer.from(TEXT), 'gzip, gzip, gzip, gzip')).toThrow('cannot be searched');
});

test('an answer whose coding breaks off is seen as cut short', async () => {
  await expect(read(redacted(gzipSync(TEXT.repeat(9)).subarray(0, -9), 'gzip'))).rejects.toThrow();
});

test('digests of the content that was are not true of what goes on; an ETag may stay', () => {
  const headers: HeaderList = [
    ['ETag', '"1"'],
    ['Content-MD5', 'x'],
    ['Digest', 'x'],
    ['Content-Digest', 'x'],
    ['Content-Range', 'bytes 0-1/2'],
  ];
  const got = answerFor(answer(Buffer.from(TEXT), headers, [['Repr-Digest', 'x']]), 'GET', secrets, ['A']);
  expect(got.head.headers).toEqual([['ETag', '"1"']]);
  expect(got.trailers()).toEqual([]);
  expect(answerFor(answer(Buffer.from(TEXT), headers), 'GET', secrets, []).head.headers).toEqual(headers);
});

test('reason, fields and trailers are redacted, an interim answer too', () => {
  const told: unknown[] = [];
  const inform = informer({ inform: (...all) => void told.push(all) }, secrets, ['A']);
  inform(103, [['Link', `<https://x/?${encodeURIComponent(A.value)}>`]]);
  expect(told).toEqual([[103, [['Link', `<https://x/?${A.placeholder}>`]]]]);
  const { head, trailers } = answerFor(
    answer(Buffer.from(''), [['Location', `/?${A.value}`]], [['X', A.value]]),
    'GET',
    secrets,
    ['A'],
  );
  expect(head.headers).toEqual([['Location', `/?${A.placeholder}`]]);
  expect(trailers()).toEqual([['X', A.placeholder]]);
});

test('an event of a stream goes on as soon as it is whole, coded or not', async () => {
  const events = new PassThrough();
  const { body } = redacted(events);
  if (body instanceof Uint8Array) throw new Error('not a stream');
  const pieces = body[Symbol.asyncIterator]();
  for (const text of ['data: one\n\n', `data: ${A.value}\n\n`, `data: ${A.value.slice(0, 3)}\n\n`]) {
    events.write(text);
    let seen = '';
    while (!seen.endsWith('\n\n')) seen += Buffer.from((await pieces.next()).value).toString();
    expect(seen).toBe(text.replace(A.value, A.placeholder));
  }
  body.destroy();
});

test('fields that come again and again are looked at anew for other secrets', () => {
  const headers: HeaderList = [['X-Echo', B.value]];
  noteRepeated(headers);
  const answered = (redact: readonly string[]): HeaderList =>
    answerFor(answer(Buffer.from('x'), headers), 'GET', secrets, redact).head.headers;
  expect(answered(['A'])).toBe(headers);
  expect(answered(['A'])).toBe(headers);
  expect(answered(['B'])).toEqual([['X-Echo', B.placeholder]]);
  expect(answered(['A', 'B'])).toEqual([['X-Echo', B.placeholder]]);
});

test('fields that lead away are left out however often they come', () => {
  const headers: HeaderList = [['Alt-Svc', 'h3=":443"']];
  noteRepeated(headers);
  for (let times = 0; times < 3; times++) {
    expect(answerFor(answer(Buffer.from('x'), headers), 'GET', secrets, ['A']).head.headers).toEqual([]);
  }
});

test('fields that come again and again ask for plain content each time', () => {
  const headers: HeaderList = [
    ['Range', 'bytes=0-1'],
    ['X', 'y'],
  ];
  const once = askForPlain(headers);
  noteRepeated(headers);
  const again = askForPlain(headers);
  expect(again).toEqual(once);
  expect(askForPlain(headers)).toBe(again);
  expect(askForPlain([...headers])).not.toBe(again);
});
