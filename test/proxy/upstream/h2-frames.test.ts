/** Answers that no HTTP/2 library would send, as frames (RFC 9113 §4). */
import type { Readable } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import { makeTestCa, startTlsServer } from '../../support/tls.js';
import { bytesOf, NEVER, outboundOf, requestOf, upstreamTo } from './support.js';

const ca = makeTestCa();

const DATA = 0;
const HEADERS = 1;
const RST_STREAM = 3;
const SETTINGS = 4;
const PUSH_PROMISE = 5;
const GOAWAY = 7;
const CONTINUATION = 9;
const PING = 6;
const WINDOW_UPDATE = 8;
const PADDED = 8;
const END_STREAM = 1;
const END_HEADERS = 4;
const PREFACE_BYTES = 24;

function frame(type: number, flags: number, stream: number, payload: Uint8Array | string = ''): Buffer {
  const body = Buffer.from(payload as string, 'latin1');
  const head = Buffer.alloc(9);
  head.writeUIntBE(body.length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, body]);
}

/** Literal fields without indexing (RFC 7541 §6.2.2), none of them Huffman coded. */
function fields(...list: readonly (readonly [string, string])[]): Buffer {
  const text = (value: string): Buffer =>
    Buffer.concat([Buffer.of(value.length), Buffer.from(value, 'latin1')]);
  return Buffer.concat(list.flatMap(([name, value]) => [Buffer.of(0), text(name), text(value)]));
}

const reset = (code: number): Buffer => frame(RST_STREAM, 0, 1, Buffer.of(0, 0, 0, code));
const OK = [':status', '200'] as const;
const head = (flags: number, ...list: readonly (readonly [string, string])[]): Buffer =>
  frame(HEADERS, END_HEADERS | flags, 1, fields(OK, ...list));

const noContent = (flags: number): Buffer =>
  frame(HEADERS, END_HEADERS | flags, 1, fields([':status', '204']));

/** Answers the first request, stream 1, with `frames`. */
function answering(frames: readonly Buffer[]): (socket: TLSSocket) => void {
  return socket => {
    socket.on('error', () => {});
    socket.write(frame(SETTINGS, 0, 0));
    let input = Buffer.alloc(0);
    let offset = PREFACE_BYTES;
    socket.on('data', (chunk: Buffer) => {
      input = Buffer.concat([input, chunk]);
      while (input.length >= offset + 9) {
        const type = input.readUInt8(offset + 3);
        offset += 9 + input.readUIntBE(offset, 3);
        if (type === HEADERS) socket.write(Buffer.concat(frames));
      }
    });
  };
}

async function get(frames: readonly Buffer[]): Promise<string> {
  const server = await startTlsServer({ ca, names: ['api.test'], alpn: ['h2'], handler: answering(frames) });
  const upstream = upstreamTo(server.port, ca.rootPem, { times: { headMs: 5_000, idleMs: 5_000 } });
  try {
    const answer = await upstream.send(requestOf(outboundOf()), NEVER);
    const body = await bytesOf(answer.body);
    return `${answer.head.status} ${body} ${JSON.stringify(answer.trailers())}`;
  } catch (error) {
    return (error as { code: string }).code;
  } finally {
    upstream.close();
    await server.close();
  }
}

const half = frame(DATA, 0, 1, 'half');
const cases: readonly [name: string, frames: readonly Buffer[], want: string][] = [
  ['a whole answer', [head(0), half, frame(DATA, END_STREAM, 1, 'half')], '200 halfhalf []'],
  ['an answer that ends with an empty frame', [head(0), half, frame(DATA, END_STREAM, 1)], '200 half []'],
  ['an answer that is its head', [head(END_STREAM)], '200  []'],
  [
    'an answer of a known length',
    [head(0, ['content-length', '4']), frame(DATA, END_STREAM, 1, 'half')],
    '200 half []',
  ],
  [
    'an answer with trailers',
    [head(0), half, frame(HEADERS, END_HEADERS | END_STREAM, 1, fields(['a', 'b']))],
    '200 half [["a","b"]]',
  ],
  [
    'a whole answer, then a reset that is no error',
    [head(0), frame(DATA, END_STREAM, 1, 'half'), reset(0)],
    '200 half []',
  ],
  ['half an answer, then a reset that is no error', [head(0), half, reset(0)], 'UPSTREAM_TRUNCATED'],
  [
    'half an answer of a known length, then a reset that is no error',
    [head(0, ['content-length', '8']), half, reset(0)],
    'UPSTREAM_TRUNCATED',
  ],
  [
    'a whole answer, then a reset that is an error,',
    [head(0), frame(DATA, END_STREAM, 1, 'half'), reset(2)],
    '200 half []',
  ],
  ['half an answer, then a cancellation', [head(0), half, reset(8)], 'UPSTREAM_TRUNCATED'],
  ['half an answer, then an error', [head(0), half, reset(2)], 'UPSTREAM_TRUNCATED'],
  ['a head, then a reset that is no error', [head(0), reset(0)], 'UPSTREAM_TRUNCATED'],
  ['a reset that is no error, without an answer', [reset(0)], 'UPSTREAM_UNREACHABLE'],
  [
    'half an answer, then the end of the connection',
    [head(0), half, frame(GOAWAY, 0, 0, Buffer.alloc(8)), reset(0)],
    'UPSTREAM_TRUNCATED',
  ],
  [
    'fewer bytes than announced',
    [head(0, ['content-length', '9']), frame(DATA, END_STREAM, 1, 'half')],
    'UPSTREAM_TRUNCATED',
  ],
  [
    'more bytes than announced',
    [head(0, ['content-length', '2']), frame(DATA, END_STREAM, 1, 'half')],
    'UPSTREAM_PROTOCOL',
  ],
  ['content before a head', [half, head(END_STREAM)], 'UPSTREAM_PROTOCOL'],
  ['two lengths', [head(END_STREAM, ['content-length', '0'], ['content-length', '0'])], 'UPSTREAM_PROTOCOL'],
  ['no status', [frame(HEADERS, END_HEADERS | END_STREAM, 1, fields(['a', 'b']))], 'UPSTREAM_PROTOCOL'],
  [
    'a status of 99',
    [frame(HEADERS, END_HEADERS | END_STREAM, 1, fields([':status', '099']))],
    'UPSTREAM_PROTOCOL',
  ],
  [
    'a status of 1000',
    [frame(HEADERS, END_HEADERS | END_STREAM, 1, fields([':status', '1000']))],
    'UPSTREAM_PROTOCOL',
  ],
  [
    'a 101',
    [frame(HEADERS, END_HEADERS, 1, fields([':status', '101'])), head(END_STREAM)],
    'UPSTREAM_PROTOCOL',
  ],
  [
    'an interim answer as the last',
    [frame(HEADERS, END_HEADERS | END_STREAM, 1, fields([':status', '103']))],
    'UPSTREAM_PROTOCOL',
  ],
  [
    'a status after a field',
    [frame(HEADERS, END_HEADERS | END_STREAM, 1, fields(['a', 'b'], OK))],
    'UPSTREAM_PROTOCOL',
  ],
  ['a request’s pseudo-field', [head(END_STREAM, [':path', '/'])], 'UPSTREAM_PROTOCOL'],
  [
    'a pseudo-field in the trailers',
    [head(0), frame(HEADERS, END_HEADERS | END_STREAM, 1, fields(OK))],
    'UPSTREAM_PROTOCOL',
  ],
  ['a Connection field', [head(END_STREAM, ['connection', 'close'])], 'UPSTREAM_PROTOCOL'],
  ['a Transfer-Encoding field', [head(END_STREAM, ['transfer-encoding', 'chunked'])], 'UPSTREAM_PROTOCOL'],
  [
    'a Set-Cookie in the trailers',
    [head(0), frame(HEADERS, END_HEADERS | END_STREAM, 1, fields(['set-cookie', 'a']))],
    'UPSTREAM_PROTOCOL',
  ],
  [
    'a second head that does not end the stream',
    [head(0), head(0), frame(DATA, END_STREAM, 1)],
    'UPSTREAM_PROTOCOL',
  ],
  [
    'an answer after one that was pushed',
    [
      frame(PUSH_PROMISE, END_HEADERS, 1, Buffer.concat([Buffer.of(0, 0, 0, 2), fields([':method', 'GET'])])),
      head(END_STREAM),
    ],
    'UPSTREAM_PROTOCOL',
  ],
  [
    'an answer on a stream that was not asked for',
    [frame(HEADERS, END_HEADERS, 7, fields(OK)), head(END_STREAM)],
    'UPSTREAM_PROTOCOL',
  ],
  ['a frame that is too large', [frame(DATA, 0, 1, Buffer.alloc(40_000))], 'UPSTREAM_PROTOCOL'],
  [
    'a head without end',
    [
      frame(HEADERS, 0, 1, fields(OK)),
      ...Array.from({ length: 200 }, () =>
        frame(
          CONTINUATION,
          0,
          1,
          fields(...Array.from({ length: 20 }, () => ['x', 'v'.repeat(100)] as const)),
        ),
      ),
    ],
    'UPSTREAM_PROTOCOL',
  ],
  [
    'an answer with padded content',
    [head(0), frame(DATA, PADDED, 1, '\x03half\0\0\0'), frame(DATA, PADDED | END_STREAM, 1, '\x00')],
    '200 half []',
  ],
  ['content that a 204 may not have', [noContent(0), half], '204  []'],
  ['content of an unknown stream', [frame(DATA, 0, 3, 'half'), head(END_STREAM)], 'UPSTREAM_PROTOCOL'],
  ['a frame between the parts of a head', [frame(HEADERS, 0, 1, fields(OK)), half], 'UPSTREAM_PROTOCOL'],
  [
    'a header block that is none',
    [frame(HEADERS, END_HEADERS, 1, '\xff\xff\xff\xff\xff')],
    'UPSTREAM_PROTOCOL',
  ],
  ['a window that overflows', [frame(WINDOW_UPDATE, 0, 0, '\x7f\xff\xff\xff')], 'UPSTREAM_PROTOCOL'],
  ['a stream’s window that overflows', [frame(WINDOW_UPDATE, 0, 1, '\x7f\xff\xff\xff')], 'UPSTREAM_PROTOCOL'],
  ['a window that grows by nothing', [frame(WINDOW_UPDATE, 0, 1, '\0\0\0\0')], 'UPSTREAM_PROTOCOL'],
  ['a flood of pings', Array.from({ length: 200 }, () => frame(PING, 0, 0, '12345678')), 'UPSTREAM_PROTOCOL'],
  ['a flood of settings', Array.from({ length: 100 }, () => frame(SETTINGS, 0, 0)), 'UPSTREAM_PROTOCOL'],
  [
    'a flood of frames without content',
    [head(0), ...Array.from({ length: 300 }, () => frame(DATA, 0, 1))],
    'UPSTREAM_PROTOCOL',
  ],
  [
    'a good-bye that leaves the stream out, every time,',
    [frame(GOAWAY, 0, 0, Buffer.alloc(8))],
    'UPSTREAM_UNREACHABLE',
  ],
  [
    'a good-bye, then the answer that it promised',
    [frame(GOAWAY, 0, 0, '\0\0\0\x01\0\0\0\0'), head(0), frame(DATA, END_STREAM, 1, 'half')],
    '200 half []',
  ],
];

for (const [name, frames, want] of cases) {
  test(`${name} is read as ${want}`, async () => {
    expect(await get(frames)).toBe(want);
  });
}

for (const [name, field] of [
  ['an upper-case name', ['X-Bad', 'v']],
  ['a line feed in a value', ['x-bad', 'a\nset-cookie: b']],
  ['a NUL in a value', ['x-bad', 'a\0b']],
  ['a blank in a name', ['x bad', 'v']],
] as const) {
  test(`an answer with a field that has ${name} is refused whole`, async () => {
    expect(await get([head(END_STREAM, ['x-good', 'v'], field)])).toBe('UPSTREAM_PROTOCOL');
  });
}

test('more content than its stream may have under way ends the connection', async () => {
  const content = Array.from({ length: 80 }, () => frame(DATA, 0, 1, Buffer.alloc(16_384)));
  const handler = answering([head(0), ...content]);
  const server = await startTlsServer({ ca, names: ['api.test'], alpn: ['h2'], handler });
  const upstream = upstreamTo(server.port, ca.rootPem);
  const { body } = await upstream.send(requestOf(outboundOf()), NEVER);
  const closed = new Promise(resolve => (body as Readable).once('error', resolve));
  expect(await closed).toMatchObject({ code: 'UPSTREAM_PROTOCOL' });
  upstream.close();
  await server.close();
});
