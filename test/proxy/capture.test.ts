import { PassThrough, Readable } from 'node:stream';
import { brotliCompressSync, gzipSync } from 'node:zlib';
import fc from 'fast-check';
import type { HeaderList } from '../../src/core/headers.js';
import { Capture, type CapturedBody } from '../../src/proxy/capture.js';
import type { Answer } from '../../src/proxy/exchange.js';
import { A, B, corpusSecrets } from '../secrets/fixtures.js';

const secrets = corpusSecrets();

function answerOf(body: Uint8Array | Readable, headers: HeaderList): Answer {
  const head = { status: 200, reason: 'OK', headers, framing: { kind: 'chunked' }, version: '1.1' } as const;
  return { head, body, trailers: () => [] };
}

async function bytesOf(body: Answer['body']): Promise<Buffer> {
  if (body instanceof Uint8Array) return Buffer.from(body);
  const pieces: Buffer[] = [];
  for await (const piece of body) pieces.push(piece as Buffer);
  return Buffer.concat(pieces);
}

interface Captured {
  readonly passed: Buffer;
  readonly told: readonly CapturedBody[];
}

/** Whole at once, and byte by byte: what is told must be the same. */
async function captured(content: Uint8Array, limit: number, headers: HeaderList = []): Promise<Captured> {
  const results: Captured[] = [];
  const streams = () => [content, Readable.from([...content].map(byte => Buffer.of(byte)))];
  for (const body of streams()) {
    const capture = new Capture(limit, secrets);
    const told: CapturedBody[] = [];
    const passed = await bytesOf(capture.ofAnswer(answerOf(body, headers)).body);
    await capture.tell({ captured: each => void told.push(each) });
    await capture.tell({ captured: each => void told.push(each) });
    results.push({ passed, told });
  }
  const [whole, pieces] = results;
  if (whole === undefined) throw new Error('nothing was captured');
  expect(pieces).toEqual(whole);
  return whole;
}

const coded = (coding: string): HeaderList => [
  ['Content-Type', 'text/plain'],
  ['Content-Encoding', coding],
];
const TEXT = `you said ${A.value}, grüße`;
const CLEAN = `you said ${A.placeholder}, grüße`;

interface Case {
  readonly name: string;
  readonly content: Uint8Array;
  readonly headers?: HeaderList;
  readonly limit?: number;
  readonly want: Partial<CapturedBody>;
}

const cases: readonly Case[] = [
  {
    name: 'text, without a value of a secret',
    content: Buffer.from(TEXT),
    want: { encoding: 'text', text: CLEAN, truncated: false, mime_type: '' },
  },
  {
    name: 'gzip, undone',
    content: gzipSync(TEXT),
    headers: coded('gzip'),
    want: { text: CLEAN, truncated: false, mime_type: 'text/plain' },
  },
  {
    name: 'two codings',
    content: brotliCompressSync(gzipSync(TEXT)),
    headers: coded('gzip, br'),
    want: { text: CLEAN },
  },
  {
    name: 'what says that it is coded and is not',
    content: Buffer.from(TEXT),
    headers: coded('gzip'),
    want: { text: CLEAN },
  },
  {
    name: 'a coding that breaks, by its size alone',
    content: Buffer.from(`\x0b${TEXT}`),
    headers: coded('br'),
    want: { text: '', truncated: true },
  },
  {
    name: 'an unknown coding, by its size alone',
    content: Buffer.from(TEXT),
    headers: coded('rot13'),
    want: { text: '', truncated: true },
  },
  {
    name: 'a bomb, its beginning alone',
    content: gzipSync(Buffer.alloc(5_000_000, 'a')),
    headers: coded('gzip'),
    limit: 6_000,
    want: { text: 'a'.repeat(6_000), truncated: true },
  },
  {
    name: 'bytes that are no text, without a value either',
    content: Buffer.concat([Buffer.of(0xff, 0), Buffer.from(B.value)]),
    want: {
      encoding: 'base64',
      text: Buffer.concat([Buffer.of(0xff, 0), Buffer.from(B.placeholder)]).toString('base64'),
    },
  },
  {
    name: 'the beginning, without half a character',
    content: Buffer.from('abcüd'),
    limit: 4,
    want: { encoding: 'text', text: 'abc', truncated: true },
  },
  {
    name: 'a content of exactly the limit',
    content: Buffer.from('abcd'),
    limit: 4,
    want: { text: 'abcd', truncated: false },
  },
];

for (const { name, content, headers = [], limit = 65_536, want } of cases) {
  test(`Capture tells ${name}, and lets it pass as it is`, async () => {
    const { passed, told } = await captured(content, limit, headers);
    expect(passed.equals(content)).toBe(true);
    expect(told).toEqual([expect.objectContaining({ side: 'response', size: content.length, ...want })]);
  });
}

test('wherever the record ends, no part of a value stands in it', async () => {
  const around = fc.tuple(fc.nat(40), fc.nat(120), fc.constantFrom(A, B), fc.boolean());
  await fc.assert(
    fc.asyncProperty(around, async ([before, limit, { value }, zipped]) => {
      const content = Buffer.from(`${'x'.repeat(before)}${value}${'y'.repeat(9)}`);
      const body = zipped ? gzipSync(content) : content;
      const { told } = await captured(body, limit + 1, zipped ? coded('gzip') : []);
      for (let length = 6; length <= value.length; length++)
        expect(told[0]?.text).not.toContain(value.slice(0, length));
    }),
    { seed: 6_035, numRuns: 150 },
  );
});

test('an empty content is not told', async () => {
  expect((await captured(Buffer.alloc(0), 10)).told).toEqual([]);
});

test('a content that ends in an error is told as far as it came, and its reader sees the error', async () => {
  const capture = new Capture(100, secrets);
  const upstream = new PassThrough();
  const { body } = capture.ofAnswer(answerOf(upstream, []));
  upstream.write('half');
  const read = bytesOf(body);
  setImmediate(() => upstream.destroy(new Error('gone')));
  await expect(read).rejects.toThrow('gone');
  const told: CapturedBody[] = [];
  await capture.tell({ captured: each => void told.push(each) });
  expect(told).toMatchObject([{ text: 'half', size: 4 }]);
});
