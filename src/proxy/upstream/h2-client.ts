/**
 * HTTP/2 to an upstream (RFC 9113): one session over a verified TLS connection, its streams shared by the requests
 * of one sandbox to one authority. A shell: `node:http2`.
 */
import http2 from 'node:http2';
import type { TLSSocket } from 'node:tls';
import { errorCode, GatewayError } from '../../core/errors.js';
import type { ConnectionAnswer, HttpConnection, OutboundRequest } from '../connection.js';
import { aborted } from './failure.js';
import { requestFields } from './h2-fields.js';
import { type AnswerTimes, converse, UNPROCESSED } from './h2-stream.js';

/** What one stream may have on its way to us; together with the session's it bounds the memory of slow readers. */
const STREAM_WINDOW = 1 << 20;
const SESSION_WINDOW = 8 << 20;
const MAX_STREAMS = 256;
/** Until the peer's SETTINGS arrive (RFC 9113 §6.5.2 recommends no less). */
const STREAMS_AT_FIRST = 100;
const MAX_HEAD_BYTES = 65_536;
const MAX_FIELDS = 512;

export class Http2Connection implements HttpConnection {
  readonly protocol = 'h2';
  readonly #session: http2.ClientHttp2Session;
  readonly #times: AnswerTimes;
  #maxStreams = STREAMS_AT_FIRST;
  #open = 0;
  #draining = false;

  /** `socket` has negotiated `h2` and its peer is verified; the connection owns it. */
  constructor(socket: TLSSocket, host: string, times: AnswerTimes) {
    this.#times = times;
    // A session does not notice the end of a connection that may stay half open.
    socket.allowHalfOpen = false;
    this.#session = http2.connect(`https://${host}`, {
      createConnection: () => socket,
      peerMaxConcurrentStreams: STREAMS_AT_FIRST,
      maxHeaderListPairs: MAX_FIELDS,
      maxSendHeaderBlockLength: 4 * MAX_HEAD_BYTES,
      settings: {
        enablePush: false,
        initialWindowSize: STREAM_WINDOW,
        maxHeaderListSize: MAX_HEAD_BYTES,
      },
    });
    // Each stream hears of its end by itself; the session's own news only says not to use it again.
    this.#session.on('error', () => this.#drain());
    this.#session.on('goaway', () => this.#drain());
    this.#session.on('close', () => this.#drain());
    // Pushes were disabled: who sends one anyway is not listened to any longer.
    this.#session.on('stream', () => this.close());
    this.#session.once('connect', () => {
      // Also called for a session that was closed before it was connected, which then throws.
      if (!this.#session.destroyed) this.#session.setLocalWindowSize(SESSION_WINDOW);
    });
    this.#session.on('remoteSettings', ({ maxConcurrentStreams }) => {
      this.#maxStreams = Math.min(maxConcurrentStreams ?? STREAMS_AT_FIRST, MAX_STREAMS);
    });
  }

  get ready(): boolean {
    return !this.#draining && this.#open < this.#maxStreams && !this.closed;
  }

  get closed(): boolean {
    return this.#session.closed || this.#session.destroyed;
  }

  async send(request: OutboundRequest, signal: AbortSignal): Promise<ConnectionAnswer> {
    if (signal.aborted) throw aborted(signal);
    const fields = requestFields(request);
    if (!fields.ok)
      throw new GatewayError('CLIENT_PROTOCOL', `the request cannot be sent by HTTP/2: ${fields.error}`);
    const { sensitive } = request;
    if (sensitive.size > 0) Object.assign(fields.value, { [http2.sensitiveHeaders]: [...sensitive] });
    const hasTrailers = mayHaveTrailers(request);
    const isHeadOnly = request.body instanceof Uint8Array && request.body.length === 0 && !hasTrailers;
    const stream = this.#submit(fields.value, { endStream: isHeadOnly, waitForTrailers: hasTrailers });
    this.#open++;
    stream.once('close', () => {
      this.#open--;
    });
    return converse(stream, request, { times: this.#times, line: this, signal }).catch((error: unknown) => {
      // Node does not tell when it has given a session up, and goes on taking requests for it: silence is the sign.
      if (errorCode(error) === 'UPSTREAM_TIMEOUT') this.#drain();
      throw error;
    });
  }

  /** At once: streams that are open end as truncated. */
  close(): void {
    this.#drain();
    this.#session.destroy();
  }

  #drain(): void {
    this.#draining = true;
  }

  #submit(
    fields: http2.OutgoingHttpHeaders,
    options: http2.ClientSessionRequestOptions,
  ): http2.ClientHttp2Stream {
    try {
      return this.#session.request(fields, options);
    } catch (error) {
      const code = errorCode(error);
      if (code === 'ERR_HTTP2_HEADER_SINGLE_VALUE') {
        throw new GatewayError(
          'CLIENT_PROTOCOL',
          'the request repeats a field that HTTP/2 clients send once',
          { cause: error },
        );
      }
      this.#drain();
      // Nothing was sent: the session is ending.
      throw new GatewayError('UPSTREAM_UNREACHABLE', `the connection takes no request (${code})`, {
        cause: UNPROCESSED,
      });
    }
  }
}

/** Known for a body that is whole; a stream may have them where its framing leaves room for them. */
function mayHaveTrailers({ body, trailers, head }: OutboundRequest): boolean {
  if (body instanceof Uint8Array) return trailers().length > 0;
  return head.framing.kind === 'chunked' || head.version === '2';
}
