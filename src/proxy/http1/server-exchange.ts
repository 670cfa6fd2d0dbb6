/**
 * One request over HTTP/1.1 and its answer (RFC 9112 §6, §9), on a `ServerLine` that owns the connection.
 *
 * A shell: it writes to the sandbox's socket.
 */
import type { Duplex } from 'node:stream';
import { GatewayError } from '../../core/errors.js';
import { type HeaderList, NO_HEADERS } from '../../core/headers.js';
import type { CancelSignal } from '../cancel.js';
import {
  type Answer,
  type Body,
  type ByteCount,
  type Exchange,
  type Framing,
  NO_BODY,
  type Request,
  type RequestHead,
} from '../exchange.js';
import type { ContentReader } from './content-reader.js';
import { type ContentSink, writeContent } from './content-writer.js';
import { NO_CONTENT } from './framing.js';
import type { ArrivedContent } from './request-intake.js';
import { isHeadOnly } from './response-head.js';
import { emitLastChunk, emitResponseHead, joinedText } from './write.js';

/** What an exchange needs of its connection. */
export interface ServerLine {
  readonly socket: Duplex;
  /** The socket takes no more until its next `drain`. */
  stalled(): void;
  /** Fires when the connection is gone or broken. */
  readonly signal: CancelSignal;
  /** False once the sandbox has said that it sends no more requests. */
  readonly mayPersist: boolean;
  /** The answer's last byte was written; `persists`: the next request may be read. */
  answered(persists: boolean): void;
  /** Ends the connection so that what was sent so far is not taken for the whole. */
  truncate(closeDelimited: boolean): void;
  /** Gives up the socket, with what was read and not used put back. */
  detach(): Duplex;
}

/** Content up to this size is joined with its head. */
const ONE_WRITE_BYTES = 64 * 1024;
const CLOSE = 'Connection: close\r\n';
const UPGRADE = 'Upgrade: websocket\r\nConnection: Upgrade\r\n';

export class ServerExchange implements Exchange, ByteCount {
  readonly request: Request;
  readonly #line: ServerLine;
  readonly #persistent: boolean;
  readonly #reader: ContentReader | null;
  readonly #received: number;
  readonly #contentHasBegun: boolean;
  #sent = 0;
  #state: 'open' | 'answering' | 'ended' = 'open';
  #closeDelimited = false;
  #failure: GatewayError | null = null;

  /** `reader` is null when the content is whole. */
  constructor(
    line: ServerLine,
    head: RequestHead,
    persistent: boolean,
    content: ArrivedContent,
    reader: ContentReader | null,
  ) {
    this.#line = line;
    this.#persistent = persistent;
    this.#reader = reader;
    this.#received = content.wireBytes;
    this.#contentHasBegun = content.kind === 'whole' || content.first !== null;
    const trailers = content.kind === 'whole' ? content.trailers : NO_HEADERS;
    this.request = {
      head,
      body: content.kind === 'whole' ? content.body : (reader?.stream ?? NO_BODY),
      trailers: () => reader?.trailers ?? trailers,
    };
  }

  get bytes(): ByteCount {
    return this;
  }

  get received(): number {
    return this.#received + (this.#reader?.wireBytes ?? 0);
  }

  get sent(): number {
    return this.#sent;
  }

  get signal(): CancelSignal {
    return this.#line.signal;
  }

  /** True once nothing more can be sent for it. */
  get ended(): boolean {
    return this.#state === 'ended';
  }

  /** True once a byte of the final answer was written. */
  get answering(): boolean {
    return this.#state === 'answering';
  }

  /** True when its content was given up before its end: what still comes of it is nobody's. */
  get discardsContent(): boolean {
    return this.#reader !== null && !this.#reader.done;
  }

  inform(status: number, headers: HeaderList): void {
    if (this.#state !== 'open' || this.request.head.version === '1.0') return;
    if (status < 102 || status > 199)
      throw new GatewayError('UPSTREAM_PROTOCOL', `${status} is not an interim answer`);
    this.#send(emitResponseHead(status, '', headers, NO_CONTENT, ''));
  }

  /** Sends the 100 that the sandbox waits for; nothing when it does not wait. */
  invite(): void {
    if (this.#state !== 'open' || !this.request.head.expectsContinue) return;
    // Content is on its way already: nobody waits (RFC 9110 §10.1.1).
    if (this.#contentHasBegun || (this.#reader?.wireBytes ?? 0) > 0) return;
    this.#send('HTTP/1.1 100 Continue\r\n\r\n');
  }

  respond(answer: Answer): Promise<void> {
    try {
      return this.#respond(answer);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  #respond(answer: Answer): Promise<void> {
    this.#mustBeOpen();
    const { head, body } = answer;
    if (head.status < 200) throw new GatewayError('UPSTREAM_PROTOCOL', `${head.status} is no final answer`);
    const headOnly = isHeadOnly(head.status, this.request.head.method);
    const framing = this.#framingOf(answer, headOnly);
    const persists = this.#mayPersistAfter(answer, framing);
    this.#closeDelimited = framing.kind === 'close';
    const text = emitResponseHead(head.status, head.reason, head.headers, framing, persists ? '' : CLOSE);
    this.#state = 'answering';
    if (body instanceof Uint8Array || headOnly) {
      const trailers = framing.kind === 'chunked' && !headOnly ? answer.trailers() : NO_HEADERS;
      if (!(body instanceof Uint8Array)) body.destroy();
      const whole = body instanceof Uint8Array && !headOnly ? body : null;
      return this.#sendWhole(text, whole, framing, trailers, persists);
    }
    return this.#sendStream(text, answer, framing, persists);
  }

  upgrade(headers: HeaderList): Duplex {
    if (this.request.head.upgrade === null)
      throw new GatewayError('UPSTREAM_PROTOCOL', 'no upgrade was asked for');
    this.#mustBeOpen();
    this.#send(emitResponseHead(101, 'Switching Protocols', headers, NO_CONTENT, UPGRADE));
    this.#state = 'ended';
    return this.#line.detach();
  }

  abort(): void {
    if (this.#state === 'ended') return;
    this.#state = 'ended';
    this.#line.truncate(this.#closeDelimited);
  }

  /** The connection can take no answer any more; whoever tries is told `error`. */
  fail(error: GatewayError): void {
    this.#failure ??= error;
    this.#state = 'ended';
  }

  #mustBeOpen(): void {
    if (this.#failure !== null) throw this.#failure;
    if (this.#state !== 'open') throw new GatewayError('CLIENT_ABORTED', 'the exchange has ended');
  }

  /** A whole body's own length is the truth; an unknown one is chunked, or for HTTP/1.0 ends with the connection. */
  #framingOf(answer: Answer, headOnly: boolean): Framing {
    const { head, body } = answer;
    const is10 = this.request.head.version === '1.0';
    if (headOnly) {
      const announces = head.status >= 200 && head.status !== 204 && head.status !== 205;
      if (head.status === 205) return { kind: 'length', bytes: 0 };
      return announces && (head.framing.kind === 'length' || (head.framing.kind === 'chunked' && !is10))
        ? head.framing
        : NO_CONTENT;
    }
    if (body instanceof Uint8Array) {
      const hasTrailers = head.framing.kind === 'chunked' && !is10 && answer.trailers().length > 0;
      return hasTrailers ? { kind: 'chunked' } : { kind: 'length', bytes: body.length };
    }
    if (head.framing.kind === 'length') return head.framing;
    return { kind: is10 ? 'close' : 'chunked' };
  }

  #mayPersistAfter(answer: Answer, framing: Framing): boolean {
    const requestIsRead = this.#reader === null || this.#reader.done;
    return (
      this.#persistent && !answer.closes && framing.kind !== 'close' && requestIsRead && this.#line.mayPersist
    );
  }

  #sendWhole(
    head: string,
    body: Uint8Array | null,
    framing: Framing,
    trailers: HeaderList,
    persists: boolean,
  ): Promise<void> {
    if (body === null || body.length === 0) {
      const last =
        framing.kind === 'chunked' && body !== null ? emitLastChunk(trailers, 'UPSTREAM_PROTOCOL') : '';
      return this.#flush(head + last, persists);
    }
    const before = framing.kind === 'chunked' ? `${head}${body.length.toString(16)}\r\n` : head;
    const after = framing.kind === 'chunked' ? `\r\n${emitLastChunk(trailers, 'UPSTREAM_PROTOCOL')}` : '';
    if (body.length <= ONE_WRITE_BYTES) return this.#flush(joinedText(before, body, after), persists);
    this.#line.socket.cork();
    this.#send(before);
    this.#send(body);
    const flushed = this.#flush(after, persists);
    this.#line.socket.uncork();
    return flushed;
  }

  async #sendStream(head: string, answer: Answer, framing: Framing, persists: boolean): Promise<void> {
    const { socket } = this.#line;
    // The head waits one turn for the first bytes of content, so that both leave in one packet.
    socket.cork();
    this.#send(head);
    process.nextTick(() => socket.uncork());
    const content = { body: answer.body as Exclude<Body, Uint8Array>, framing, trailers: answer.trailers };
    try {
      await writeContent({ ...content, blame: 'UPSTREAM_TRUNCATED' }, this.#sink());
    } catch (error) {
      this.abort();
      throw error;
    }
    this.#finish(persists);
  }

  #sink(): ContentSink {
    const line = this.#line;
    return {
      socket: line.socket,
      wrote: bytes => {
        this.#sent += bytes;
      },
      stalled: () => line.stalled(),
    };
  }

  #finish(persists: boolean): void {
    if (this.#state !== 'answering') return;
    this.#state = 'ended';
    this.#line.answered(persists);
  }

  #send(bytes: string | Uint8Array): void {
    this.#sent += bytes.length;
    if (!this.#line.socket.write(bytes, 'latin1')) this.#line.stalled();
  }

  /** Writes the last bytes of the answer. Resolves when the kernel has them. */
  #flush(bytes: string | Uint8Array, persists: boolean): Promise<void> {
    this.#sent += bytes.length;
    return new Promise((resolve, reject) => {
      const takesMore = this.#line.socket.write(bytes, 'latin1', error => {
        if (!error) {
          this.#finish(persists);
          resolve();
        } else reject(new GatewayError('CLIENT_ABORTED', 'the sandbox went away', { cause: error }));
      });
      if (!takesMore) this.#line.stalled();
    });
  }
}
