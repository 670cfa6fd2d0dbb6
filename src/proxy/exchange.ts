/**
 * One request and its answer, whatever the version of HTTP (RFC 9110). `http1` and `http2` make exchanges,
 * `serve` answers them, `upstream` speaks for them.
 */
import type { Duplex, Readable } from 'node:stream';
import type { Endpoint } from '../core/address.js';
import type { Authority } from '../core/authority.js';
import type { HeaderList } from '../core/headers.js';
import type { CancelSignal } from './cancel.js';

/**
 * The content, free of framing. A message that was whole when its head was read is a `Uint8Array` (empty: no
 * content), so that the common case costs no stream; everything else is a stream whose back-pressure reaches the
 * peer. A stream that is destroyed with an error was truncated, and its receiver must see a truncation too.
 */
export type Body = Uint8Array | Readable;

export const NO_BODY: Uint8Array = new Uint8Array(0);

/** How the length of the content was announced (RFC 9112 §6.3). h2 without content-length is `chunked`. */
export type Framing =
  | { readonly kind: 'none' }
  | { readonly kind: 'length'; readonly bytes: number }
  | { readonly kind: 'chunked' }
  /** Responses to HTTP/1.x only: the content ends with the connection. */
  | { readonly kind: 'close' };

export type HttpVersion = '1.0' | '1.1' | '2';

export interface RequestHead {
  readonly method: string;
  /** The one authority: Host = :authority = SNI, checked by who made the exchange. */
  readonly authority: Authority;
  /** Origin-form, raw, query included; or `*` for OPTIONS. */
  readonly path: string;
  /**
   * End-to-end fields as received (order, case, duplicates; h2: lower case), without Host, Connection and what it
   * nominates, Keep-Alive, Proxy-*, TE (but `trailers`, see `wantsTrailers`), Transfer-Encoding, Content-Length,
   * Upgrade and Expect.
   */
  readonly headers: HeaderList;
  /**
   * What ends at the gateway and is not sent on: hop-by-hop fields and those that Connection nominated. Searched for
   * secrets like the others; absent: none.
   */
  readonly dropped?: HeaderList;
  readonly version: HttpVersion;
  readonly framing: Framing;
  readonly wantsTrailers: boolean;
  /** A valid WebSocket upgrade (RFC 6455 §4.2.1): GET, version 13, one good key. Else null. */
  readonly upgrade: 'websocket' | null;
  /** `Expect: 100-continue` was sent; the maker of the exchange answers it when the body is first read. */
  readonly expectsContinue: boolean;
  /** Bytes of the head on the wire. */
  readonly headBytes: number;
}

export interface ResponseHead {
  readonly status: number;
  /** The reason phrase as received over HTTP/1; empty over h2. */
  readonly reason: string;
  /** End-to-end fields as received, without Connection and what it nominates, Keep-Alive, Transfer-Encoding, Content-Length, Upgrade. */
  readonly headers: HeaderList;
  readonly framing: Framing;
  readonly version: HttpVersion;
}

/** A request or an answer with its content. `trailers()` is complete once `body` has ended. */
export interface Outgoing {
  readonly body: Body;
  readonly trailers: () => HeaderList;
}

export interface Request extends Outgoing {
  readonly head: RequestHead;
}

export interface Answer extends Outgoing {
  readonly head: ResponseHead;
  /** A refusal: an HTTP/1 connection ends after it, and what was pipelined behind it is not read. */
  readonly closes?: boolean;
}

/** Bytes on the wire so far, heads and framing included, TLS not. */
export interface ByteCount {
  readonly received: number;
  readonly sent: number;
}

/** The sandbox's side of one request. */
export interface Exchange {
  readonly request: Request;
  /** Sends an interim answer (1xx but 101); nothing for HTTP/1.0. */
  inform(status: number, headers: HeaderList): void;
  /** Sends the answer. Resolves when its last byte was handed to the kernel; rejects when the sandbox went away. */
  respond(answer: Answer): Promise<void>;
  /** Sends the validated 101 and gives the raw bytes; HTTP/1.1 with `head.upgrade` only. */
  upgrade(headers: HeaderList): Duplex;
  /** Ends the exchange so that the sandbox sees a truncation: RST_STREAM, or a closed connection. */
  abort(): void;
  /** Fires when the sandbox is gone or has reset the stream. */
  readonly signal: CancelSignal;
  readonly bytes: ByteCount;
}

/** What `upstream` gives back for a request that was sent. */
export interface UpstreamAnswer extends Answer {
  readonly dialled: Endpoint;
  readonly protocol: 'http/1.1' | 'h2';
  readonly bytes: ByteCount;
  /** The raw bytes after a validated 101, else null. */
  readonly upgraded: Duplex | null;
}
