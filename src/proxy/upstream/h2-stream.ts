/**
 * One request and its answer on one HTTP/2 stream (RFC 9113 §8.1), client side.
 *
 * The end of the answer is END_STREAM and nothing else: Node ends the readable side on RST_STREAM(NO_ERROR) too, which
 * would make a truncated answer look whole. A shell: streams and one timer.
 */
import http2 from 'node:http2';
import { Readable } from 'node:stream';
import { GatewayError } from '../../core/errors.js';
import { type HeaderList, NO_HEADERS } from '../../core/headers.js';
import type { ConnectionAnswer, OutboundRequest } from '../connection.js';
import { type Body, type Framing, NO_BODY, type ResponseHead } from '../exchange.js';
import { isHeadOnly } from '../http1/response-head.js';
import { READ_BYTES } from './dial.js';
import { aborted } from './failure.js';
import { parseAnswerHead, parseInterim, parseTrailers, trailerFields } from './h2-fields.js';

export interface AnswerTimes {
  /** From the last byte of the request to the answer's head. */
  readonly headMs: number;
  /** Longest silence while content is on its way, either way. */
  readonly idleMs: number;
}

/** Content that has arrived whole with its head, up to this size, is given as bytes. */
const WHOLE_BYTES = 65_536;

/** Interim answers to one request: more is a flood. */
const MAX_INTERIM = 10;

const { NGHTTP2_CANCEL, NGHTTP2_NO_ERROR, NGHTTP2_PROTOCOL_ERROR, NGHTTP2_REFUSED_STREAM } = http2.constants;
const { NGHTTP2_FLAG_END_STREAM } = http2.constants as unknown as { NGHTTP2_FLAG_END_STREAM: number };

/** The cause of an error for a request that the upstream says it did not begin to work on (RFC 9113 §8.7). */
export const UNPROCESSED: unique symbol = Symbol('unprocessed');

interface Settle {
  readonly resolve: (answer: ConnectionAnswer) => void;
  readonly reject: (error: GatewayError) => void;
}

/** What Node calls for 'response', 'headers' and 'trailers'; its types leave out the fields as they were received. */
type OnFields = (fields: unknown, flags: number, raw: readonly string[]) => void;

export interface ConversationOptions {
  readonly times: AnswerTimes;
  /** The connection of the stream. */
  readonly line: { readonly closed: boolean };
  readonly signal: AbortSignal;
}

/** Sends `request` on a stream whose head was just submitted, and reads the answer. */
export function converse(
  stream: http2.ClientHttp2Stream,
  request: OutboundRequest,
  options: ConversationOptions,
): Promise<ConnectionAnswer> {
  return new Promise((resolve, reject) => {
    new Conversation(stream, request, options, { resolve, reject }).start();
  });
}

class Conversation {
  readonly #stream: http2.ClientHttp2Stream;
  readonly #request: OutboundRequest;
  readonly #times: AnswerTimes;
  readonly #line: { readonly closed: boolean };
  readonly #signal: AbortSignal;
  readonly #settle: Settle;
  readonly #bytes = { received: 0, sent: 0 };
  #timer: NodeJS.Timeout;
  #interim = 0;
  #answered = false;
  #over = false;
  #body: Readable | null = null;
  #trailers: HeaderList = NO_HEADERS;

  constructor(
    stream: http2.ClientHttp2Stream,
    request: OutboundRequest,
    options: ConversationOptions,
    settle: Settle,
  ) {
    this.#stream = stream;
    this.#request = request;
    this.#times = options.times;
    this.#line = options.line;
    this.#signal = options.signal;
    this.#settle = settle;
    this.#bytes.sent = request.path.length + request.host.length + fieldBytes(request.headers);
    this.#timer = setTimeout(() => this.#onQuiet(), this.#times.headMs);
  }

  start(): void {
    const stream = this.#stream;
    const onHead: OnFields = (_fields, flags, raw) =>
      this.#onHead(raw, (flags & NGHTTP2_FLAG_END_STREAM) !== 0);
    const onInterim: OnFields = (_fields, _flags, raw) => this.#onInterim(raw);
    const onTrailers: OnFields = (_fields, _flags, raw) => this.#onTrailers(raw);
    stream.on('response', onHead as () => void);
    stream.on('headers', onInterim as () => void);
    stream.on('trailers', onTrailers as () => void);
    stream.on('error', () => {}); // 'close' follows, and the stream knows its code.
    stream.once('close', () => this.#onClose());
    this.#signal.addEventListener('abort', this.#onAbort, { once: true });
    watchEnd(stream, () => {
      this.#over = true;
    });
    this.#send();
  }

  readonly #onAbort = (): void => this.#fail(aborted(this.#signal), NGHTTP2_CANCEL);

  #onQuiet(): void {
    // It is the sandbox that does not read: the upstream is not to blame.
    if (this.#body && this.#stream.isPaused()) return void this.#timer.refresh();
    const what = this.#answered ? 'stopped in the middle of its answer' : 'did not answer in time';
    this.#fail(new GatewayError('UPSTREAM_TIMEOUT', `${this.#request.host} ${what}`), NGHTTP2_CANCEL);
  }

  #send(): void {
    const { body } = this.#request;
    const stream = this.#stream;
    stream.on('wantTrailers', () => this.#sendTrailers());
    if (!(body instanceof Readable)) {
      this.#bytes.sent += body.length;
      if (!stream.writableEnded) stream.end(body);
      return;
    }
    body.on('data', (chunk: Uint8Array) => {
      if (stream.closed || stream.destroyed) return void body.pause();
      this.#bytes.sent += chunk.length;
      this.#timer.refresh();
      if (!stream.write(chunk)) body.pause();
    });
    stream.on('drain', () => body.resume());
    body.once('end', () => stream.end());
    body.on('error', () => {}); // 'close' follows, and is how a body ends that was cut short.
    body.once('close', () => {
      if (body.readableEnded) return;
      this.#fail(new GatewayError('CLIENT_ABORTED', 'the request was cut short'), NGHTTP2_CANCEL);
    });
  }

  #sendTrailers(): void {
    const fields = trailerFields(this.#request.trailers());
    if (fields.ok) this.#stream.sendTrailers(fields.value);
    else
      this.#fail(
        new GatewayError('CLIENT_PROTOCOL', `a trailer cannot be sent: ${fields.error}`),
        NGHTTP2_CANCEL,
      );
  }

  #onInterim(raw: readonly string[]): void {
    const head = parseInterim(raw);
    this.#interim++;
    if (!head.ok || this.#answered || this.#interim > MAX_INTERIM) {
      return void this.#malformed(head.ok ? 'too many interim answers' : head.error);
    }
    const { status, headers } = head.value;
    if (status !== 100) this.#request.inform(status, headers);
  }

  #onHead(raw: readonly string[], isWhole: boolean): void {
    if (this.#answered) return void this.#malformed('a second head');
    const head = parseAnswerHead(raw, this.#request.head.method);
    if (!head.ok) return void this.#malformed(head.error);
    this.#answered = true;
    this.#bytes.received += rawBytes(raw);
    const isEmpty = isWhole || isHeadOnly(head.value.status, this.#request.head.method);
    if (isEmpty) this.#deliver(head.value, this.#noBody());
    else if (this.#over && this.#stream.readableLength <= WHOLE_BYTES) this.#deliverWhole(head.value);
    else if (isShort(head.value.framing)) setImmediate(() => this.#deliverShort(head.value));
    else this.#deliver(head.value, this.#streamedBody());
  }

  /** A short content is mostly in the record behind its head's: a turn's wait spares it a stream. */
  #deliverShort(head: ResponseHead): void {
    if (this.#stream.destroyed) return void this.#fail(truncated(this.#request.host), NGHTTP2_CANCEL);
    if (this.#over && this.#stream.readableLength <= WHOLE_BYTES) this.#deliverWhole(head);
    else this.#deliver(head, this.#streamedBody());
  }

  #deliver(head: ResponseHead, body: Body): void {
    this.#settle.resolve({
      head,
      body,
      trailers: () => this.#trailers,
      protocol: 'h2',
      bytes: this.#bytes,
      upgraded: null,
    });
  }

  /** Content that came with its head costs no stream. The trailers, which came too, are told in this tick. */
  #deliverWhole(head: ResponseHead): void {
    process.nextTick(() => {
      if (this.#stream.destroyed) return void this.#fail(truncated(this.#request.host), NGHTTP2_CANCEL);
      const bytes: Buffer | null = this.#stream.read();
      this.#bytes.received += bytes?.length ?? 0;
      this.#stream.resume();
      this.#finish();
      this.#deliver(head, bytes ?? NO_BODY);
    });
  }

  /** An answer without content: what is left of the request is not sent, and nothing may follow but the end. */
  #noBody(): Uint8Array {
    this.#awaitContent();
    if (!this.#over) this.#stream.once('end', () => this.#finish());
    this.#stream.once('data', () => this.#reset(NGHTTP2_PROTOCOL_ERROR));
    // Also a stream that has ended already closes only once its end was read.
    this.#stream.resume();
    if (this.#over) this.#finish();
    return NO_BODY;
  }

  #streamedBody(): Readable {
    const stream = this.#stream;
    this.#awaitContent();
    const body = new Readable({
      highWaterMark: READ_BYTES,
      read: () => void stream.resume(),
      destroy: (error, done) => {
        this.#finish();
        done(error);
      },
    });
    body.on('error', () => {}); // For whoever reads it; nobody may be reading yet.
    stream.on('data', (chunk: Buffer) => {
      this.#bytes.received += chunk.length;
      this.#timer.refresh();
      if (!body.push(chunk)) stream.pause();
    });
    stream.once('end', () => {
      // Without END_STREAM this is a reset that calls itself no error: 'close' says so.
      if (this.#over) body.push(null);
    });
    this.#body = body;
    return body;
  }

  #awaitContent(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#onQuiet(), this.#times.idleMs);
  }

  /** The answer is read, or wanted no longer. A stream that both sides have ended closes by itself. */
  #finish(): void {
    const isDone = this.#over && this.#stream.writableEnded;
    this.#release();
    if (!isDone) this.#reset(NGHTTP2_CANCEL);
  }

  #onTrailers(raw: readonly string[]): void {
    const trailers = parseTrailers(raw);
    if (!trailers.ok) return void this.#malformed(trailers.error);
    this.#bytes.received += rawBytes(raw);
    this.#trailers = trailers.value;
  }

  #onClose(): void {
    this.#release();
    if (this.#answered && this.#over) return;
    this.#fail(this.#answered ? truncated(this.#request.host) : this.#unanswered(), NGHTTP2_NO_ERROR);
  }

  #unanswered(): GatewayError {
    const { host } = this.#request;
    const code = this.#stream.rstCode ?? NGHTTP2_NO_ERROR;
    if (code === NGHTTP2_REFUSED_STREAM) {
      return new GatewayError('UPSTREAM_UNREACHABLE', `${host} refused the stream`, { cause: UNPROCESSED });
    }
    // Node cancels the streams of a connection that was lost: the code is the upstream's only while there is one.
    const isReset = code !== NGHTTP2_NO_ERROR && !this.#line.closed;
    if (!isReset) return new GatewayError('UPSTREAM_UNREACHABLE', `${host} hung up before it answered`);
    return new GatewayError(
      'UPSTREAM_PROTOCOL',
      `${host} reset the stream before it answered (code ${code})`,
    );
  }

  #malformed(fault: string): void {
    const message = `${this.#request.host} sent an answer that is not HTTP/2: ${fault}`;
    this.#fail(new GatewayError('UPSTREAM_PROTOCOL', message), NGHTTP2_PROTOCOL_ERROR);
  }

  #fail(error: GatewayError, code: number): void {
    this.#release();
    // First the error, then the reset: what 'close' finds must be settled.
    if (this.#body) this.#body.destroy(error);
    else this.#settle.reject(error);
    this.#reset(code);
  }

  #release(): void {
    clearTimeout(this.#timer);
    this.#signal.removeEventListener('abort', this.#onAbort);
  }

  #reset(code: number): void {
    if (!this.#stream.closed && !this.#stream.destroyed) this.#stream.close(code);
  }
}

/** Calls `onEnd` when the peer ends the stream, and not when the stream is closed in another way. */
function watchEnd(stream: http2.ClientHttp2Stream, onEnd: () => void): void {
  const push = stream.push.bind(stream);
  stream.push = (chunk: unknown, encoding?: BufferEncoding): boolean => {
    // A stream that is already closed is being ended by Node, on a reset.
    if (chunk === null && !stream.closed && !stream.destroyed) onEnd();
    return push(chunk, encoding);
  };
}

function isShort(framing: Framing): boolean {
  return framing.kind === 'length' && framing.bytes <= WHOLE_BYTES;
}

function truncated(host: string): GatewayError {
  return new GatewayError('UPSTREAM_TRUNCATED', `${host} closed before the end of its answer`);
}

/** Uncompressed: what HPACK made of it is shared with other streams. */
function fieldBytes(headers: HeaderList): number {
  let bytes = 0;
  for (const [name, value] of headers) bytes += name.length + value.length;
  return bytes;
}

function rawBytes(raw: readonly string[]): number {
  let bytes = 0;
  for (const text of raw) bytes += text.length;
  return bytes;
}
