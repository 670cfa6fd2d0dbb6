/**
 * One request to an upstream and its answer over HTTP/1.1 (RFC 9112 §6-§9).
 *
 * A shell: it writes to the upstream's socket. What it learns decides whether the connection may be used again.
 */
import type { Duplex, Readable } from 'node:stream';
import { errorCode, GatewayError } from '../../core/errors.js';
import { type HeaderList, NO_HEADERS } from '../../core/headers.js';
import type { CancelSignal } from '../cancel.js';
import type { ConnectionAnswer, OutboundRequest } from '../connection.js';
import { type Body, type ByteCount, NO_BODY } from '../exchange.js';
import { type BodyFault, CloseDecoder, joined, LengthDecoder } from './body.js';
import { ChunkedDecoder } from './chunked.js';
import type { ClientLimits } from './client-options.js';
import { type ContentOwner, ContentReader } from './content-reader.js';
import { type ContentSink, writeContent } from './content-writer.js';
import type { Deadline } from './deadline.js';
import type { FieldReader } from './fields.js';
import { isHandshakeAnswer } from './handshake.js';
import { scanHead } from './head-scan.js';
import { emitOutbound } from './outbound.js';
import { isHeadOnly, type ParsedResponse, parseResponseHead } from './response-head.js';
import { Unread } from './unread.js';

/** What an exchange needs of its connection. */
export interface ClientLine {
  readonly socket: Duplex;
  readonly limits: ClientLimits;
  readonly deadline: Deadline;
  readonly fields: FieldReader;
  /** The socket takes no more until its next `drain`. */
  stalled(): void;
  /** The exchange is over. Called exactly once, unless the socket was detached. */
  released(reusable: boolean): void;
  /** Gives up the socket, with `rest` put back. */
  detach(rest: Buffer): Duplex;
}

/** Content that has arrived whole with its head, up to this size, is given as bytes. */
const WHOLE_BYTES = 64 * 1024;

const ONCE = { once: true } as const;

const ignore = (): void => undefined;
const noTrailers = (): HeaderList => NO_HEADERS;

export class ClientExchange implements ContentOwner, ContentSink, ByteCount {
  readonly socket: Duplex;
  readonly deadline: Deadline;
  readonly idleMs: number;
  received = 0;
  sent = 0;
  readonly #line: ClientLine;
  readonly #request: OutboundRequest;
  readonly #signal: CancelSignal;
  readonly #unread = new Unread();
  #scanned = 0;
  #interim = 0;
  #phase: 'head' | 'content' | 'ended' = 'head';
  #sending: 'sending' | 'sent' | 'stopped' = 'sending';
  #reusable = true;
  #content: ContentReader | null = null;
  #resolve: (answer: ConnectionAnswer) => void = ignore;
  #reject: (error: unknown) => void = ignore;

  constructor(line: ClientLine, request: OutboundRequest, signal: CancelSignal) {
    this.socket = line.socket;
    this.deadline = line.deadline;
    this.idleMs = line.limits.contentIdleMs;
    this.#line = line;
    this.#request = request;
    this.#signal = signal;
  }

  start(): Promise<ConnectionAnswer> {
    return new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
      try {
        if (this.#signal.aborted) throw this.#signal.reason;
        this.#send();
        this.#signal.addEventListener('abort', this.#aborted, ONCE);
      } catch (error) {
        // Nothing was written: the connection is as good as before.
        this.#phase = 'ended';
        reject(error instanceof GatewayError ? error : abortedBy(error));
        this.#line.released(true);
      }
    });
  }

  #send(): void {
    const { head, framing, whole, closes } = emitOutbound(this.#request);
    if (closes) this.#reusable = false;
    if (whole !== null) {
      this.#write(whole);
      this.#allSent();
      return;
    }
    this.#write(head);
    const { body, trailers } = this.#request;
    // A body that is not whole is a stream.
    const content = { body: body as Readable, framing, trailers, blame: 'CLIENT_PROTOCOL' } as const;
    writeContent(content, this).then(
      () => this.#allSent(),
      (error: unknown) => this.#sendFailed(error),
    );
  }

  #write(bytes: string | Uint8Array): void {
    this.sent += bytes.length;
    if (!this.socket.write(bytes, 'latin1')) this.#line.stalled();
  }

  #allSent(): void {
    if (this.#sending !== 'sending') return;
    this.#sending = 'sent';
    if (this.#phase === 'head') this.deadline.set(this.#line.limits.headMs);
  }

  /** The request was cut short, and so is whatever answer was on its way. */
  #sendFailed(error: unknown): void {
    if (this.#sending !== 'sending') return;
    this.#sending = 'stopped';
    this.#fail(error instanceof GatewayError ? error : abortedBy(error));
  }

  #stopSending(): void {
    if (this.#sending !== 'sending') return;
    this.#sending = 'stopped';
    this.#reusable = false;
    const { body } = this.#request;
    if (!(body instanceof Uint8Array)) body.destroy();
  }

  // What the connection tells.

  take(chunk: Buffer): void {
    this.received += chunk.length;
    if (this.#content !== null) {
      this.#content.push(chunk);
      return;
    }
    this.#unread.append(chunk);
    while (this.#phase === 'head' && this.#readHead());
  }

  inputEnded(): void {
    this.#reusable = false;
    if (this.#content !== null) this.#content.end();
    else this.broken(null);
  }

  broken(cause: Error | null): void {
    const code = this.received === 0 ? 'UPSTREAM_UNREACHABLE' : 'UPSTREAM_TRUNCATED';
    const what = this.received === 0 ? 'before it answered' : 'in the middle of its answer';
    const why = cause === null ? '' : ` (${errorCode(cause)})`;
    this.#fail(new GatewayError(code, `the upstream closed the connection ${what}${why}`));
  }

  expired(): void {
    const what = this.#phase === 'head' ? 'did not answer in time' : 'stalled in the middle of its answer';
    this.#fail(new GatewayError('UPSTREAM_TIMEOUT', `the upstream ${what}`));
  }

  readonly #aborted = (): void => this.#fail(abortedBy(this.#signal.reason));

  // The answer.

  /** True when one interim head was read and there may be another. */
  #readHead(): boolean {
    const { bytes } = this.#unread;
    if (bytes.length === 0) return false;
    const { limits } = this.#line;
    const length = scanHead(bytes, this.#scanned, limits);
    if (!length.ok) return this.#protocolFault(length.error);
    if (length.value === 'incomplete') {
      this.#scanned = bytes.length;
      return false;
    }
    const text = bytes.toString('latin1', 0, length.value);
    this.#unread.skip(length.value);
    this.#scanned = 0;
    const parsed = parseResponseHead(text, this.#request.head.method, this.#line.fields);
    if (!parsed.ok) return this.#protocolFault(parsed.error);
    if (parsed.value.head.status >= 200) return this.#deliver(parsed.value);
    return parsed.value.head.status === 101 ? this.#switch(parsed.value) : this.#inform(parsed.value);
  }

  #inform({ head }: ParsedResponse): boolean {
    this.#interim += 1;
    if (this.#interim > this.#line.limits.interim) return this.#protocolFault('too-many-interim-answers');
    if (this.#sending === 'sent') this.deadline.set(this.#line.limits.headMs);
    if (head.status !== 100) this.#request.inform(head.status, head.headers);
    return true;
  }

  /** Bytes become a tunnel only when we asked for exactly that and the upstream proves that it read us. */
  #switch(parsed: ParsedResponse): false {
    const { head, headers } = this.#request;
    const asked = head.upgrade === 'websocket' && this.#sending === 'sent';
    if (!asked || !parsed.switches || !isHandshakeAnswer(headers, parsed.head.headers)) {
      return this.#protocolFault('bad-upgrade');
    }
    this.#end();
    const upgraded = this.#line.detach(this.#unread.take());
    this.#resolve(this.#answer(parsed, NO_BODY, noTrailers, upgraded));
    return false;
  }

  #deliver(parsed: ParsedResponse): false {
    const { head } = parsed;
    this.deadline.clear();
    this.#phase = 'content';
    if (!parsed.persistent || head.framing.kind === 'close') this.#reusable = false;
    // An upstream that has refused does not read on (RFC 9112 §9.5).
    if (head.status >= 400) this.#stopSending();
    const rest = this.#unread.take();
    const empty = head.framing.kind === 'length' && head.framing.bytes === 0;
    if (empty || isHeadOnly(head.status, this.#request.head.method)) {
      this.#resolve(this.#answer(parsed, NO_BODY, noTrailers, null));
      this.contentDone(rest);
      return false;
    }
    return this.#deliverContent(parsed, rest);
  }

  #deliverContent(parsed: ParsedResponse, bytes: Buffer): false {
    const decoder = decoderOf(parsed.head.framing);
    const first = bytes.length === 0 ? null : decoder.push(bytes);
    if (first?.ok && first.value.done && bytes.length <= WHOLE_BYTES) {
      const { trailers } = decoder;
      const told = trailers.length === 0 ? noTrailers : () => trailers;
      this.#resolve(this.#answer(parsed, joined(first.value.pieces), told, null));
      this.contentDone(first.value.rest);
      return false;
    }
    const content = new ContentReader(decoder, this);
    this.#content = content;
    this.#resolve(this.#answer(parsed, content.stream, () => content.trailers, null));
    if (first?.ok) content.accept(first.value);
    else if (first !== null) this.contentFaulty(first.error);
    return false;
  }

  #answer(
    { head }: ParsedResponse,
    body: Body,
    trailers: () => HeaderList,
    upgraded: Duplex | null,
  ): ConnectionAnswer {
    return { head, body, trailers, protocol: 'http/1.1', bytes: this, upgraded };
  }

  #protocolFault(code: string): false {
    this.#fail(new GatewayError('UPSTREAM_PROTOCOL', `the upstream's answer is not valid: ${code}`));
    return false;
  }

  #fail(error: GatewayError): void {
    if (this.#phase === 'ended') return;
    this.#end();
    this.#reject(error);
    this.#content?.fail(error);
    this.#stopSending();
    this.#line.released(false);
  }

  #end(): void {
    this.#phase = 'ended';
    this.#signal.removeEventListener('abort', this.#aborted);
  }

  // What a ContentReader asks of its owner, and a ContentWriter of its sink.

  /** Bytes behind the answer are nobody's answer: the connection is not used again (RFC 9112 §9.2). */
  contentDone(rest: Buffer): void {
    if (this.#phase === 'ended') return;
    this.#stopSending();
    this.#end();
    this.#line.released(this.#reusable && rest.length === 0);
  }

  contentFaulty(fault: BodyFault | 'truncated-content'): void {
    if (fault === 'truncated-content') this.broken(null);
    else this.#protocolFault(fault);
  }

  contentAbandoned(): void {
    this.#fail(new GatewayError('CLIENT_ABORTED', 'nobody wants the rest of the answer'));
  }

  contentWanted(): void {}

  wrote(bytes: number): void {
    this.sent += bytes;
  }

  stalled(): void {
    this.#line.stalled();
  }
}

function decoderOf(
  framing: ParsedResponse['head']['framing'],
): CloseDecoder | LengthDecoder | ChunkedDecoder {
  if (framing.kind === 'length') return new LengthDecoder(framing.bytes);
  return framing.kind === 'chunked' ? new ChunkedDecoder(Number.POSITIVE_INFINITY) : new CloseDecoder();
}

function abortedBy(cause: unknown): GatewayError {
  return new GatewayError('CLIENT_ABORTED', 'the sandbox went away', { cause });
}
