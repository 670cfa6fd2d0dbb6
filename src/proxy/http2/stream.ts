/**
 * One request of an HTTP/2 connection and its answer (RFC 9113 §5.1, §8.1), on a `StreamHost` that owns the connection.
 */
import type { Duplex, Readable } from 'node:stream';
import { GatewayError } from '../../core/errors.js';
import { type HeaderList, NO_HEADERS } from '../../core/headers.js';
import { Canceller, type CancelSignal } from '../cancel.js';
import type { Answer, ByteCount, Exchange, Request, RequestHead } from '../exchange.js';
import { ERROR, type ErrorCode } from './frames.js';
import type { MessageFields } from './hpack-encoder.js';
import { Inflow } from './inflow.js';
import type { Outflow, OutStream } from './outflow.js';
import { ReceiveWindow } from './receive-window.js';
import { answerFields, interimFields, trailerFields } from './response-head.js';

/** What one request may have under way to us: announced as SETTINGS_INITIAL_WINDOW_SIZE. */
export const STREAM_WINDOW = 1 << 20;

/** `forgotten`: we reset it, and frames that were under way are passed over. */
export type StreamState = 'open' | 'idle' | 'forgotten' | 'closed';

/** What a stream needs of its connection. */
export interface StreamHost {
  readonly outflow: Outflow;
  /** Most content of a request that does not announce its length, in bytes. */
  readonly contentBytes: number;
  /** The HEADERS frames of `fields`. */
  emitHead(stream: number, fields: HeaderList | MessageFields, endStream: boolean): Buffer;
  write(bytes: Buffer, done?: (error?: Error | null) => void): boolean;
  /** That much content was read, and `padding` skipped: the client may send as much again. */
  consumed(stream: ServerStream, bytes: number, padding?: number): void;
  /** RST_STREAM, and no more of the stream. */
  reset(stream: ServerStream, code: ErrorCode): void;
  /** Both sides have ended it. */
  finished(stream: ServerStream): void;
}

export class ServerStream implements Exchange, ByteCount {
  readonly id: number;
  readonly head: RequestHead;
  readonly inflow: Inflow;
  readonly out: OutStream;
  readonly #host: StreamHost;
  #request: Request | null = null;
  #abort: Canceller | null = null;
  #failure: GatewayError | null = null;
  #state: 'open' | 'answering' | 'answered' | 'closed' = 'open';
  #received: number;
  #sent = 0;
  #invited = false;
  /** What the client may send on it. */
  readonly window = new ReceiveWindow(STREAM_WINDOW);
  /** `onExchange` has it. */
  handedOver = false;
  #seenProgress = -1;
  #stalledMs = 0;

  constructor(host: StreamHost, id: number, head: RequestHead) {
    this.#host = host;
    this.id = id;
    this.head = head;
    this.#received = head.headBytes;
    this.out = host.outflow.open(id);
    const length = head.framing.kind === 'length' ? head.framing.bytes : null;
    const onConsumed = (bytes: number): void => host.consumed(this, bytes);
    this.inflow = new Inflow(length, host.contentBytes, onConsumed, () => this.#invite());
  }

  /** Asked for once the request is handed over: what has come of the content by then is part of it. */
  get request(): Request {
    this.#request ??= this.#makeRequest();
    return this.#request;
  }

  get bytes(): ByteCount {
    return this;
  }

  get received(): number {
    return this.#received;
  }

  get sent(): number {
    return this.#sent + this.out.wireBytes;
  }

  get signal(): CancelSignal {
    this.#abort ??= new Canceller();
    if (this.#failure !== null) this.#abort.abort(this.#failure);
    return this.#abort;
  }

  get closed(): boolean {
    return this.#state === 'closed';
  }

  /** Our side has ended. */
  get answered(): boolean {
    return this.#state === 'answered' || this.#state === 'closed';
  }

  /** Counts bytes that came for it. */
  count(wireBytes: number): void {
    this.#received += wireBytes;
  }

  /**
   * For how long, in milliseconds, nothing has moved though it should: asked every `elapsedMs`. Once the answer has
   * begun, a client may think about what it sends next for as long as it likes.
   */
  stalledFor(elapsedMs: number): number {
    const progress = this.out.progress + this.#received;
    const waits = this.#host.outflow.isHeldUp(this.out) || (this.#state === 'open' && this.#waitsForContent);
    const stalled = waits && progress === this.#seenProgress;
    this.#seenProgress = progress;
    this.#stalledMs = stalled ? this.#stalledMs + elapsedMs : 0;
    return this.#stalledMs;
  }

  get #waitsForContent(): boolean {
    return !this.inflow.ended && (this.inflow.wanted || !this.handedOver);
  }

  inform(status: number, headers: HeaderList): void {
    if (this.#state !== 'open') return;
    this.#send(this.#host.emitHead(this.id, interimFields(status, headers), false));
  }

  async respond(answer: Answer): Promise<void> {
    if (this.#failure !== null) throw this.#failure;
    if (this.#state !== 'open') throw new GatewayError('CLIENT_ABORTED', 'the exchange has ended');
    const fields = answerFields(answer, this.head.method);
    const { headOnly, length } = fields;
    this.#state = 'answering';
    const { body } = answer;
    if (headOnly) {
      if (!(body instanceof Uint8Array)) body.destroy();
      await this.#sendAll(done => this.#send(this.#host.emitHead(this.id, fields, true), done));
    } else if (body instanceof Uint8Array) {
      await this.#sendWhole(fields, body, answer.trailers());
    } else {
      this.#send(this.#host.emitHead(this.id, fields, false));
      await this.#sendStream(body, length, answer.trailers);
    }
    this.#answerSent();
  }

  upgrade(): Duplex {
    throw new GatewayError('UPSTREAM_PROTOCOL', 'HTTP/2 has no upgrade');
  }

  abort(): void {
    if (!this.answered) this.#host.reset(this, ERROR.internal);
  }

  /** The client has ended its side. The request was complete. */
  remoteEnded(): void {
    if (this.#state === 'answered') this.#host.finished(this);
  }

  /** Called by the host, once: nothing goes in or out any more. */
  close(failure: GatewayError | null): void {
    if (this.#state === 'closed') return;
    const wasAnswered = this.#state === 'answered';
    this.#state = 'closed';
    this.#host.outflow.close(this.out);
    this.inflow.release();
    if (failure === null) return;
    this.inflow.cut(failure);
    if (wasAnswered) return;
    this.#failure = failure;
    this.#abort?.abort(failure);
    this.#onFailure?.(failure);
  }

  /** Rejects the answer that is being sent. */
  #onFailure: ((error: GatewayError) => void) | null = null;

  #makeRequest(): Request {
    const body = this.inflow.body();
    const whole = body instanceof Uint8Array;
    return {
      head: whole ? this.#wholeHead(body.length) : this.head,
      body,
      trailers: () => this.inflow.trailers,
    };
  }

  /** The length of content that has come is known, whether or not it was announced. */
  #wholeHead(bytes: number): RequestHead {
    const { head } = this;
    if (head.framing.kind !== 'chunked' || this.inflow.trailers.length > 0) return head;
    return { ...head, framing: bytes === 0 ? { kind: 'none' } : { kind: 'length', bytes } };
  }

  #invite(): void {
    if (this.#invited || !this.head.expectsContinue || this.#state !== 'open') return;
    this.#invited = true;
    this.inform(100, NO_HEADERS);
  }

  async #sendWhole(fields: MessageFields, body: Uint8Array, trailers: HeaderList): Promise<void> {
    const { outflow } = this.#host;
    const content = Buffer.from(body.buffer, body.byteOffset, body.length);
    if (trailers.length > 0) {
      this.#send(this.#host.emitHead(this.id, fields, false));
      outflow.write(this.out, content);
      await this.#sendAll(done => outflow.end(this.out, this.#trailerFrames(trailers), done));
    } else if (content.length === 0) {
      await this.#sendAll(done => this.#send(this.#host.emitHead(this.id, fields, true), done));
    } else {
      const head = this.#host.emitHead(this.id, fields, false);
      await this.#sendAll(done => outflow.sendWhole(this.out, head, content, done));
    }
  }

  async #sendStream(body: Readable, length: number | null, trailers: () => HeaderList): Promise<void> {
    const { outflow } = this.#host;
    try {
      await this.#pipe(body, length);
      const last = trailers();
      await this.#sendAll(done =>
        outflow.end(this.out, last.length > 0 ? this.#trailerFrames(last) : null, done),
      );
    } catch (error) {
      body.destroy();
      this.abort();
      throw error;
    }
  }

  /** Moves content to the client until it ends, and is exactly as long as was announced. */
  #pipe(body: Readable, length: number | null): Promise<void> {
    const truncated = (message: string): GatewayError => new GatewayError('UPSTREAM_TRUNCATED', message);
    return new Promise((resolve, reject) => {
      let owed = length ?? Number.POSITIVE_INFINITY;
      this.#onFailure = reject;
      // The error listener stays: a body that fails late must not end the process.
      body.on('error', reject);
      if (body.destroyed) {
        reject(body.errored ?? truncated('the content was discarded'));
        return;
      }
      body.on('data', (chunk: Buffer) => {
        owed -= chunk.length;
        if (owed < 0) reject(truncated('the content is longer than was announced'));
        else if (this.#state === 'answering' && !this.#host.outflow.write(this.out, chunk)) body.pause();
      });
      this.out.onRoom = () => body.resume();
      body.once('end', () => {
        if (owed === 0 || owed === Number.POSITIVE_INFINITY) resolve();
        else reject(truncated('the content is shorter than was announced'));
      });
      // After an end it says nothing new, and an error that nobody hears costs a stack trace.
      body.once('close', () => {
        if (!body.readableEnded) reject(truncated('the content ended early'));
      });
    });
  }

  #trailerFrames(trailers: HeaderList): Buffer {
    return this.#host.emitHead(this.id, trailerFields(trailers), true);
  }

  /** Resolves when `send`'s last byte is the kernel's. */
  #sendAll(send: (done: (error?: Error | null) => void) => void): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#onFailure = reject;
      if (this.#failure !== null) {
        reject(this.#failure);
        return;
      }
      send(error => {
        if (!error) resolve();
        else reject(new GatewayError('CLIENT_ABORTED', 'the sandbox went away', { cause: error }));
      });
    });
  }

  #answerSent(): void {
    if (this.#state !== 'answering') return;
    this.#state = 'answered';
    if (this.inflow.ended) this.#host.finished(this);
    // The rest of the request is not wanted (RFC 9113 §8.1): the answer was the whole of it.
    else this.#host.reset(this, ERROR.none);
  }

  #send(bytes: Buffer, done?: (error?: Error | null) => void): void {
    this.#sent += bytes.length;
    this.#host.write(bytes, done);
  }
}
