/** Hostile HTTP/2 servers against our client's connection, with three requests under way. */
import assert from 'node:assert';
import { Duplex, Readable } from 'node:stream';
import { setTimeout as delay, setImmediate as turn } from 'node:timers/promises';
import type { TLSSocket } from 'node:tls';
import type { Clock } from '../../src/core/clock.js';
import { GatewayError } from '../../src/core/errors.js';
import type { HeaderList } from '../../src/core/headers.js';
import type { ConnectionAnswer, OutboundRequest } from '../../src/proxy/connection.js';
import { NO_BODY } from '../../src/proxy/exchange.js';
import { isHeadOnly } from '../../src/proxy/http1/response-head.js';
import { emitFrame, FLAG, FRAME_PAYLOAD, TYPE } from '../../src/proxy/http2/frames.js';
import { emitFields } from '../../src/proxy/http2/hpack-encoder.js';
import { Http2Connection } from '../../src/proxy/upstream/h2-connection.js';
import { STREAM_WINDOW } from '../../src/proxy/upstream/h2-stream.js';
import { outboundOf } from '../../test/proxy/upstream/support.js';
import { cutAtRandom, Random } from '../engine/random.js';
import type { Target } from '../engine/target.js';
import { type ServerStreamSeen, serverStreams } from '../references/server-frames.js';
import { bytesOf, short } from '../seeds.js';
import { answerSeeds } from './h2-answers.js';
import { H2_TOKENS } from './h2-frames.js';

const PREFACE_BYTES = 24;

export const upstreamH2: Target = {
  name: 'upstream-h2',
  promise:
    'whatever an HTTP/2 server sends, however cut: each request has one end, in time, with bytes of its own stream',
  seeds: () => [
    ...answerSeeds(),
    ...short(bytesOf('h2', 'raw_b64'), 4_096).map(bytes => bytes.subarray(PREFACE_BYTES)),
  ],
  tokens: [
    ...H2_TOKENS,
    '\x88',
    '\x89',
    '\x8d',
    '\x08\x03200',
    '\0\x07:status\x03200',
    '\0\x07:status\x03103',
  ],
  check,
};

/** How one request ended. */
interface End {
  readonly stream: number;
  /** `whole`, `left` by its reader, or the code of the error. */
  readonly kind: string;
  readonly status: number | null;
  readonly headOnly: boolean;
  readonly content: Buffer;
  readonly trailers: string;
  readonly fields: readonly (readonly [string, string])[];
}

/** What our side does, beside sending three requests. */
interface Manner {
  /** The server falls silent instead of hanging up, and may stop reading. */
  readonly silent: boolean;
  readonly deaf: boolean;
  /** One reader leaves in the middle, or one sandbox hangs up. */
  readonly leaves: number | null;
  readonly aborts: number | null;
  /** The reader of one does not read, and the server sends it more than it may. */
  readonly floods: number | null;
  /** Requests may have content. */
  readonly uploads: boolean;
}

async function check(input: Buffer, random: Random): Promise<string> {
  const seed = random.next();
  const manner = mannerOf(random);
  const flood = manner.floods === null ? [] : floodOf(manner.floods);
  const ends = await exchange([...flood, ...cutAtRandom(input, random)], manner, seed);
  assert.equal(new Set(ends.map(({ stream }) => stream)).size, ends.length, 'a stream ended twice');
  const seen = serverStreams(Buffer.concat([...flood, input]));
  for (const end of ends) ownBytes(end, seen.get(end.stream));
  if (isPlain(manner)) {
    const others = await exchange([input], manner, seed);
    assert.deepStrictEqual(others.map(told), ends.map(told), 'the cut decides how requests end');
  }
  const whole = ends.filter(({ kind }) => kind === 'whole').length;
  return whole === 0 ? 'refused' : `${whole} whole`;
}

function mannerOf(random: Random): Manner {
  const silent = random.below(8) === 0;
  const one = (odds: number): number | null => (random.below(odds) === 0 ? 1 + 2 * random.below(3) : null);
  const deaf = silent && random.below(2) === 0;
  const uploads = random.below(2) === 0;
  return { silent, deaf, leaves: one(6), aborts: one(8), floods: silent ? null : one(200), uploads };
}

/** Nothing but the bytes decides: what was sent of a request's content decides whether a window overflows. */
function isPlain({ silent, leaves, aborts, floods, uploads }: Manner): boolean {
  return !silent && leaves === null && aborts === null && floods === null && !uploads;
}

/** What a stream may hold of an answer that nobody reads: its window, and what a stream of Node's takes at once. */
const HELD_BYTES = STREAM_WINDOW + (256 << 10);

function floodOf(stream: number): Buffer[] {
  const settings = emitFrame(TYPE.settings, 0, 0, Buffer.alloc(0));
  const head = emitFrame(
    TYPE.headers,
    FLAG.endHeaders,
    stream,
    Buffer.from(emitFields([[':status', '200']])),
  );
  const frame = emitFrame(TYPE.data, 0, stream, Buffer.alloc(FRAME_PAYLOAD, 'f'));
  const count = Math.ceil((2 * HELD_BYTES) / FRAME_PAYLOAD);
  return [settings, head, ...Array.from({ length: count }, () => frame)];
}

/**
 * A whole answer is told by all of it, any other by its kind alone: how much came before is a matter of the cut. So is
 * what has come of the trailers where there is no content to wait for.
 */
function told({ stream, kind, status, headOnly, content, trailers }: End): string {
  if (kind !== 'whole') return `${stream} ${kind}`;
  return headOnly ? `${stream} ${status}` : `${stream} ${status} ${content.toString('base64')} ${trailers}`;
}

/** The content is what stood in frames of this stream, in order, and its fields stood in a block of it. */
function ownBytes(end: End, seen: ServerStreamSeen | undefined): void {
  const all = seen?.content ?? Buffer.alloc(0);
  const { content } = end;
  assert.ok(content.length <= HELD_BYTES, `${content.length} bytes were held`);
  assert.ok(
    content.equals(all.subarray(0, content.length)),
    `stream ${end.stream} has bytes that it was not sent`,
  );
  const own = new Set((seen?.fields ?? []).flat().map(([name, value]) => `${name}: ${value}`));
  for (const [name, value] of end.fields)
    assert.ok(own.has(`${name}: ${value}`), `stream ${end.stream} has a field that it was not sent`);
  // What has no content is whole with its head (RFC 9110 §6.4.1).
  if (end.kind !== 'whole' || end.headOnly) return;
  assert.notEqual(seen?.endsAt ?? null, null, `stream ${end.stream} is whole without END_STREAM`);
  if (content.length > 0) assert.equal(content.length, seen?.endsAt, `stream ${end.stream} is cut short`);
}

/** What may come back at most for what was sent: acknowledgements, windows, one reset for a stream. */
const REPLY_BYTES = 4_096;
const HEAD_BYTES = 65_536;
/** Far beyond the deadlines of the connection, in milliseconds. */
const PATIENCE_MS = 5_000;
/** Turns of the event loop after which everything has an end that is not waiting for time. */
const TURNS = 40;
const TIMES = { headMs: 4, idleMs: 4 };

async function exchange(pieces: readonly Buffer[], manner: Manner, seed: number): Promise<readonly End[]> {
  const random = new Random(seed);
  const thrown: unknown[] = [];
  const onThrown = (error: unknown): void => void thrown.push(error);
  process.on('uncaughtException', onThrown).on('unhandledRejection', onThrown);
  const wire = new Wire(manner.deaf);
  const connection = new Http2Connection(wire as unknown as TLSSocket, 'up.test', TIMES, clockOf(manner));
  try {
    const ends: End[] = [];
    let release = (): void => {};
    const written = new Promise<void>(resolve => {
      release = resolve;
    });
    const asked = [1, 3, 5].map(async stream => {
      const waits = manner.floods === stream ? written : null;
      ends.push(await follow(connection, stream, { manner, seed, waits }));
    });
    const all = Promise.all(asked);
    for (const piece of pieces) {
      wire.emit('data', Buffer.from(piece));
      if (random.below(2) === 0) await turn();
    }
    release();
    if (manner.floods !== null) await turn();
    if (!manner.silent) wire.destroy();
    await settled(() => ends.length === asked.length, manner);
    assert.equal(ends.length, asked.length, 'a request has no end');
    await all;
    connection.close();
    await turn();
    assert.deepStrictEqual(thrown, [], 'an error that nobody catches');
    const sent = pieces.reduce((sum, { length }) => sum + length, 0);
    assert.ok(wire.bytes <= REQUEST_BYTES + 4 * sent + REPLY_BYTES, `${wire.bytes} bytes for ${sent}`);
    return ends.sort((a, b) => a.stream - b.stream);
  } finally {
    connection.close();
    process.off('uncaughtException', onThrown).off('unhandledRejection', onThrown);
  }
}

async function settled(holds: () => boolean, { silent }: Manner): Promise<void> {
  for (let i = 0; i < TURNS && !holds(); i++) await turn();
  const until = performance.now() + PATIENCE_MS;
  while (silent && !holds() && performance.now() < until) await delay(1);
}

/** Stands still, but for a silent server: then each look at it is later than the last. */
function clockOf({ silent }: Manner): Clock {
  let now = 0;
  const monotonic = (): number => {
    if (silent) now += 3;
    return now;
  };
  return { now: () => 0, monotonic };
}

/** A socket that takes what it is given, unless it is deaf: then nothing is ever taken. */
class Wire extends Duplex {
  bytes = 0;
  readonly #deaf: boolean;

  constructor(deaf: boolean) {
    super({ writableHighWaterMark: deaf ? 1 : 65_536, allowHalfOpen: false });
    this.#deaf = deaf;
  }

  setNoDelay(): this {
    return this;
  }

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.bytes += chunk.length;
    if (!this.#deaf) done();
  }
}

interface Follow {
  readonly manner: Manner;
  readonly seed: number;
  /** The answer is read from then on. */
  readonly waits: Promise<void> | null;
}

async function follow(
  connection: Http2Connection,
  stream: number,
  { manner, seed, waits }: Follow,
): Promise<End> {
  const abort = new AbortController();
  const request = requestOf(new Random(seed + stream), manner);
  const sent = connection.send(request, abort.signal);
  if (manner.aborts === stream)
    void turn().then(() => abort.abort(new GatewayError('CLIENT_ABORTED', 'left')));
  const end = { stream, status: null, headOnly: false, content: Buffer.alloc(0), trailers: '', fields: [] };
  try {
    const answer = await sent;
    const { head } = answer;
    await waits;
    const size = head.headers.reduce((sum, field) => sum + field[0].length + field[1].length, 0);
    assert.ok(size <= HEAD_BYTES, `a head of ${size} bytes`);
    const read = await contentOf(answer, manner.leaves === stream);
    const trailers = JSON.stringify(answer.trailers());
    const headOnly = isHeadOnly(head.status, request.head.method);
    return { ...end, ...read, status: head.status, headOnly, trailers, fields: head.headers };
  } catch (error) {
    return { ...end, kind: codeOf(error) };
  }
}

/** What our own side may be told. Anything else is a fault of the connection's. */
const CODES = [
  'UPSTREAM_PROTOCOL',
  'UPSTREAM_TRUNCATED',
  'UPSTREAM_TIMEOUT',
  'UPSTREAM_UNREACHABLE',
  'CLIENT_ABORTED',
];

function codeOf(error: unknown): string {
  if (error instanceof GatewayError && CODES.includes(error.code)) return error.code;
  throw error;
}

function contentOf({ body }: ConnectionAnswer, leaves: boolean): Promise<Pick<End, 'kind' | 'content'>> {
  if (!(body instanceof Readable)) return Promise.resolve({ kind: 'whole', content: Buffer.from(body) });
  // It may have ended with an error before anybody began to read.
  if (body.errored) return Promise.resolve({ kind: codeOf(body.errored), content: Buffer.alloc(0) });
  const chunks: Buffer[] = [];
  return new Promise((resolve, reject) => {
    const finish = (kind: string): void => resolve({ kind, content: Buffer.concat(chunks) });
    body.on('data', (chunk: Buffer) => {
      chunks.push(chunk);
      if (leaves) body.destroy();
    });
    body.once('end', () => finish('whole'));
    body.once('error', error => {
      try {
        finish(codeOf(error));
      } catch (fault) {
        reject(fault);
      }
    });
    body.once('close', () => finish('left'));
  });
}

const CONTENT = Buffer.alloc(3_000, 'c');
/** Three requests, and our greeting, at most. */
const REQUEST_BYTES = 20_000;

function requestOf(random: Random, { uploads }: Manner): OutboundRequest {
  const method = random.pick(['GET', 'GET', 'HEAD', 'OPTIONS', ...(uploads ? ['POST', 'POST', 'POST'] : [])]);
  const trailers: HeaderList = random.below(2) === 0 ? [] : [['x-sum', '1']];
  const content = random.below(2) === 0 ? CONTENT : Readable.from([CONTENT, CONTENT], { objectMode: false });
  const rest = method === 'POST' ? { body: content, trailers: () => trailers } : { body: NO_BODY };
  return outboundOf({ method, ...rest });
}
