/** Answers that no HTTP/2 library would send, as frames (RFC 9113 §4). */
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

async function get(frames: readonly Buffer[], headMs = 5_000): Promise<string> {
  const server = await startTlsServer({ ca, names: ['api.test'], alpn: ['h2'], handler: answering(frames) });
  const upstream = upstreamTo(server.port, ca.rootPem, { times: { headMs, idleMs: 5_000 } });
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
    'UPSTREAM_TRUNCATED',
  ],
  ['content before a head', [half, head(END_STREAM)], 'UPSTREAM_TIMEOUT'],
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
    'UPSTREAM_TRUNCATED',
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
    'UPSTREAM_TRUNCATED',
  ],
  [
    'an answer after one that was pushed, and dropped,',
    [
      frame(PUSH_PROMISE, END_HEADERS, 1, Buffer.concat([Buffer.of(0, 0, 0, 2), fields([':method', 'GET'])])),
      head(END_STREAM),
    ],
    '200  []',
  ],
  [
    'an answer on a stream that was not asked for',
    [frame(HEADERS, END_HEADERS, 7, fields(OK)), head(END_STREAM)],
    'UPSTREAM_UNREACHABLE',
  ],
  ['a frame that is too large', [frame(DATA, 0, 1, Buffer.alloc(40_000))], 'UPSTREAM_TIMEOUT'],
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
    'UPSTREAM_UNREACHABLE',
  ],
];

for (const [name, frames, want] of cases) {
  test(`${name} is read as ${want}`, async () => {
    // Node answers some of them with GOAWAY and silence.
    expect(await get(frames, want === 'UPSTREAM_TIMEOUT' ? 300 : 5_000)).toBe(want);
  });
}

/** Node leaves such fields out; what is left must be no more than the answer without them. */
for (const [name, field] of [
  ['an upper-case name', ['X-Bad', 'v']],
  ['a line feed in a value', ['x-bad', 'a\nset-cookie: b']],
  ['a NUL in a value', ['x-bad', 'a\0b']],
  ['a blank in a name', ['x bad', 'v']],
] as const) {
  test(`a field with ${name} never arrives`, async () => {
    const got = await get([head(END_STREAM, ['x-good', 'v'], field)]);
    expect(['200  []', 'UPSTREAM_PROTOCOL']).toContain(got);
  });
}
