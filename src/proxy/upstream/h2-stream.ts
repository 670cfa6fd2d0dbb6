/**
 * One request and its answer on one HTTP/2 stream (RFC 9113 §8.1), client side, on a `StreamHost` that owns the
 * connection. The end of the answer is END_STREAM and nothing else.
 */
import { Readable } from 'node:stream';
import { GatewayError } from '../../core/errors.js';
import { type HeaderList, NO_HEADERS } from '../../core/headers.js';
import type { CancelSignal } from '../cancel.js';
import type { ConnectionAnswer, OutboundRequest } from '../connection.js';
import { type Body, type ByteCount, NO_BODY, type ResponseHead } from '../exchange.js';
import { isHeadOnly } from '../http1/response-head.js';
import { ERROR, type ErrorCode } from '../http2/frames.js';
import { type MessageFields, NONE_SENSITIVE } from '../http2/hpack-encoder.js';
import type { Outflow, OutStream } from '../http2/outflow.js';
import { ReceiveWindow } from '../http2/receive-window.js';
import { READ_BYTES } from './dial.js';
import { aborted } from './failure.js';
import { type AnswerReader, isInterim, parseInterim, parseTrailers, trailerFields } from './h2-fields.js';

export interface AnswerTimes {
  /** From the last byte of the request to the answer's head. */
  readonly headMs: number;
  /** Longest silence while content is on its way, either way. */
  readonly idleMs: number;
}

/** What one answer may have under way to us: announced as SETTINGS_INITIAL_WINDOW_SIZE. */
export const STREAM_WINDOW = 1 << 20;

/** Content of up to this size is waited for, for a turn, and given as bytes. */
const WHOLE_BYTES = 65_536;

/** Interim answers to one request: more is a flood. */
const MAX_INTERIM = 10;

/** The cause of an error for a request that the upstream says it did not begin to work on (RFC 9113 §8.7). */
export const UNPROCESSED: unique symbol = Symbol('unprocessed');

/** What a stream needs of its connection. */
export interface StreamHost {
  /** For messages. */
  readonly host: string;
  readonly outflow: Outflow;
  readonly answers: AnswerReader;
  /** The HEADERS frames of `fields`; those that `sensitive` names are never indexed. */
  emitHead(
    id: number,
    fields: HeaderList | MessageFields,
    sensitive: ReadonlySet<string>,
    endStream: boolean,
  ): Buffer;
  write(bytes: Buffer, done?: (error?: Error | null) => void): boolean;
  /** That much content was read: the peer may send as much again. */
  consumed(stream: ClientStream, bytes: number): void;
  /** RST_STREAM, and no more of the stream. */
  reset(stream: ClientStream, code: ErrorCode): void;
  /** Both sides have ended it. */
  finished(stream: ClientStream): void;
}

interface Settle {
  readonly resolve: (answer: ConnectionAnswer) => void;
  readonly reject: (error: GatewayError) => void;
}

export class ClientStream implements ByteCount {
  readonly id: number;
  readonly out: OutStream;
  readonly window = new ReceiveWindow(STREAM_WINDOW);
  /** Bytes of its frames that came. */
  received = 0;
  readonly #host: StreamHost;
  readonly #request: OutboundRequest;
  readonly #signal: CancelSignal;
  readonly #settle: Settle;
  #headBytes = 0;
  /** The request is with `outflow` to its end. */
  #requested = false;
  #interim = 0;
  #head: ResponseHead | null = null;
  /** The head was given on, and with it a body. */
  #delivered = false;
  /** What is owed of the announced length; infinite where none was. */
  #owed = Number.POSITIVE_INFINITY;
  /** Content that came before the answer was given on. */
  #held: Buffer[] = [];
  #heldBytes = 0;
  #body: Readable | null = null;
  /** Given to the reader, and not yet read as far as we know. */
  #unread = 0;
  #trailers: HeaderList = NO_HEADERS;
  #over = false;
  #failed = false;
  #seenProgress = -1;
  #silentMs = 0;

  constructor(host: StreamHost, id: number, request: OutboundRequest, signal: CancelSignal, settle: Settle) {
    this.#host = host;
    this.id = id;
    this.#request = request;
    this.#signal = signal;
    this.#settle = settle;
    this.out = host.outflow.open(id);
  }

  get sent(): number {
    return this.#headBytes + this.out.wireBytes;
  }

  /** Nothing of it comes any more. */
  get closed(): boolean {
    return this.#over || this.#failed;
  }

  /** The head is here, and was not given on yet. */
  get waits(): boolean {
    return this.#head !== null && !this.#delivered && !this.#failed;
  }

  get isShort(): boolean {
    return this.#owed <= WHOLE_BYTES;
  }

  /** Sends the request. */
  start(fields: MessageFields): void {
    this.#signal.addEventListener('abort', this.#onAbort, { once: true });
    const { body, sensitive, trailers } = this.#request;
    const { outflow } = this.#host;
    if (body instanceof Readable) {
      this.#putHead(fields, sensitive, false);
      return void this.#pipe(body);
    }
    const last = trailers();
    if (body.length === 0 && last.length === 0) {
      this.#putHead(fields, sensitive, true);
    } else if (last.length === 0) {
      const head = this.#host.emitHead(this.id, fields, sensitive, false);
      outflow.sendWhole(this.out, head, asBuffer(body), ignore);
    } else {
      this.#putHead(fields, sensitive, false);
      outflow.write(this.out, asBuffer(body));
      return void this.#endRequest();
    }
    this.#requested = true;
  }

  /** A field list of the peer's: an interim head, the head, or the trailers. */
  takeFields(fields: HeaderList, end: boolean): void {
    if (this.#over) return;
    if (this.#head !== null) {
      if (!end) return void this.malformed('a second head');
      const trailers = parseTrailers(fields);
      if (!trailers.ok) return void this.malformed(trailers.error);
      this.#trailers = trailers.value;
      return void this.#endAnswer();
    }
    if (isInterim(fields)) return void this.#takeInterim(fields, end);
    const head = this.#host.answers.read(fields, this.#request.head.method);
    if (!head.ok) return void this.malformed(head.error);
    this.#head = head.value;
    const { framing, status } = head.value;
    if (isHeadOnly(status, this.#request.head.method)) {
      this.#owed = 0;
      this.#give(NO_BODY);
    } else if (framing.kind === 'length') {
      this.#owed = framing.bytes;
    }
    if (end) this.#endAnswer();
  }

  /** `flow`: what the content took from the windows. */
  takeContent(bytes: Buffer, flow: number, end: boolean): void {
    this.received += flow;
    if (this.#head === null) return void this.malformed('content before a head');
    this.#owed -= bytes.length;
    if (this.#owed < 0) return void this.malformed('more content than was announced');
    if (bytes.length > 0) {
      if (this.#body === null) {
        this.#held.push(bytes);
        this.#heldBytes += bytes.length;
      } else {
        this.#push(bytes);
      }
    }
    if (end) this.#endAnswer();
  }

  /** Gives the answer on as what it is by now: its content is still on the way. */
  deliver(): void {
    if (!this.waits || this.#over) return;
    const body = new Readable({
      highWaterMark: READ_BYTES,
      read: () => this.#credit(),
      destroy: (error, done) => {
        this.#credit();
        this.#leave();
        done(error);
      },
    });
    body.on('error', ignore); // For whoever reads it; nobody may be reading yet.
    this.#body = body;
    for (const bytes of this.#held) this.#push(bytes);
    this.#held = [];
    this.#heldBytes = 0;
    this.#give(body);
  }

  /** The answer cannot be what the upstream meant. */
  malformed(fault: string): void {
    const message = `${this.#host.host} sent an answer that is not HTTP/2: ${fault}`;
    this.fail(new GatewayError('UPSTREAM_PROTOCOL', message), ERROR.protocol);
  }

  /** Ends it with an error; `code` resets the stream, null where there is nothing to reset any more. */
  fail(error: GatewayError, code: ErrorCode | null): void {
    if (this.closed) return;
    this.#failed = true;
    this.#release();
    if (code === null) this.#host.finished(this);
    else this.#host.reset(this, code);
    this.#dropHeld();
    if (this.#body !== null) this.#body.destroy(error);
    else if (!this.#delivered) this.#settle.reject(error);
  }

  /** What it means for it that the connection has ended. */
  cutOff(): GatewayError {
    return this.#head === null
      ? new GatewayError('UPSTREAM_UNREACHABLE', `${this.#host.host} hung up before it answered`)
      : this.#truncated();
  }

  /** What RST_STREAM with `code` means for it. */
  resetWith(code: number): GatewayError {
    const { host } = this.#host;
    if (this.#head !== null) return this.#truncated();
    if (code === ERROR.refusedStream) {
      const cause = UNPROCESSED;
      return new GatewayError('UPSTREAM_UNREACHABLE', `${host} refused the stream`, { cause });
    }
    if (code === ERROR.none) return this.cutOff();
    return new GatewayError(
      'UPSTREAM_PROTOCOL',
      `${host} reset the stream before it answered (code ${code})`,
    );
  }

  /** Asked every `elapsedMs`: the error where the upstream was silent for too long, else null. */
  lateAfter(elapsedMs: number, { headMs, idleMs }: AnswerTimes): GatewayError | null {
    const progress = this.received + this.out.progress;
    const moved = progress !== this.#seenProgress;
    this.#seenProgress = progress;
    // It is the sandbox that does not read, or has not sent its request: the upstream is not to blame.
    const waitsForUs = this.#unread > 0 || (this.#head === null && this.#waitsForRequest);
    this.#silentMs = moved || waitsForUs ? 0 : this.#silentMs + elapsedMs;
    if (this.#silentMs <= (this.#head === null ? headMs : idleMs)) return null;
    const what = this.#head === null ? 'did not answer in time' : 'stopped in the middle of its answer';
    return new GatewayError('UPSTREAM_TIMEOUT', `${this.#host.host} ${what}`);
  }

  get #waitsForRequest(): boolean {
    return !this.#requested && !this.#host.outflow.isHeldUp(this.out);
  }

  readonly #onAbort = (): void => this.fail(aborted(this.#signal), ERROR.cancel);

  #putHead(fields: MessageFields, sensitive: ReadonlySet<string>, end: boolean): void {
    const head = this.#host.emitHead(this.id, fields, sensitive, end);
    this.#headBytes += head.length;
    this.#host.write(head);
  }

  #pipe(body: Readable): void {
    const { outflow } = this.#host;
    body.on('data', (chunk: Buffer) => {
      if (this.closed || !outflow.write(this.out, chunk)) body.pause();
    });
    this.out.onRoom = () => body.resume();
    body.once('end', () => {
      if (!this.closed) this.#endRequest();
    });
    body.on('error', ignore); // 'close' follows, and is how a body ends that was cut short.
    body.once('close', () => {
      if (body.readableEnded) return;
      this.fail(new GatewayError('CLIENT_ABORTED', 'the request was cut short'), ERROR.cancel);
    });
  }

  #endRequest(): void {
    const trailers = this.#request.trailers();
    const fields = trailerFields(trailers);
    if (!fields.ok) {
      const message = `a trailer cannot be sent: ${fields.error}`;
      return void this.fail(new GatewayError('CLIENT_PROTOCOL', message), ERROR.cancel);
    }
    this.#requested = true;
    const last = fields.value;
    const frames = last.length === 0 ? null : this.#host.emitHead(this.id, last, NONE_SENSITIVE, true);
    this.#host.outflow.end(this.out, frames, ignore);
  }

  #takeInterim(fields: HeaderList, end: boolean): void {
    const head = parseInterim(fields);
    this.#interim++;
    if (!head.ok) return void this.malformed(head.error);
    if (end) return void this.malformed('an interim answer as the last');
    if (this.#interim > MAX_INTERIM) return void this.malformed('too many interim answers');
    const { status, headers } = head.value;
    if (status !== 100) this.#request.inform(status, headers);
  }

  #endAnswer(): void {
    if (this.#owed > 0 && this.#owed < Number.POSITIVE_INFINITY)
      return void this.fail(this.#truncated(), ERROR.cancel);
    this.#over = true;
    this.#release();
    // The rest of the request is not wanted (RFC 9113 §8.1): the answer was the whole of it.
    if (this.#requested && !this.#host.outflow.isHeldUp(this.out)) this.#host.finished(this);
    else this.#host.reset(this, ERROR.cancel);
    if (this.#body !== null) this.#body.push(null);
    else if (!this.#delivered) this.#giveWhole();
  }

  #giveWhole(): void {
    const [only] = this.#held;
    const bytes = this.#held.length === 1 && only !== undefined ? only : Buffer.concat(this.#held);
    this.#dropHeld();
    this.#give(bytes.length === 0 ? NO_BODY : bytes);
  }

  #give(body: Body): void {
    if (this.#head === null) return;
    this.#delivered = true;
    const trailers = (): HeaderList => this.#trailers;
    this.#settle.resolve({ head: this.#head, body, trailers, protocol: 'h2', bytes: this, upgraded: null });
  }

  #push(bytes: Buffer): void {
    this.#unread += bytes.length;
    if (this.#body?.push(bytes)) this.#credit();
  }

  #credit(): void {
    const bytes = this.#unread;
    this.#unread = 0;
    if (bytes > 0) this.#host.consumed(this, bytes);
  }

  #dropHeld(): void {
    const bytes = this.#heldBytes;
    this.#held = [];
    this.#heldBytes = 0;
    if (bytes > 0) this.#host.consumed(this, bytes);
  }

  /** The reader has read all, or wants no more. */
  #leave(): void {
    if (this.closed) return;
    this.#failed = true;
    this.#release();
    this.#host.reset(this, ERROR.cancel);
  }

  #truncated(): GatewayError {
    return new GatewayError('UPSTREAM_TRUNCATED', `${this.#host.host} closed before the end of its answer`);
  }

  #release(): void {
    this.#signal.removeEventListener('abort', this.#onAbort);
  }
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}

const ignore = (): void => {};
